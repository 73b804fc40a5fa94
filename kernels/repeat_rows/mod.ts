/**
 * A matrix again and again, such as the same queries for every list of a batch.
 *
 * @module
 */

import { type Context, gridFor, isGpu, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireMatrix } from "../_arguments.ts";
import { columnSum, type ColumnVariant } from "../column_reduce/mod.ts";
import type { OutOption } from "../_out.ts";
import {
  lanesOf,
  POINTWISE_WORKGROUP,
  pointwiseKernel,
  type PointwiseOptions,
} from "../_pointwise.ts";
import { repeatRowsGradientReference, repeatRowsReference } from "./reference.ts";
import source from "./repeat_rows.wgsl" with { type: "text" };

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "repeat_rows",
  wgsl: source,
  bindings: ["read", "read_write"],
  params: { items: "u32", size: "u32", times: "u32", run: "u32" },
});

/** Repeats that an invocation writes at most. */
const RUN = 8;

/** Options of {@linkcode repeatRows}. */
export interface RepeatRowsOptions extends PointwiseOptions {
  /** How often; 0 or more. */
  readonly times: number;
}

/** Options of {@linkcode repeatRowsGradient}. */
export interface RepeatRowsGradientOptions extends OutOption {
  /** How often the matrix was repeated; 0 or more. */
  readonly times: number;
  /** Forces a variant of the sum. */
  readonly variant?: ColumnVariant;
}

/**
 * A matrix again and again: f32 [M, W] to f32 [times M, W], row m of the result being row `m % M`.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options How often, where the result goes, and a forced variant.
 * @returns The repeats.
 * @throws {ShapeError} When `x` has not two axes, or `out` has another shape.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When `times` is no whole number, or the forced variant does not exist.
 *
 * @example Twice
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { repeatRows } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2]), [2, 1]);
 * assertEquals([...repeatRows(host, { x }, { times: 2 }).data], [1, 2, 1, 2]);
 * ```
 */
export function repeatRows(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: RepeatRowsOptions,
): Tensor {
  const kernel = "repeatRows";
  const [rows, columns] = requireMatrix(x, { kernel, name: "x" });
  const { times, variant } = options;
  requireTimes(kernel, times);
  const y = outputTensor(ctx, [times * rows, columns], { kernel, out: options.out });
  if (y.size === 0) return y;
  if (!isGpu(ctx)) {
    repeatRowsReference(hostFloats(x), hostFloats(y));
    return y;
  }
  const lanes = lanesOf(ctx, { operation: kernel, variant, channels: [x.size] });
  const size = x.size / lanes;
  const run = Math.min(RUN, times);
  const items = size * Math.ceil(times / run);
  ctx.dispatch(KERNEL(lanes), {
    buffers: [x, y],
    params: { items, size, times, run },
    workgroups: gridFor(items, POINTWISE_WORKGROUP),
  });
  return y;
}

/**
 * The gradient of {@linkcode repeatRows}: the sum over all repeats, f32 [times M, W] to f32 [M, W].
 *
 * Summed as in {@linkcode columnSum}, of which it takes the variants: always in the same order, so
 * that two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The gradient that comes in.
 * @param options How often the matrix was repeated, where the result goes, and a forced variant.
 * @returns The gradient by the matrix.
 * @throws {ShapeError} When `dY` has not two axes or no multiple of `times` rows, or `out` has another
 * shape.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When `times` is not 1 or more, or the forced variant does not exist.
 *
 * @example Of two repeats
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { repeatRowsGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([1, 2, 3, 4]), [4, 1]);
 * assertEquals([...repeatRowsGradient(host, { dY }, { times: 2 }).data], [4, 6]);
 * ```
 */
export function repeatRowsGradient(
  ctx: Context,
  { dY }: { readonly dY: Tensor },
  options: RepeatRowsGradientOptions,
): Tensor {
  const kernel = "repeatRowsGradient";
  const [repeated, columns] = requireMatrix(dY, { kernel, name: "dY" });
  const { times, variant } = options;
  requireTimes(kernel, times);
  if (times === 0) {
    throw new RangeError(
      `Cannot run ${kernel}: times must be 1 or more to know the matrix: it is 0`,
    );
  }
  const rows = repeated / times;
  if (!Number.isInteger(rows)) {
    throw new ShapeError(kernel, "dY", {
      expected: `[${times} * rows, columns]`,
      actual: dY.shape,
    });
  }
  const dX = outputTensor(ctx, [rows, columns], { kernel, out: options.out });
  if (dX.size === 0) return dX;
  if (!isGpu(ctx)) {
    repeatRowsGradientReference(hostFloats(dY), hostFloats(dX));
    return dX;
  }
  columnSum(ctx, { x: dY.reshape([times, dX.size]) }, {
    out: dX.reshape([dX.size]),
    ...(variant === undefined ? {} : { variant }),
  });
  return dX;
}

function requireTimes(kernel: string, times: number): void {
  if (Number.isInteger(times) && times >= 0) return;
  throw new RangeError(`Cannot run ${kernel}: times must be a whole number: it is ${times}`);
}

/** Sizes of {@linkcode repeatRows}. */
export interface RepeatRowsShape {
  /** Rows of the matrix. */
  readonly rows: number;
  /** Columns. */
  readonly columns: number;
  /** How often. */
  readonly times: number;
}

/**
 * Floating-point operations of {@linkcode repeatRowsGradient}, one for each element that comes in;
 * {@linkcode repeatRows} has none.
 *
 * @param shape Sizes.
 * @returns The number of operations.
 *
 * @example Ten repeats
 * ```ts
 * import { repeatRowsFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(repeatRowsFlops({ rows: 2, columns: 4, times: 10 }), 80);
 * ```
 */
export function repeatRowsFlops({ rows, columns, times }: RepeatRowsShape): number {
  return times * rows * columns;
}

/**
 * Bytes that {@linkcode repeatRows} or its gradient must move: the matrix once and all repeats.
 *
 * @param shape Sizes.
 * @returns The number of bytes.
 *
 * @example Ten repeats
 * ```ts
 * import { repeatRowsBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(repeatRowsBytes({ rows: 2, columns: 4, times: 10 }), 352);
 * ```
 */
export function repeatRowsBytes({ rows, columns, times }: RepeatRowsShape): number {
  return 4 * rows * columns * (times + 1);
}
