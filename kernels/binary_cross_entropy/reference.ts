/**
 * Binary cross-entropy of rows in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** What a binary cross-entropy reads. */
export interface BinaryCrossEntropyArrays {
  /** Logits, [rows, labels]. */
  readonly logits: Floats;
  /** Targets, [rows, labels]. */
  readonly targets: Floats;
  /** Weights of the positive terms, [labels]. */
  readonly weights?: Floats | undefined;
}

/** log(1 + exp(z)) without overflow. */
function softplus(z: number): number {
  return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
}

/** 1 / (1 + exp(-z)) without overflow. */
function sigmoid(z: number): number {
  const e = Math.exp(-Math.abs(z));
  return (z >= 0 ? 1 : e) / (1 + e);
}

/**
 * Loss of every row and the gradient of the logits.
 *
 * @param arrays Logits, targets and weights.
 * @param results Where losses and gradient go.
 * @param scale Multiplies the gradient.
 */
export function binaryCrossEntropyReference(
  { logits, targets, weights }: BinaryCrossEntropyArrays,
  { loss, dLogits }: { readonly loss: Floats; readonly dLogits: Floats },
  scale: number,
): void {
  const labels = logits.length / loss.length;
  for (let row = 0; row < loss.length; row++) {
    let sum = 0;
    for (let j = 0; j < labels; j++) {
      const at = row * labels + j;
      const z = logits[at]!;
      const unwanted = 1 - targets[at]!;
      const wanted = targets[at]! * (weights?.[j] ?? 1);
      sum += unwanted * softplus(z) + wanted * softplus(-z);
      dLogits[at] = scale * (unwanted * sigmoid(z) - wanted * sigmoid(-z)) / labels;
    }
    loss[row] = sum / labels;
  }
}
