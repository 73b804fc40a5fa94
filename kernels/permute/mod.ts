/**
 * Maps with channels first and with channels last, each from the other: each is the other's gradient.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  type Shape,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import { type ProductVariant, productVariant } from "../_products.ts";
import naiveSource from "./permute_naive.wgsl" with { type: "text" };
import registerSource from "./permute_register.wgsl" with { type: "text" };
import tiledSource from "./permute_tiled.wgsl" with { type: "text" };
import { type MatrixBatch, transposeMatrices } from "./reference.ts";

const PARAMS = { batch: "u32", rows: "u32", columns: "u32" } as const;

const NAIVE: Kernel = {
  name: "permute_naive",
  wgsl: naiveSource,
  bindings: ["read", "read_write"],
  params: PARAMS,
};
const REGISTER: Kernel = {
  name: "permute_register",
  wgsl: registerSource,
  bindings: ["read", "read", "read_write", "read_write"],
  params: PARAMS,
};
const TILED: Kernel = { ...NAIVE, name: "permute_tiled", wgsl: tiledSource };

const WORKGROUP = 64;
const TILE = 32;

/** Options of {@linkcode toChannelsLast} and {@linkcode toChannelsFirst}. */
export interface PermuteOptions {
  /** Forces a variant; `register` on software adapters and `tiled` elsewhere by default. */
  readonly variant?: ProductVariant;
  /** Where the result goes, instead of a new tensor; must not be the input. */
  readonly out?: Tensor;
}

/**
 * Maps with channels first to maps with channels last.
 *
 * f32 [N, C, H, W] to f32 [N, H, W, C]. Its gradient is {@linkcode toChannelsFirst}.
 *
 * @param ctx Where it runs.
 * @param inputs The maps `x`.
 * @param options Where the result goes, and a forced variant.
 * @returns The maps with channels last.
 * @throws {DTypeError} When `x` or `out` does not hold f32.
 * @throws {ShapeError} When `x` has not four axes, or `out` has another shape.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Two channels of two positions
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { toChannelsLast } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 10, 20]), [1, 2, 1, 2]);
 * assertEquals([...toChannelsLast(host, { x }).data], [1, 10, 2, 20]);
 * ```
 */
export function toChannelsLast(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: PermuteOptions = {},
): Tensor {
  const operation = "toChannelsLast";
  const [n, channels, height, width] = requireAxes(x, ["N", "C", "H", "W"], operation);
  const matrices = { batch: n, rows: channels, columns: height * width };
  const shape = [n, height, width, channels];
  return transpose(ctx, x, { operation, matrices, shape, options });
}

/**
 * Maps with channels last to maps with channels first.
 *
 * f32 [N, H, W, C] to f32 [N, C, H, W]. Its gradient is {@linkcode toChannelsLast}.
 *
 * @param ctx Where it runs.
 * @param inputs The maps `x`.
 * @param options Where the result goes, and a forced variant.
 * @returns The maps with channels first.
 * @throws {DTypeError} When `x` or `out` does not hold f32.
 * @throws {ShapeError} When `x` has not four axes, or `out` has another shape.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Two channels of two positions
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { toChannelsFirst } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 10, 2, 20]), [1, 1, 2, 2]);
 * assertEquals([...toChannelsFirst(host, { x }).data], [1, 2, 10, 20]);
 * ```
 */
export function toChannelsFirst(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: PermuteOptions = {},
): Tensor {
  const operation = "toChannelsFirst";
  const [n, height, width, channels] = requireAxes(x, ["N", "H", "W", "C"], operation);
  const matrices = { batch: n, rows: height * width, columns: channels };
  const shape = [n, channels, height, width];
  return transpose(ctx, x, { operation, matrices, shape, options });
}

/**
 * Floating-point operations of a change of layout: none, it only copies.
 *
 * @returns 0.
 *
 * @example None
 * ```ts
 * import { permuteFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(permuteFlops(), 0);
 * ```
 */
export function permuteFlops(): number {
  return 0;
}

/**
 * Bytes that a change of layout must move: one read and one write.
 *
 * @param shape Shape of the maps.
 * @returns The number of bytes.
 *
 * @example Six numbers
 * ```ts
 * import { permuteBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(permuteBytes([1, 1, 2, 3]), 48);
 * ```
 */
export function permuteBytes(shape: Shape): number {
  return 8 * sizeOf(shape);
}

function requireAxes(
  x: Tensor,
  axes: readonly string[],
  kernel: string,
): readonly [number, number, number, number] {
  requireDType(x, "f32", { kernel, name: "x" });
  const shape = requireShape(x, axes, { kernel, name: "x" });
  return shape as unknown as readonly [number, number, number, number];
}

interface Transpose {
  readonly operation: string;
  readonly matrices: MatrixBatch;
  readonly shape: Shape;
  readonly options: PermuteOptions;
}

function transpose(ctx: Context, x: Tensor, run: Transpose): Tensor {
  const { operation, matrices, shape, options } = run;
  const y = outputTensor(ctx, shape, { kernel: operation, out: options.out });
  if (isGpu(ctx)) {
    const { variant } = options;
    const chosen = productVariant(ctx, operation, variant === undefined ? {} : { variant });
    dispatchTranspose(ctx, { x, y }, { ...matrices, variant: chosen });
  } else {
    transposeMatrices(hostFloats(x), hostFloats(y), matrices);
  }
  return y;
}

function dispatchTranspose(
  ctx: GpuContext,
  { x, y }: { readonly x: Tensor; readonly y: Tensor },
  { batch, rows, columns, variant }: MatrixBatch & { readonly variant: ProductVariant },
): void {
  const params = { batch, rows, columns };
  const blocks = (side: number) => batch * Math.ceil(rows / side) * Math.ceil(columns / side);
  if (variant === "naive") {
    ctx.dispatch(NAIVE, { buffers: [x, y], params, workgroups: gridFor(x.size, WORKGROUP) });
  } else if (variant === "tiled") {
    ctx.dispatch(TILED, { buffers: [x, y], params, workgroups: gridFor(blocks(TILE), 1) });
  } else {
    const [readVector, writeVector] = [columns % 4 === 0, rows % 4 === 0];
    using spare = ctx.empty([4], "f32", { label: "unused binding" });
    ctx.dispatch(REGISTER, {
      buffers: [x, x, ...(writeVector ? [spare, y] : [y, spare])],
      params,
      workgroups: gridFor(blocks(4), WORKGROUP),
      overrides: { READ_VECTOR: readVector ? 1 : 0, WRITE_VECTOR: writeVector ? 1 : 0 },
    });
  }
}
