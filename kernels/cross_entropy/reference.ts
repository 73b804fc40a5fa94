/**
 * Softmax and cross-entropy of rows in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";

/** What a cross-entropy gives, row by row. */
export interface CrossEntropyArrays {
  /** Losses, [rows]. */
  readonly loss: Numbers;
  /** 1 where the largest logit is the label's, [rows]. */
  readonly correct: Numbers;
  /** Gradient of the logits, [rows, classes]. */
  readonly dLogits: Numbers;
}

/** How it is computed. */
export interface CrossEntropyProblem {
  /** Number of classes. */
  readonly classes: number;
  /** Share of the target that is spread over all classes. */
  readonly smoothing: number;
  /** A label that does not count. */
  readonly ignored: number;
  /** Multiplies the gradient. */
  readonly scale: number;
}

/**
 * Loss, gradient and hits of every row.
 *
 * @param inputs Logits and labels.
 * @param results Where the results go.
 * @param problem Number of classes, and how to compute.
 */
export function crossEntropyRows(
  { logits, labels }: { readonly logits: Numbers; readonly labels: Int32Array },
  { loss, correct, dLogits }: CrossEntropyArrays,
  { classes, smoothing, ignored, scale }: CrossEntropyProblem,
): void {
  labels.forEach((label, r) => {
    const row = logits.subarray(r * classes, (r + 1) * classes);
    const gradient = dLogits.subarray(r * classes, (r + 1) * classes);
    if (label < 0 || label >= classes || label === ignored) {
      gradient.fill(0);
      loss[r] = 0;
      correct[r] = 0;
      return;
    }
    let top = -Infinity;
    for (const value of row) top = Math.max(top, value);
    let mass = 0;
    for (const value of row) mass += Math.exp(value - top);
    let sum = 0;
    row.forEach((value, j) => {
      const target = (j === label ? 1 - smoothing : 0) + smoothing / classes;
      const logProbability = value - top - Math.log(mass);
      sum -= target * logProbability;
      gradient[j] = scale * (Math.exp(logProbability) - target);
    });
    loss[r] = sum;
    correct[r] = row.indexOf(top) === label ? 1 : 0;
  });
}
