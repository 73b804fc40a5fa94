/**
 * Reductions of the rows of a matrix: sum, mean, maximum and its index, log-sum-exp, and the largest
 * softmax.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats } from "../_arguments.ts";
import {
  dispatchRows,
  requirePositive,
  requireRows,
  rowKernels,
  type RowOptions,
  type RowShape,
  type TemperatureOptions,
} from "../_rows.ts";
import {
  argmaxOfRow,
  logSumExpOfRow,
  maxOfRow,
  maxSoftmaxOfRow,
  meanOfRow,
  reduceRows,
  type Row,
  sumOfRow,
} from "./reference.ts";
import main from "./row_reduce.wgsl" with { type: "text" };
import naive from "./row_reduce_naive.wgsl" with { type: "text" };

export type { RowOptions, RowShape, RowVariant, TemperatureOptions } from "../_rows.ts";

/** The matrix that an operation on rows takes. */
export interface RowInputs {
  /** f32 [N, C] with C >= 1. */
  readonly x: Tensor;
}

const KERNELS = /* @__PURE__ */ rowKernels("row_reduce", { naive, main }, {
  inputs: 1,
  wide: false,
  params: { temperature: "f32" },
  turns: { naive: 2, main: 2 },
});

interface Reduction {
  readonly code: number;
  readonly ofRow: (row: Row, temperature: number) => number;
}

const REDUCTIONS = {
  rowSum: { code: 0, ofRow: sumOfRow },
  rowMean: { code: 1, ofRow: meanOfRow },
  rowMax: { code: 2, ofRow: maxOfRow },
  rowArgmax: { code: 3, ofRow: argmaxOfRow },
  rowLogSumExp: { code: 4, ofRow: logSumExpOfRow },
  rowMaxSoftmax: { code: 5, ofRow: maxSoftmaxOfRow },
} as const satisfies Record<string, Reduction>;

/**
 * Sums of rows.
 *
 * f32 [N, C] to f32 [N]. Sums in f32 by blocks; two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options A forced variant.
 * @returns The sums, f32 [N].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 *
 * @example Two rows
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { rowSum } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 4]), [2, 2]);
 * assertEquals([...rowSum(host, { x }).data], [3, 7]);
 * ```
 */
export function rowSum(ctx: Context, inputs: RowInputs, options: RowOptions = {}): Tensor {
  return reduce(ctx, inputs, { operation: "rowSum", options });
}

/**
 * Means of rows.
 *
 * f32 [N, C] to f32 [N]. Sums in f32 by blocks; two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options A forced variant.
 * @returns The means, f32 [N].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 *
 * @example Two rows
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { rowMean } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 5]), [2, 2]);
 * assertEquals([...rowMean(host, { x }).data], [1.5, 4]);
 * ```
 */
export function rowMean(ctx: Context, inputs: RowInputs, options: RowOptions = {}): Tensor {
  return reduce(ctx, inputs, { operation: "rowMean", options });
}

/**
 * Maxima of rows.
 *
 * f32 [N, C] to f32 [N]; exact for numbers, unspecified for NaN.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options A forced variant.
 * @returns The maxima, f32 [N].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 *
 * @example The score of MaxLogit
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { rowMax } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 7, -3]), [1, 3]);
 * assertEquals([...rowMax(host, { x }).data], [7]);
 * ```
 */
export function rowMax(ctx: Context, inputs: RowInputs, options: RowOptions = {}): Tensor {
  return reduce(ctx, inputs, { operation: "rowMax", options });
}

/**
 * Indices of the maxima of rows; among equals the lowest.
 *
 * f32 [N, C] to u32 [N]; exact for numbers, unspecified for NaN.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options A forced variant.
 * @returns The indices, u32 [N].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 *
 * @example The first of two equal maxima
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { rowArgmax } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 7, 7]), [1, 3]);
 * assertEquals([...rowArgmax(host, { x }).data], [1]);
 * ```
 */
export function rowArgmax(ctx: Context, inputs: RowInputs, options: RowOptions = {}): Tensor {
  return reduce(ctx, inputs, { operation: "rowArgmax", options });
}

/**
 * Logarithms of the sums of exponentials of rows: `T * log(sum(exp(x / T)))`.
 *
 * f32 [N, C] to f32 [N]. Shifted by a running maximum, so that nothing overflows; one read of `x`.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options The temperature `T`, and a forced variant.
 * @returns The logarithms, f32 [N].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 * @throws {RangeError} When the temperature is not positive.
 *
 * @example The score of Energy
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { rowLogSumExp } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1000, 1000]), [1, 2]);
 * assertAlmostEquals(rowLogSumExp(host, { x }).data[0]!, 1000 + Math.log(2), 1e-4);
 * ```
 */
export function rowLogSumExp(
  ctx: Context,
  inputs: RowInputs,
  options: TemperatureOptions = {},
): Tensor {
  return reduce(ctx, inputs, { operation: "rowLogSumExp", options });
}

/**
 * The largest softmax of each row: `max(softmax(x / T))`.
 *
 * f32 [N, C] to f32 [N]. One read of `x`; the softmax itself is never written.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options The temperature `T`, and a forced variant.
 * @returns The probabilities, f32 [N].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 * @throws {RangeError} When the temperature is not positive.
 *
 * @example The score of MSP
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { rowMaxSoftmax } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([3, 3, 3, 3]), [1, 4]);
 * assertEquals([...rowMaxSoftmax(host, { x }).data], [0.25]);
 * ```
 */
export function rowMaxSoftmax(
  ctx: Context,
  inputs: RowInputs,
  options: TemperatureOptions = {},
): Tensor {
  return reduce(ctx, inputs, { operation: "rowMaxSoftmax", options });
}

/**
 * Floating-point operations of one reduction: one per element; log-sum-exp and the largest softmax
 * do four (a difference, a product, an exponential, a sum).
 *
 * @param shape The matrix.
 * @param operation The reduction.
 * @returns The number of operations.
 *
 * @example A sum
 * ```ts
 * import { rowReduceFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(rowReduceFlops({ rows: 2, columns: 8 }, "rowSum"), 16);
 * ```
 */
export function rowReduceFlops(shape: RowShape, operation: RowReduction): number {
  const each = operation === "rowLogSumExp" || operation === "rowMaxSoftmax" ? 4 : 1;
  return each * shape.rows * shape.columns;
}

/**
 * Bytes that one reduction must move: one read of the matrix, one write per row.
 *
 * @param shape The matrix.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { rowReduceBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(rowReduceBytes({ rows: 2, columns: 8 }), 72);
 * ```
 */
export function rowReduceBytes(shape: RowShape): number {
  return 4 * (shape.rows * shape.columns + shape.rows);
}

/** Names of the reductions. */
export type RowReduction =
  | "rowSum"
  | "rowMean"
  | "rowMax"
  | "rowArgmax"
  | "rowLogSumExp"
  | "rowMaxSoftmax";

function reduce(
  ctx: Context,
  { x }: RowInputs,
  run: { readonly operation: RowReduction; readonly options: TemperatureOptions },
): Tensor {
  const { operation, options } = run;
  const { rows, columns } = requireRows(x, { kernel: operation, name: "x" });
  const temperature = requirePositive(options.temperature ?? 1, {
    kernel: operation,
    name: "temperature",
  });
  const { code, ofRow } = REDUCTIONS[operation];
  const output = ctx.empty([rows], operation === "rowArgmax" ? "u32" : "f32", { label: operation });
  if (!isGpu(ctx)) {
    const y = output.data as Float32Array | Uint32Array;
    reduceRows(hostFloats(x), y, { rows, columns, temperature, reduce: ofRow });
    return output;
  }
  dispatchRows(ctx, {
    operation,
    kernels: KERNELS,
    rows,
    columns,
    inputs: [x],
    output,
    options,
    params: { temperature },
    overrides: { OPERATION: code },
  });
  return output;
}
