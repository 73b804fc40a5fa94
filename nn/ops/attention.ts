/**
 * Attention over lists of rows that can be differentiated.
 *
 * @module
 */

import {
  raggedAttention as raggedAttentionKernel,
  raggedAttentionGradient,
  type RaggedAttentionOptions,
} from "../../kernels/mod.ts";
import type { Tensor } from "../../runtime/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/** What {@linkcode raggedAttention} attends from and to. */
export interface AttentionVariables {
  /** Queries, f32 [Rq, W]. */
  readonly q: Variable;
  /** Keys, f32 [Rk, W]. */
  readonly k: Variable;
  /** Values, f32 [Rk, W]. */
  readonly v: Variable;
}

/** How {@linkcode raggedAttention} finds its lists. */
export interface AttentionLists extends RaggedAttentionOptions {
  /** Where the lists of queries begin and end, i32 [N + 1]. */
  readonly offsets: Tensor;
  /** Where the lists of keys begin and end, i32 [N + 1]; those of the queries by default. */
  readonly keyOffsets?: Tensor | undefined;
}

/**
 * Multi-head attention within each of many lists of different lengths.
 *
 * @param tape The tape.
 * @param variables Queries, keys and values.
 * @param lists Offsets, heads, the longest length, dropout of the probabilities.
 * @returns f32 [Rq, W]; rows behind the last list are zeros.
 *
 * @example A list of one token attends to itself
 * ```ts
 * import { raggedAttention, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([3, 4]), [1, 2]));
 * const offsets = host.upload(new Int32Array([0, 1]), [2]);
 * const lists = { offsets, heads: 1, maxLength: 1 };
 * const y = raggedAttention(new Tape(host), { q: x, k: x, v: x }, lists);
 * assertEquals([...y.value.data], [3, 4]);
 * ```
 */
export function raggedAttention(
  tape: Tape,
  { q, k, v }: AttentionVariables,
  lists: AttentionLists,
): Variable {
  const { offsets, keyOffsets, ...options } = lists;
  const inputs = {
    q: q.value,
    k: k.value,
    v: v.value,
    offsets,
    ...(keyOffsets === undefined ? {} : { keyOffsets }),
  };
  const { y, logSumExp } = raggedAttentionKernel(tape.ctx, inputs, options);
  return tape.operation({
    inputs: [q, k, v],
    output: y,
    saved: [logSumExp],
    backward: (dY, gradients) => {
      const made = raggedAttentionGradient(
        gradients.ctx,
        { ...inputs, y, logSumExp, dY },
        options,
      );
      gradients.send(q, made.dQ);
      gradients.send(k, made.dK);
      gradients.send(v, made.dV);
    },
  });
}
