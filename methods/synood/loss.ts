/**
 * SynOOD's losses (equations 12 and 14) on rows whose cosines are scaled already.
 *
 * @module
 */

import { crossEntropy, matmul, matmulPanels, rowMean } from "../../kernels/mod.ts";
import { l2Normalize, linear, lookupRows, type Seed, type Tape, Variable } from "../../nn/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";

/** A recorded loss. */
export interface LabelledLoss {
  /** Its mean over the batch, f32 [1]. */
  readonly loss: Tensor;
  /** Share of rows that were told right, f32 [1]. */
  readonly accuracy: Tensor;
  /** Where a backward pass begins. */
  readonly seed: Seed;
}

/**
 * Image to text: cross-entropy of each image over the labels (equation 12, and label tuning as in
 * the authors' code).
 *
 * @param tape The tape.
 * @param images f32 [N, D]; cosines with labels are logits, so one side has length 1/τ, the other 1.
 * @param how Labels f32 [L, D], and the label of each image, i32 [N].
 * @returns The loss.
 */
export function imageToText(
  tape: Tape,
  images: Variable,
  { labels, targets }: { readonly labels: Variable | FrozenLabels; readonly targets: Tensor },
): LabelledLoss {
  const logits = labels instanceof Variable
    ? linear(tape, images, { weight: labels })
    : labels(tape, images);
  return classified(tape.ctx, logits, targets);
}

/** Cosines of images f32 [N, D] with labels that do not learn, f32 [N, L]. */
export type FrozenLabels = (tape: Tape, images: Variable) => Variable;

/**
 * Labels that do not learn, made ready once for the products of all steps.
 *
 * @param ctx Owner of what is made.
 * @param labels f32 [L, D].
 * @param options Images of a step.
 * @returns What compares images with them.
 */
export function frozenLabels(
  ctx: Context,
  labels: Tensor,
  options: { readonly images: number },
): FrozenLabels {
  const rows = options.images;
  const forward = matmulPanels(ctx, { b: labels }, { rows, transposeB: true });
  const back = matmulPanels(ctx, { b: labels }, { rows });
  return (tape, images) =>
    tape.operation({
      inputs: [images],
      output: matmul(tape.ctx, { a: images.value, b: labels }, {
        transposeB: true,
        panelsOfB: forward,
      }),
      backward: (dY, gradients) =>
        gradients.send(
          images,
          matmul(gradients.ctx, { a: dY, b: labels }, { panelsOfB: back }),
        ),
    });
}

/**
 * Text to image: for each image its label's similarity to it against the similarities of that label
 * to all images of the batch (equation 14). An image whose label another image shares is one of the
 * others for it, as the equation reads.
 *
 * @param tape The tape.
 * @param images f32 [N, D], of length 1/τ.
 * @param how Labels f32 [L, D] of any length, the label of each image, i32 [N], and 0, 1, …, N - 1.
 * @returns The loss.
 */
export function textToImage(
  tape: Tape,
  images: Variable,
  how: { readonly labels: Variable; readonly targets: Tensor; readonly diagonal: Tensor },
): LabelledLoss {
  const own = l2Normalize(tape, lookupRows(tape, how.labels, { index: how.targets }));
  return classified(tape.ctx, linear(tape, own, { weight: images }), how.diagonal);
}

function classified(ctx: Context, logits: Variable, targets: Tensor): LabelledLoss {
  const { loss, correct, dLogits } = crossEntropy(ctx, { logits: logits.value, labels: targets });
  return {
    loss: meanOf(ctx, loss),
    accuracy: meanOf(ctx, correct),
    seed: { variable: logits, gradient: dLogits },
  };
}

function meanOf(ctx: Context, values: Tensor): Tensor {
  return rowMean(ctx, { x: values.reshape([1, values.size]) });
}
