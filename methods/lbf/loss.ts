/**
 * The loss of LBF and its gradients: cross-entropy, and the hinge on the norms of background
 * features (Eq. 2, 5, 6 and 7 of the paper).
 *
 * @module
 */

import {
  backgroundMask,
  crossEntropy,
  normHinge,
  normHingeGradient,
  rowMean,
} from "../../kernels/mod.ts";
import type { Seed, Variable } from "../../nn/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";

/** Where the network stands. */
export interface LbfOutputs {
  /** f32 [N, K]. */
  readonly logits: Variable;
  /** f32 [N, H, W, C]: the last map before global average pooling. */
  readonly featureMap: Variable;
}

/** What says where the background is. */
export interface Selector {
  /** f32 [N, H, W, C]. */
  readonly featureMap: Tensor;
  /** f32 [K, C]. */
  readonly weight: Tensor;
  /** f32 [K]. */
  readonly bias?: Tensor | undefined;
}

/** δ, μ and λ. */
export interface LbfWeights {
  /** δ. */
  readonly delta: number;
  /** μ. */
  readonly margin: number;
  /** λ. */
  readonly weight: number;
}

/** The loss of a batch, and where to go back from. */
export interface LbfLoss {
  /** f32 [1]: mean cross-entropy. */
  readonly crossEntropy: Tensor;
  /** f32 [1]: mean over the background of max(‖z‖ − μ, 0); 0 when there is none. */
  readonly hinge: Tensor;
  /** f32 [1]: number of background locations in the batch. */
  readonly selected: Tensor;
  /** f32 [1]: share of images whose largest logit is their class's. */
  readonly accuracy: Tensor;
  /** Seeds of the backward pass for the whole loss. */
  readonly seeds: readonly Seed[];
}

/**
 * Records the loss.
 *
 * @param ctx Where to record.
 * @param outputs What the network gave.
 * @param how Labels i32 [N], who selects, and δ, μ, λ.
 * @returns The parts of the loss and the seeds.
 */
export function lbfLoss(
  ctx: Context,
  outputs: LbfOutputs,
  how: LbfWeights & { readonly labels: Tensor; readonly selector: Selector },
): LbfLoss {
  const { logits, featureMap } = outputs;
  const { labels, selector, delta, margin, weight } = how;
  const { loss, dLogits, correct } = crossEntropy(ctx, { logits: logits.value, labels });
  const features = locations(featureMap.value);
  const mask = backgroundMask(ctx, {
    features: locations(selector.featureMap),
    weight: selector.weight,
    ...(selector.bias === undefined ? {} : { bias: selector.bias }),
    labels,
  }, { delta }).mask;
  const hinge = normHinge(ctx, { features, mask }, { margin });
  const dFeatures = normHingeGradient(
    ctx,
    { features, mask, norms: hinge.norms, count: hinge.count },
    { margin, weight },
  );
  return {
    crossEntropy: meanOf(ctx, loss),
    hinge: hinge.loss,
    selected: hinge.count,
    accuracy: meanOf(ctx, correct),
    seeds: [
      { variable: logits, gradient: dLogits },
      { variable: featureMap, gradient: dFeatures.reshape(featureMap.shape) },
    ],
  };
}

/** A map [N, H, W, C] as [N, H * W, C]. */
export function locations(map: Tensor): Tensor {
  const [n, h, w, c] = map.shape;
  return map.reshape([n!, h! * w!, c!]);
}

function meanOf(ctx: Context, values: Tensor): Tensor {
  return rowMean(ctx, { x: values.reshape([1, values.size]) });
}
