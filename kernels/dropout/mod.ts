/**
 * Dropout that stores no mask: which elements stay is a function of seed and stream.
 *
 * The gradient is the same operation on the gradient that comes in, with the same seed and stream:
 *
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { dropout } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const options = { rate: 0.5, seed: 1, stream: 7 };
 * const x = host.upload(new Float32Array(64).fill(3), [64]);
 * const dY = host.upload(new Float32Array(64).fill(1), [64]);
 * const y = dropout(host, { x }, options).data;
 * const dX = dropout(host, { x: dY }, options).data;
 * assertEquals([...y], [...dX].map((value) => 3 * value));
 * ```
 *
 * @module
 */

import {
  type Context,
  isGpu,
  Scalar,
  scalarValue,
  type Shape,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType } from "../_arguments.ts";
import { dispatchFlat, pointwiseKernel, type PointwiseOptions } from "../_pointwise.ts";
import source from "./dropout.wgsl" with { type: "text" };
import { dropElements } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "dropout",
  wgsl: source,
  bindings: ["read", "read_write"],
  params: {
    begin: "u32",
    end: "u32",
    seed_low: "u32",
    seed_high: "u32",
    stream: "u32",
    rate: "f32",
    factor: "f32",
  },
});

const TWO_POW_32 = 4294967296;

/** Options of {@linkcode dropout}. */
export interface DropoutOptions extends PointwiseOptions {
  /** Probability of making an element 0, from 0 to below 1. */
  readonly rate: number;
  /**
   * A whole number from 0 to 2^53 - 1, or a `Scalar` that stays below 2^32 and is read again at each
   * replay.
   */
  readonly seed: number | Scalar;
  /**
   * A whole number from 0 to 2^32 - 1, 0 by default; choices of one seed in different streams are
   * independent. A `Scalar` that counts the steps gives each replay a choice of its own.
   */
  readonly stream?: number | Scalar;
}

/**
 * Makes each element 0 with probability `rate`, and divides the others by `1 - rate`.
 *
 * Element i stays where element i of `randomUniform` with that seed and stream is at least `rate`: the
 * same on GPU and host, and the same in every run. The gradient is `dropout` of the gradient that comes
 * in.
 *
 * @param ctx Where it runs.
 * @param inputs The elements `x`, f32 of any shape.
 * @param options Rate, seed and stream, where the result goes, and a forced variant.
 * @returns What stays, f32 of the shape of `x`.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When `out` has another shape.
 * @throws {RangeError} When rate, seed or stream is out of its range, or the forced variant does not
 * exist.
 *
 * @example What stays is scaled up
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { dropout } from "@oodgpu/oodgpu/kernels";
 * import { assert } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array(100).fill(1), [100]);
 * const y = dropout(host, { x }, { rate: 0.5, seed: 1 }).data;
 * assert(y.every((value) => value === 0 || value === 2));
 * ```
 */
export function dropout(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: DropoutOptions,
): Tensor {
  const kernel = "dropout";
  const { rate, seed, stream = 0 } = options;
  requireDType(x, "f32", { kernel, name: "x" });
  if (!(rate >= 0 && rate < 1)) {
    throw new RangeError(`Cannot run ${kernel}: rate must be from 0 to below 1: it is ${rate}`);
  }
  requireWhole("seed", seed, seed instanceof Scalar ? TWO_POW_32 - 1 : Number.MAX_SAFE_INTEGER);
  requireWhole("stream", stream, TWO_POW_32 - 1);
  const y = outputTensor(ctx, x.shape, { kernel, out: options.out });
  if (!isGpu(ctx)) {
    const choice = { rate, seed: scalarValue(seed), stream: scalarValue(stream) };
    dropElements(hostFloats(x), hostFloats(y), choice);
    return y;
  }
  dispatchFlat(ctx, {
    operation: kernel,
    kernel: KERNEL,
    buffers: [x, y],
    count: x.size,
    params: {
      seed_low: typeof seed === "number" ? seed % TWO_POW_32 : seed,
      seed_high: typeof seed === "number" ? Math.floor(seed / TWO_POW_32) : 0,
      stream,
      rate,
      factor: 1 / (1 - rate),
    },
    variant: options.variant,
  });
  return y;
}

/**
 * Whole-number operations of a dropout: ten rounds of two wide products for four elements.
 *
 * @param shape The shape of `x`.
 * @returns The number of operations.
 *
 * @example Four elements cost one block
 * ```ts
 * import { dropoutFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(dropoutFlops([2, 2]), 340);
 * ```
 */
export function dropoutFlops(shape: Shape): number {
  return Math.ceil(sizeOf(shape) / 4) * 10 * 34;
}

/**
 * Bytes that a dropout must move: one read and one write.
 *
 * @param shape The shape of `x`.
 * @returns The number of bytes.
 *
 * @example Six numbers
 * ```ts
 * import { dropoutBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(dropoutBytes([2, 3]), 48);
 * ```
 */
export function dropoutBytes(shape: Shape): number {
  return 8 * sizeOf(shape);
}

function requireWhole(name: string, number: number | Scalar, most: number): void {
  const value = scalarValue(number);
  if (Number.isSafeInteger(value) && value >= 0 && value <= most) return;
  throw new RangeError(
    `Cannot run dropout: ${name} must be a whole number from 0 to ${most}: it is ${value}`,
  );
}
