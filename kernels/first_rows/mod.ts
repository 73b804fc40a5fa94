/**
 * The first row of each list of ragged rows, such as the class token of a sequence.
 *
 * @module
 */

import { type Context, gridFor, isGpu, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor } from "../_arguments.ts";
import type { ColumnVariant } from "../_columns.ts";
import type { OutOption } from "../_out.ts";
import {
  lanesOf,
  POINTWISE_WORKGROUP,
  pointwiseKernel,
  type PointwiseOptions,
} from "../_pointwise.ts";
import { dispatchLists, LIST_PARAMS, requireOffsets } from "../_ragged.ts";
import { requireRows } from "../_rows.ts";
import source from "./first_rows.wgsl" with { type: "text" };
import gradientSource from "./first_rows_gradient.wgsl" with { type: "text" };
import { firstRowsGradientReference, firstRowsReference } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "first_rows",
  wgsl: source,
  bindings: ["read", "read", "read_write"],
  params: { lists: "u32", columns: "u32" },
});

const GRADIENT = /* @__PURE__ */ pointwiseKernel({
  name: "first_rows_gradient",
  wgsl: gradientSource,
  bindings: ["read", "read", "read_write"],
  params: LIST_PARAMS,
});

/** Tensors of {@linkcode firstRows}. */
export interface FirstRowsInputs {
  /** Lists packed one behind the other, f32 [R, W] with W >= 1. */
  readonly x: Tensor;
  /** Where each of N lists begins and where the last one ends, i32 [N + 1]. */
  readonly offsets: Tensor;
}

/** Tensors of {@linkcode firstRowsGradient}. */
export interface FirstRowsGradientInputs {
  /** Gradient of the first rows, f32 [N, W] with W >= 1. */
  readonly dY: Tensor;
  /** Where each list begins and where the last one ends, i32 [N + 1]. */
  readonly offsets: Tensor;
}

/** Options of {@linkcode firstRowsGradient}. */
export interface FirstRowsGradientOptions extends OutOption {
  /** Rows of `x`, R. */
  readonly rows: number;
  /** Forces a variant. */
  readonly variant?: ColumnVariant;
}

/**
 * The first row of each list of ragged rows; zeros for an empty list.
 *
 * @param ctx Where it runs.
 * @param inputs Rows and offsets.
 * @param options Where the result goes, and a forced variant.
 * @returns The first rows, f32 [N, W].
 * @throws {ShapeError} When `x` has not two axes or no column, or another tensor does not fit.
 * @throws {DTypeError} When `offsets` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Two lists
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { firstRows } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3]), [3, 1]);
 * const offsets = host.upload(new Int32Array([0, 2, 3]), [3]);
 * assertEquals([...firstRows(host, { x, offsets }).data], [1, 3]);
 * ```
 */
export function firstRows(
  ctx: Context,
  { x, offsets }: FirstRowsInputs,
  options: PointwiseOptions = {},
): Tensor {
  const kernel = "firstRows";
  const { columns } = requireRows(x, { kernel, name: "x" });
  const lists = requireOffsets(offsets, { kernel, name: "offsets" });
  const y = outputTensor(ctx, [lists, columns], { kernel, out: options.out });
  if (!isGpu(ctx)) {
    firstRowsReference({ x: hostFloats(x), offsets: offsets.data as Int32Array }, hostFloats(y));
    return y;
  }
  const lanes = lanesOf(ctx, { operation: kernel, variant: options.variant, channels: [columns] });
  ctx.dispatch(KERNEL(lanes), {
    buffers: [x, offsets, y],
    params: { lists, columns: columns / lanes },
    workgroups: gridFor(lists * columns / lanes, POINTWISE_WORKGROUP),
  });
  return y;
}

/**
 * The gradient of {@linkcode firstRows}: zeros in all rows but the first one of each list.
 *
 * @param ctx Where it runs.
 * @param inputs The gradient that comes in, and the offsets.
 * @param options Number of rows, where the result goes, and a forced variant.
 * @returns The gradient, f32 [R, W].
 * @throws {ShapeError} When `dY` is not [N, W] with at least one column, or another tensor does not
 * fit.
 * @throws {DTypeError} When `offsets` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When `rows` is no whole number, or the forced variant does not exist.
 *
 * @example Two lists and a row behind them
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { firstRowsGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([5, 7]), [2, 1]);
 * const offsets = host.upload(new Int32Array([0, 2, 3]), [3]);
 * assertEquals([...firstRowsGradient(host, { dY, offsets }, { rows: 4 }).data], [5, 0, 7, 0]);
 * ```
 */
export function firstRowsGradient(
  ctx: Context,
  { dY, offsets }: FirstRowsGradientInputs,
  options: FirstRowsGradientOptions,
): Tensor {
  const kernel = "firstRowsGradient";
  const found = requireRows(dY, { kernel, name: "dY" });
  const lists = requireOffsets(offsets, { kernel, name: "offsets" });
  const { columns } = found;
  if (found.rows !== lists) {
    throw new ShapeError(kernel, "dY", { expected: `[${lists}, columns]`, actual: dY.shape });
  }
  const { rows, variant } = options;
  if (!(Number.isInteger(rows) && rows >= 0)) {
    throw new RangeError(`Cannot run ${kernel}: rows must be a whole number: it is ${rows}`);
  }
  const dX = outputTensor(ctx, [rows, columns], { kernel, out: options.out });
  if (!isGpu(ctx)) {
    const inputs = { dY: hostFloats(dY), offsets: offsets.data as Int32Array };
    firstRowsGradientReference(inputs, hostFloats(dX));
    return dX;
  }
  dispatchLists(ctx, {
    operation: kernel,
    kernel: GRADIENT,
    buffers: [dY, offsets, dX],
    rows,
    columns,
    lists,
    variant,
  });
  return dX;
}

/** Sizes of {@linkcode firstRows}. */
export interface FirstRowsShape {
  /** Rows of all lists. */
  readonly rows: number;
  /** Number of lists. */
  readonly lists: number;
  /** Columns. */
  readonly columns: number;
}

/**
 * Floating-point operations of {@linkcode firstRows} and of its gradient: none.
 *
 * @param _shape Sizes.
 * @returns Zero.
 *
 * @example A batch
 * ```ts
 * import { firstRowsFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(firstRowsFlops({ rows: 6, lists: 2, columns: 4 }), 0);
 * ```
 */
export function firstRowsFlops(_shape: FirstRowsShape): number {
  return 0;
}

/**
 * Bytes that {@linkcode firstRows} must move: a row of each list read and written, and the offsets.
 * Its gradient reads those and writes all rows.
 *
 * @param shape Sizes.
 * @param direction `forward`, or `backward` for the gradient.
 * @returns The number of bytes.
 *
 * @example Two lists of three rows
 * ```ts
 * import { firstRowsBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const shape = { rows: 6, lists: 2, columns: 4 };
 * assertEquals(firstRowsBytes(shape), 76);
 * assertEquals(firstRowsBytes(shape, "backward"), 140);
 * ```
 */
export function firstRowsBytes(
  { rows, lists, columns }: FirstRowsShape,
  direction: "forward" | "backward" = "forward",
): number {
  const written = direction === "forward" ? lists : rows;
  return 4 * ((lists + written) * columns + lists + 1);
}
