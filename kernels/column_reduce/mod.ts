/**
 * Sums and means of the columns of a matrix, such as the gradient of a bias.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor } from "../_arguments.ts";
import { addRows, type ColumnVariant, columnVariant, planColumns } from "../_columns.ts";
import type { OutOption } from "../_out.ts";
import { requireRows, type RowShape } from "../_rows.ts";
import { unrolled } from "../_unroll.ts";
import { sumOfColumns } from "./reference.ts";
import naiveSource from "./column_sum_naive.wgsl" with { type: "text" };
import source from "./column_sum.wgsl" with { type: "text" };

export { COLUMN_VARIANTS, type ColumnVariant } from "../_columns.ts";

const NAIVE: Kernel = {
  name: "column_sum_naive",
  wgsl: naiveSource,
  bindings: ["read", "read_write"],
  params: { rows: "u32", columns: "u32", slice_rows: "u32", slices: "u32" },
};

const KERNEL = /* @__PURE__ */ unrolled({
  name: "column_sum",
  wgsl: source,
  bindings: ["read", "read", "read_write"],
  params: { elements: "u32", block: "u32", chunk: "u32", invocations: "u32" },
});

/** Rows of a slice of the baseline, below the turns that a software adapter runs. */
const NAIVE_ROWS = 32_768;

/** Tensors of {@linkcode columnSum} and {@linkcode columnMean}. */
export interface ColumnReduceInputs {
  /** f32 [N, C] with C >= 1. */
  readonly x: Tensor;
}

/** Options of {@linkcode columnSum} and {@linkcode columnMean}. */
export interface ColumnReduceOptions extends OutOption {
  /** Forces a variant. */
  readonly variant?: ColumnVariant;
}

/**
 * Sum of every column: f32 [N, C] to f32 [C].
 *
 * In f32, over chunks of rows first and then over those, always in the same order: two runs give the
 * same bits. The sum of no rows is 0.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options Where the result goes, and a forced variant.
 * @returns The sums, f32 [C].
 * @throws {ShapeError} When `x` has not two axes or no column, or `out` is not [C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example The gradient of a bias
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { columnSum } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([1, 2, 3, 4, 5, 6]), [3, 2]);
 * assertEquals([...columnSum(host, { x: dY }).data], [9, 12]);
 * ```
 */
export function columnSum(
  ctx: Context,
  inputs: ColumnReduceInputs,
  options: ColumnReduceOptions = {},
): Tensor {
  const shape = requireRows(inputs.x, { kernel: "columnSum", name: "x" });
  return reduce(ctx, inputs.x, { ...options, ...shape, kernel: "columnSum", scale: 1 });
}

/**
 * Mean of every column: f32 [N, C] to f32 [C]. Summed as in {@linkcode columnSum}.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`, at least one row.
 * @param options Where the result goes, and a forced variant.
 * @returns The means, f32 [C].
 * @throws {ShapeError} When `x` has not two axes, no row or no column, or `out` is not [C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Two columns
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { columnMean } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 4, 5, 6]), [3, 2]);
 * assertEquals([...columnMean(host, { x }).data], [3, 4]);
 * ```
 */
export function columnMean(
  ctx: Context,
  inputs: ColumnReduceInputs,
  options: ColumnReduceOptions = {},
): Tensor {
  const argument = { kernel: "columnMean", name: "x" };
  const shape = requireRows(inputs.x, argument);
  if (shape.rows === 0) {
    throw new ShapeError(argument.kernel, argument.name, {
      expected: "[rows, columns] with at least one row",
      actual: inputs.x.shape,
    });
  }
  return reduce(ctx, inputs.x, {
    ...options,
    ...shape,
    kernel: "columnMean",
    scale: 1 / shape.rows,
  });
}

/**
 * Floating-point operations of {@linkcode columnSum} and {@linkcode columnMean}: one per element.
 *
 * @param shape The matrix.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { columnReduceFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(columnReduceFlops({ rows: 2, columns: 8 }), 16);
 * ```
 */
export function columnReduceFlops(shape: RowShape): number {
  return shape.rows * shape.columns;
}

/**
 * Bytes that {@linkcode columnSum} and {@linkcode columnMean} must move: one read of the matrix, one
 * write of the result.
 *
 * @param shape The matrix.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { columnReduceBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(columnReduceBytes({ rows: 2, columns: 8 }), 96);
 * ```
 */
export function columnReduceBytes(shape: RowShape): number {
  return 4 * shape.columns * (shape.rows + 1);
}

type Call = ColumnReduceOptions & RowShape & { readonly kernel: string; readonly scale: number };

function reduce(ctx: Context, x: Tensor, call: Call): Tensor {
  const { kernel, columns, scale } = call;
  const out = outputTensor(ctx, [columns], { kernel, out: call.out });
  if (isGpu(ctx)) {
    onGpu(ctx, { x, out }, call);
  } else {
    sumOfColumns(hostFloats(x), hostFloats(out), scale);
  }
  return out;
}

function onGpu(ctx: GpuContext, { x, out }: { x: Tensor; out: Tensor }, call: Call): void {
  const { kernel, rows, columns, scale } = call;
  const variant = columnVariant(ctx, kernel, call.variant);
  if (variant === "naive") {
    const slices = Math.max(1, Math.ceil(rows / NAIVE_ROWS));
    using parts = ctx.empty([slices, columns], "f32", { label: "parts" });
    ctx.dispatch(NAIVE, {
      buffers: [x, parts],
      params: { rows, columns, slice_rows: NAIVE_ROWS, slices },
      workgroups: gridFor(slices * columns, 64),
    });
    addRows(ctx, { parts, out }, { rows: slices, columns, scale });
    return;
  }
  const plan = planColumns(call, variant);
  using parts = ctx.empty([plan.parts, columns], "f32", { label: "parts" });
  const { block, chunk, invocations, workgroup } = plan;
  ctx.dispatch(KERNEL({ GROUPS: plan.groups }), {
    buffers: [x, x, parts],
    params: { elements: rows * columns, block, chunk, invocations },
    workgroups: gridFor(invocations, workgroup),
    overrides: { WORKGROUP: workgroup },
  });
  addRows(ctx, { parts, out }, { rows: plan.parts, columns, scale, variant });
}
