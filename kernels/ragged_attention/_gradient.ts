/**
 * The gradients of an attention over ragged lists.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, requireMatrix } from "../_arguments.ts";
import { attendNaivelyGradient } from "./_naive.ts";
import {
  attentionVariant,
  hostProblem,
  problemOf,
  type RaggedAttentionInputs,
  type RaggedAttentionOptions,
} from "./_problem.ts";
import { streamGradient } from "./_streamed.ts";
import { attendListsGradient } from "./reference.ts";

/** Tensors of {@linkcode raggedAttentionGradient}. */
export interface RaggedAttentionGradientInputs extends RaggedAttentionInputs {
  /** What `raggedAttention` gave, f32 [Rq, W]. */
  readonly y: Tensor;
  /** Its log-sum-exp, f32 [Rq, heads]. */
  readonly logSumExp: Tensor;
  /** Gradient of `y`, f32 [Rq, W]. */
  readonly dY: Tensor;
}

/** What {@linkcode raggedAttentionGradient} gives. */
export interface RaggedAttentionGradients {
  /** Gradient of the queries, f32 [Rq, W]. */
  readonly dQ: Tensor;
  /** Gradient of the keys, f32 [Rk, W]. */
  readonly dK: Tensor;
  /** Gradient of the values, f32 [Rk, W]. */
  readonly dV: Tensor;
}

/**
 * The gradients of `raggedAttention`; scores are computed again from queries and keys.
 *
 * f32, without atomics; two runs give the same bits. Rows of padding get 0, and those of `dY` are not
 * read.
 *
 * @param ctx Where it runs.
 * @param inputs What `raggedAttention` took and gave, and the gradient that comes in.
 * @param options As for `raggedAttention`.
 * @returns The gradients.
 * @throws {ShapeError} When shapes do not fit.
 * @throws {DTypeError} When offsets do not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When the width is no multiple of the heads, another number is out of its range,
 * or the forced variant does not exist.
 * @throws {TypeError} When `keyOffsets` is given without `maxKeys`.
 *
 * @example Two keys that count alike
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { raggedAttention, raggedAttentionGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const options = { heads: 1, maxLength: 2 };
 * const offsets = host.upload(new Int32Array([0, 2]), [2]);
 * const [q, v, dY] = [[0, 0], [1, 3], [4, 2]].map((row) => host.upload(new Float32Array(row), [2, 1]));
 * const inputs = { q: q!, k: q!, v: v!, offsets };
 * const { y, logSumExp } = raggedAttention(host, inputs, options);
 * const { dV } = raggedAttentionGradient(host, { ...inputs, y, logSumExp, dY: dY! }, options);
 * assertEquals([...dV.data], [3, 3]);
 * ```
 */
export function raggedAttentionGradient(
  ctx: Context,
  inputs: RaggedAttentionGradientInputs,
  options: RaggedAttentionOptions,
): RaggedAttentionGradients {
  const kernel = "raggedAttentionGradient";
  const { q, k, v, offsets, keyOffsets = offsets, y, logSumExp, dY } = inputs;
  const problem = problemOf(kernel, inputs, options);
  const { rows, keyRows, heads, width } = problem;
  requireMatrix(y, { kernel, name: "y", rows, columns: width });
  requireMatrix(logSumExp, { kernel, name: "logSumExp", rows, columns: heads });
  requireMatrix(dY, { kernel, name: "dY", rows, columns: width });
  const dQ = ctx.empty([rows, width], "f32", { label: "raggedAttention dQ" });
  const dK = ctx.empty([keyRows, width], "f32", { label: "raggedAttention dK" });
  const dV = ctx.empty([keyRows, width], "f32", { label: "raggedAttention dV" });
  if (isGpu(ctx)) {
    const variant = attentionVariant(ctx, kernel, options);
    if (variant === "naive") attendNaivelyGradient(ctx, inputs, { dQ, dK, dV, problem });
    else streamGradient(ctx, inputs, { dQ, dK, dV, problem, variant, tile: options.tile });
    return { dQ, dK, dV };
  }
  attendListsGradient(
    {
      q: hostFloats(q),
      k: hostFloats(k),
      v: hostFloats(v),
      offsets: offsets.data as Int32Array,
      keyOffsets: keyOffsets.data as Int32Array,
      y: hostFloats(y),
      logSumExp: hostFloats(logSumExp),
      dY: hostFloats(dY),
    },
    { dQ: hostFloats(dQ), dK: hostFloats(dK), dV: hostFloats(dV) },
    hostProblem(problem),
  );
  return { dQ, dK, dV };
}
