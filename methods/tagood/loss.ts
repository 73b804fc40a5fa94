/**
 * TagOOD's loss (equation 3): cross-entropy, and the distance of a feature to its class's centre.
 *
 * @module
 */

import { centreLoss, crossEntropy, rowMean } from "../../kernels/mod.ts";
import type { Seed } from "../../nn/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";
import type { ProjectionOutput } from "./model.ts";

/** Weights of the loss. */
export interface TagoodWeights {
  /** Weight of cross-entropy; α. */
  readonly alpha: number;
  /** Weight of the distance; β. */
  readonly beta: number;
  /** Factor of the mean square: 1, or 4 where parts of a feature are averaged and then summed. */
  readonly groups: number;
}

/** A recorded loss. */
export interface TagoodLoss {
  /** Mean cross-entropy, f32 [1], before α. */
  readonly crossEntropy: Tensor;
  /** Mean squared distance to the class's centre, f32 [1], before β. */
  readonly distance: Tensor;
  /** Share of images that were classified as labelled, f32 [1]. */
  readonly accuracy: Tensor;
  /** Where a backward pass begins. */
  readonly seeds: readonly Seed[];
}

/**
 * Records the loss α · CE + β · MSE.
 *
 * @param ctx Where to record.
 * @param outputs What the projection model gave for N images.
 * @param how Labels i32 [N], centres f32 [K, W], and the weights.
 * @returns The parts of the loss and the seeds.
 */
export function tagoodLoss(
  ctx: Context,
  { features, logits }: ProjectionOutput,
  how: TagoodWeights & { readonly labels: Tensor; readonly centres: Tensor },
): TagoodLoss {
  const { labels, centres, alpha, beta, groups } = how;
  const [images] = features.shape;
  const classified = crossEntropy(ctx, { logits: logits.value, labels }, {
    scale: alpha / images!,
  });
  const pulled = centreLoss(ctx, { features: features.value, centres, labels }, {
    groups,
    scale: beta / images!,
  });
  return {
    crossEntropy: meanOf(ctx, classified.loss),
    distance: meanOf(ctx, pulled.loss),
    accuracy: meanOf(ctx, classified.correct),
    seeds: [
      { variable: logits, gradient: classified.dLogits },
      { variable: features, gradient: pulled.dFeatures },
    ],
  };
}

function meanOf(ctx: Context, values: Tensor): Tensor {
  return rowMean(ctx, { x: values.reshape([1, values.size]) });
}
