/**
 * Rows of a table by their numbers, as features of labels or embeddings of words are looked up.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import { type ColumnVariant, columnVariant } from "../_columns.ts";
import type { OutOption } from "../_out.ts";
import {
  dispatchFlat,
  lanesOf,
  POINTWISE_WORKGROUP,
  pointwiseKernel,
  type PointwiseOptions,
} from "../_pointwise.ts";
import { groupsOf, LIST_WORKGROUP, widthOf } from "../_ragged.ts";
import { LINKED_SAMPLES, rowLinks } from "../_row_links.ts";
import { requireRows } from "../_rows.ts";
import clearSource from "./lookup_rows_clear.wgsl" with { type: "text" };
import gradientSource from "./lookup_rows_gradient.wgsl" with { type: "text" };
import gradientNaiveSource from "./lookup_rows_gradient_naive.wgsl" with { type: "text" };
import source from "./lookup_rows.wgsl" with { type: "text" };
import { lookupRowsGradientReference, lookupRowsReference } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "lookup_rows",
  wgsl: source,
  bindings: ["read", "read", "read_write"],
  params: { samples: "u32", rows: "u32", columns: "u32" },
});

const CLEAR = /* @__PURE__ */ pointwiseKernel({
  name: "lookup_rows_clear",
  wgsl: clearSource,
  bindings: ["read_write"],
  params: { begin: "u32", end: "u32" },
});

const GRADIENT = /* @__PURE__ */ pointwiseKernel({
  name: "lookup_rows_gradient",
  wgsl: gradientSource,
  bindings: ["read", "read", "read", "read_write"],
  params: { begin: "u32", end: "u32", columns: "u32" },
});

const GRADIENT_NAIVE: Kernel = {
  name: "lookup_rows_gradient_naive",
  wgsl: gradientNaiveSource,
  bindings: ["read", "read", "read_write"],
  params: { begin: "u32", end: "u32", columns: "u32", rows: "u32" },
};

/** Tensors of {@linkcode lookupRows}. */
export interface LookupRowsInputs {
  /** f32 [R, W] with W >= 1. */
  readonly table: Tensor;
  /** Numbers of rows, i32 [N]; what is not from 0 to R - 1 gives zeros. */
  readonly index: Tensor;
}

/** Tensors of {@linkcode lookupRowsGradient}. */
export interface LookupRowsGradientInputs {
  /** Gradient of the rows, f32 [N, W] with W >= 1. */
  readonly dY: Tensor;
  /** Numbers of rows, i32 [N]; what is not from 0 to R - 1 is passed over. */
  readonly index: Tensor;
}

/** Options of {@linkcode lookupRowsGradient}. */
export interface LookupRowsGradientOptions extends OutOption {
  /** Rows of the table, R. */
  readonly rows: number;
  /** Forces a variant. */
  readonly variant?: ColumnVariant;
}

/**
 * Rows of a table by their numbers; zeros where there is no such row.
 *
 * @param ctx Where it runs.
 * @param inputs The table and the numbers.
 * @param options Where the result goes, and a forced variant.
 * @returns The rows, f32 [N, W].
 * @throws {ShapeError} When `table` has not two axes or no column, or another tensor does not fit.
 * @throws {DTypeError} When `index` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example The last row twice
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { lookupRows } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const table = host.upload(new Float32Array([1, 2, 3]), [3, 1]);
 * const index = host.upload(new Int32Array([2, 0, 2]), [3]);
 * assertEquals([...lookupRows(host, { table, index }).data], [3, 1, 3]);
 * ```
 */
export function lookupRows(
  ctx: Context,
  { table, index }: LookupRowsInputs,
  options: PointwiseOptions = {},
): Tensor {
  const kernel = "lookupRows";
  const { rows, columns } = requireRows(table, { kernel, name: "table" });
  const samples = requireIndex(index, kernel);
  const y = outputTensor(ctx, [samples, columns], { kernel, out: options.out });
  if (!isGpu(ctx)) {
    const inputs = { table: hostFloats(table), index: index.data as Int32Array };
    lookupRowsReference(inputs, hostFloats(y), columns);
    return y;
  }
  const lanes = lanesOf(ctx, { operation: kernel, variant: options.variant, channels: [columns] });
  ctx.dispatch(KERNEL(lanes), {
    buffers: [table, index, y],
    params: { samples, rows, columns: columns / lanes },
    workgroups: gridFor(samples * columns / lanes, POINTWISE_WORKGROUP),
  });
  return y;
}

/**
 * The gradient of {@linkcode lookupRows}: for each row of the table the sum of what comes in for it,
 * zeros for rows that were not looked up.
 *
 * f32, in the order of the samples. Two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The gradient that comes in, and the numbers.
 * @param options Rows of the table, where the result goes, and a forced variant.
 * @returns The gradient, f32 [R, W].
 * @throws {ShapeError} When `dY` is not [N, W] with at least one column, or another tensor does not
 * fit.
 * @throws {DTypeError} When `index` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When `rows` is no whole number, or the forced variant does not exist.
 *
 * @example The last row twice
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { lookupRowsGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([1, 2, 4]), [3, 1]);
 * const index = host.upload(new Int32Array([2, 0, 2]), [3]);
 * assertEquals([...lookupRowsGradient(host, { dY, index }, { rows: 3 }).data], [2, 0, 5]);
 * ```
 */
export function lookupRowsGradient(
  ctx: Context,
  { dY, index }: LookupRowsGradientInputs,
  options: LookupRowsGradientOptions,
): Tensor {
  const kernel = "lookupRowsGradient";
  const { columns } = requireRows(dY, { kernel, name: "dY" });
  const samples = requireIndex(index, kernel);
  requireShape(dY, [samples, columns], { kernel, name: "dY" });
  const { rows, variant } = options;
  if (!(Number.isInteger(rows) && rows >= 0)) {
    throw new RangeError(`Cannot run ${kernel}: rows must be a whole number: it is ${rows}`);
  }
  const dTable = outputTensor(ctx, [rows, columns], { kernel, out: options.out });
  if (isGpu(ctx)) {
    addRows(ctx, { dY, index, dTable }, columnVariant(ctx, kernel, variant));
  } else {
    const inputs = { dY: hostFloats(dY), index: index.data as Int32Array };
    lookupRowsGradientReference(inputs, hostFloats(dTable), columns);
  }
  return dTable;
}

function addRows(
  ctx: GpuContext,
  { dY, index, dTable }: LookupRowsGradientInputs & { readonly dTable: Tensor },
  variant: ColumnVariant,
): void {
  const [samples, length] = dY.shape as [number, number];
  const rows = dTable.shape[0]!;
  const elements = widthOf(length, variant);
  const columns = length / elements;
  const groups = variant === "serial" ? groupsOf(columns) : 1;
  const workgroup = LIST_WORKGROUP[variant];
  if (variant === "naive") {
    const chunks = Math.max(1, Math.ceil(samples / LINKED_SAMPLES));
    for (let chunk = 0; chunk < chunks; chunk++) {
      const begin = chunk * LINKED_SAMPLES;
      ctx.dispatch(GRADIENT_NAIVE, {
        buffers: [dY, index, dTable],
        params: { begin, end: Math.min(samples, begin + LINKED_SAMPLES), columns, rows },
        workgroups: gridFor(rows * columns, workgroup),
      });
    }
    return;
  }
  dispatchFlat(ctx, {
    operation: "lookupRowsClear",
    kernel: CLEAR,
    buffers: [dTable],
    count: dTable.size,
  });
  for (let begin = 0; begin < samples; begin += LINKED_SAMPLES) {
    const end = Math.min(samples, begin + LINKED_SAMPLES);
    using links = rowLinks(ctx, index, { begin, end, classes: rows, workgroup });
    ctx.dispatch(GRADIENT(elements, { GROUPS: groups }), {
      buffers: [dY, index, links, dTable],
      params: { begin, end, columns },
      workgroups: gridFor((end - begin) * columns / groups, workgroup),
      overrides: { WORKGROUP: workgroup },
    });
  }
}

function requireIndex(index: Tensor, kernel: string): number {
  requireDType(index, "i32", { kernel, name: "index" });
  return requireShape(index, ["samples"], { kernel, name: "index" })[0]!;
}

/** Sizes of {@linkcode lookupRows}. */
export interface LookupRowsShape {
  /** Rows of the table. */
  readonly rows: number;
  /** Rows that are looked up. */
  readonly samples: number;
  /** Columns. */
  readonly columns: number;
}

/**
 * Floating-point operations of {@linkcode lookupRows}, none, and of its gradient, a sum per element
 * that comes in.
 *
 * @param shape Sizes.
 * @param direction `forward`, or `backward` for the gradient.
 * @returns The number of operations.
 *
 * @example A batch
 * ```ts
 * import { lookupRowsFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const shape = { rows: 100, samples: 2, columns: 4 };
 * assertEquals(lookupRowsFlops(shape), 0);
 * assertEquals(lookupRowsFlops(shape, "backward"), 8);
 * ```
 */
export function lookupRowsFlops(
  { samples, columns }: LookupRowsShape,
  direction: "forward" | "backward" = "forward",
): number {
  return direction === "forward" ? 0 : samples * columns;
}

/**
 * Bytes that {@linkcode lookupRows} must move: as many rows read as written, and the numbers. Its
 * gradient reads those rows and the numbers and writes the table.
 *
 * @param shape Sizes.
 * @param direction `forward`, or `backward` for the gradient.
 * @returns The number of bytes.
 *
 * @example Two of a hundred rows
 * ```ts
 * import { lookupRowsBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const shape = { rows: 100, samples: 2, columns: 4 };
 * assertEquals(lookupRowsBytes(shape), 72);
 * assertEquals(lookupRowsBytes(shape, "backward"), 1640);
 * ```
 */
export function lookupRowsBytes(
  { rows, samples, columns }: LookupRowsShape,
  direction: "forward" | "backward" = "forward",
): number {
  const written = direction === "forward" ? samples : rows;
  return 4 * (samples * (columns + 1) + written * columns);
}
