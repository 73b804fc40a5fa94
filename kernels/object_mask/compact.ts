/**
 * From tokens and attention to packed object tokens, without a look from the host in between.
 *
 * @module
 */

import type { Context, Tensor } from "../../runtime/mod.ts";
import { prefixSum } from "../prefix_sum/mod.ts";
import { raggedGather } from "../ragged_gather/mod.ts";
import {
  type ObjectMask,
  objectMask,
  type ObjectMaskInputs,
  type ObjectMaskOptions,
} from "./mod.ts";

/** Tensors of {@linkcode compactTokens}. */
export interface CompactTokensInputs extends ObjectMaskInputs {
  /** Tokens of all images, f32 [N, T, E]. */
  readonly tokens: Tensor;
}

/** Options of {@linkcode compactTokens}. */
export interface CompactTokensOptions extends Pick<ObjectMaskOptions, "tau" | "fallback"> {
  /** Rows of `packed`, N T by default, which is always enough. */
  readonly capacity?: number | undefined;
}

/** What {@linkcode compactTokens} gives. */
export interface CompactTokens extends ObjectMask {
  /** The tokens that are kept, one image's behind the other's, then zeros: f32 [capacity, E]. */
  readonly packed: Tensor;
  /** Where each image's tokens begin in `packed` and where the last one's end, i32 [N + 1]. */
  readonly offsets: Tensor;
}

/**
 * The object tokens of a batch of images: thresholds the attention of predicted tags, and packs the
 * tokens that are kept.
 *
 * Records {@linkcode objectMask}, `prefixSum` and `raggedGather`; nothing is read back.
 *
 * @param ctx Where it runs.
 * @param inputs Tokens, attention, logits, the in-distribution tags and their thresholds.
 * @param options The threshold on the attention, what happens without a predicted tag, and rows of the
 * result.
 * @returns The packed tokens, their offsets, and what the mask gives.
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an element type does not fit.
 * @throws {RangeError} When tau is not from 0 to 1, or the capacity is no whole number.
 *
 * @example One of two tokens
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { compactTokens } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const { packed, offsets } = compactTokens(host, {
 *   tokens: host.upload(new Float32Array([1, 2]), [1, 2, 1]),
 *   attention: host.upload(new Float32Array([0.1, 0.9]), [1, 1, 2]),
 *   tagLogits: host.upload(new Float32Array([3]), [1, 1]),
 *   tags: host.upload(new Int32Array([0]), [1]),
 *   thresholds: host.upload(new Float32Array([0]), [1]),
 * }, { tau: 0.5 });
 * assertEquals([...packed.data], [2, 0]);
 * assertEquals([...offsets.data], [0, 1]);
 * ```
 */
export function compactTokens(
  ctx: Context,
  inputs: CompactTokensInputs,
  options: CompactTokensOptions,
): CompactTokens {
  const { tokens: x, ...rest } = inputs;
  const mask = objectMask(ctx, rest, options);
  const offsets = prefixSum(ctx, { x: mask.counts });
  const capacity = options.capacity ?? mask.keep.size;
  const packed = raggedGather(ctx, { x, keep: mask.keep, offsets }, { capacity });
  return { ...mask, packed, offsets };
}
