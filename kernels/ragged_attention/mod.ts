/**
 * Multi-head attention over ragged lists: rows of different lists lie one behind the other, and
 * attention stays inside a list.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats } from "../_arguments.ts";
import { attendNaively } from "./_naive.ts";
import {
  attentionVariant,
  hostProblem,
  problemOf,
  type RaggedAttentionInputs,
  type RaggedAttentionOptions,
} from "./_problem.ts";
import { streamForward } from "./_streamed.ts";
import { attendLists } from "./reference.ts";

export * from "./_gradient.ts";
export type { RaggedAttentionTile } from "./_plan.ts";
export type {
  RaggedAttentionDropout,
  RaggedAttentionInputs,
  RaggedAttentionOptions,
  RaggedAttentionVariant,
} from "./_problem.ts";

/** What {@linkcode raggedAttention} gives. */
export interface RaggedAttention {
  /** A mix of values for each query, f32 [Rq, W]. */
  readonly y: Tensor;
  /** Logarithm of the sum of the exponentiated scores, for the gradient, f32 [Rq, heads]. */
  readonly logSumExp: Tensor;
}

/**
 * Multi-head attention inside each list: `softmax(scale q k^T) v`, head by head.
 *
 * f32 [Rq, W], [Rk, W] and [Rk, W] to f32 [Rq, W]; head h owns columns h d to (h + 1) d - 1 with
 * d = W / heads. List n owns the queries offsets[n] to offsets[n + 1] - 1 and looks at the keys
 * keyOffsets[n] to keyOffsets[n + 1] - 1 alone: self-attention without `keyOffsets`, else
 * cross-attention. Offsets are read on the GPU. Rows from the last offset on are padding: never read,
 * and 0 in the results, as are queries whose list has no key. Lists longer than `maxLength` or
 * `maxKeys` are not supported, and not noticed.
 *
 * Dropout: weight j of a query's list stays where element `(query row * heads + head) * stride + j` of
 * `randomUniform` with that seed and stream is at least `rate`, `stride` being `maxKeys` rounded up to
 * a multiple of four.
 *
 * f32, shifted by a running maximum, so that scores of any size are safe; two runs give the same bits.
 * Only the `naive` variant writes a matrix of scores. Source: Dao, "FlashAttention-2: faster attention
 * with better parallelism and work partitioning", 2023.
 *
 * @param ctx Where it runs.
 * @param inputs Queries, keys, values, and where the lists lie.
 * @param options Heads, longest lists, scale, dropout, and a forced variant.
 * @returns The mix, and the log-sum-exp that the gradient needs.
 * @throws {ShapeError} When shapes do not fit.
 * @throws {DTypeError} When offsets do not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When the width is no multiple of the heads, another number is out of its range,
 * or the forced variant does not exist.
 * @throws {TypeError} When `keyOffsets` is given without `maxKeys`.
 *
 * @example Two lists, of one and of two
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { raggedAttention } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const q = host.upload(new Float32Array(3), [3, 1]);
 * const v = host.upload(new Float32Array([7, 1, 3]), [3, 1]);
 * const offsets = host.upload(new Int32Array([0, 1, 3]), [3]);
 * const { y } = raggedAttention(host, { q, k: q, v, offsets }, { heads: 1, maxLength: 2 });
 * assertEquals([...y.data], [7, 2, 2]);
 * ```
 */
export function raggedAttention(
  ctx: Context,
  inputs: RaggedAttentionInputs,
  options: RaggedAttentionOptions,
): RaggedAttention {
  const kernel = "raggedAttention";
  const problem = problemOf(kernel, inputs, options);
  const { rows, heads, width } = problem;
  const y = ctx.empty([rows, width], "f32", { label: kernel });
  const logSumExp = ctx.empty([rows, heads], "f32", { label: `${kernel} logSumExp` });
  if (isGpu(ctx)) {
    const variant = attentionVariant(ctx, kernel, options);
    if (variant === "naive") attendNaively(ctx, inputs, { y, logSumExp, problem });
    else streamForward(ctx, inputs, { y, logSumExp, problem, variant, tile: options.tile });
    return { y, logSumExp };
  }
  const { q, k, v, offsets, keyOffsets = offsets } = inputs;
  attendLists(
    {
      q: hostFloats(q),
      k: hostFloats(k),
      v: hostFloats(v),
      offsets: offsets.data as Int32Array,
      keyOffsets: keyOffsets.data as Int32Array,
    },
    { y: hostFloats(y), logSumExp: hostFloats(logSumExp) },
    hostProblem(problem),
  );
  return { y, logSumExp };
}

/** Sizes of an attention, for its costs. */
export interface RaggedAttentionShape {
  /** Number of heads. */
  readonly heads: number;
  /** Columns of one head. */
  readonly dimension: number;
  /** Queries of each list. */
  readonly lengths: readonly number[];
  /** Keys of each list, as many as queries by default. */
  readonly keyLengths?: readonly number[];
}

/**
 * Floating-point operations of {@linkcode raggedAttention}: two products, and four operations for the
 * softmax of each score, an exponential counted as one.
 *
 * @param shape Its lists.
 * @returns (4 d + 4) heads, times the sum over lists of queries times keys.
 *
 * @example A list of three
 * ```ts
 * import { raggedAttentionFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(raggedAttentionFlops({ heads: 2, dimension: 4, lengths: [3] }), 360);
 * ```
 */
export function raggedAttentionFlops(shape: RaggedAttentionShape): number {
  return pairsOf(shape) * (4 * shape.dimension + 4);
}

/**
 * Bytes that {@linkcode raggedAttention} must move at least: inputs read once, results written once.
 *
 * @param shape Its lists.
 * @returns The number of bytes.
 *
 * @example A list of three
 * ```ts
 * import { raggedAttentionBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(raggedAttentionBytes({ heads: 2, dimension: 4, lengths: [3] }), 408);
 * ```
 */
export function raggedAttentionBytes(shape: RaggedAttentionShape): number {
  const { heads, dimension, lengths, keyLengths = lengths } = shape;
  const [rows, keyRows] = [total(lengths), total(keyLengths)];
  return 4 * heads * (2 * dimension * (rows + keyRows) + rows);
}

/**
 * Floating-point operations of {@linkcode raggedAttentionGradient}: five products, and six operations
 * for each score. What is computed twice in order to write nothing is not counted.
 *
 * @param shape Its lists.
 * @returns (10 d + 6) heads, times the sum over lists of queries times keys.
 *
 * @example A list of three
 * ```ts
 * import { raggedAttentionGradientFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(raggedAttentionGradientFlops({ heads: 2, dimension: 4, lengths: [3] }), 828);
 * ```
 */
export function raggedAttentionGradientFlops(shape: RaggedAttentionShape): number {
  return pairsOf(shape) * (10 * shape.dimension + 6);
}

/**
 * Bytes that {@linkcode raggedAttentionGradient} must move at least: inputs read once, results written
 * once.
 *
 * @param shape Its lists.
 * @returns The number of bytes.
 *
 * @example A list of three
 * ```ts
 * import { raggedAttentionGradientBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(raggedAttentionGradientBytes({ heads: 2, dimension: 4, lengths: [3] }), 792);
 * ```
 */
export function raggedAttentionGradientBytes(shape: RaggedAttentionShape): number {
  const { heads, dimension, lengths, keyLengths = lengths } = shape;
  const [rows, keyRows] = [total(lengths), total(keyLengths)];
  return 4 * heads * (4 * dimension * (rows + keyRows) + rows);
}

function pairsOf({ heads, lengths, keyLengths = lengths }: RaggedAttentionShape): number {
  return heads * lengths.reduce((sum, length, list) => sum + length * keyLengths[list]!, 0);
}

function total(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}
