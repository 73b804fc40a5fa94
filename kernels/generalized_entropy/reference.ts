/**
 * Generalised entropy in plain loops, in float64.
 *
 * @module
 */

import type { RowShape } from "../_rows.ts";

/** Sizes and parameters of a generalised entropy. */
export interface GeneralizedEntropyProblem extends RowShape {
  /** Exponent, positive. */
  readonly gamma: number;
  /** Number of probabilities that count, 1 to the number of columns. */
  readonly count: number;
}

/**
 * Minus the sum of p^gamma (1 - p)^gamma over the largest probabilities of every row's softmax.
 *
 * @param x The logits.
 * @param y Where the results go.
 * @param how Sizes and parameters.
 */
export function generalizedEntropyOfRows(
  x: Float32Array,
  y: Float32Array,
  how: GeneralizedEntropyProblem,
): void {
  const { rows, columns, gamma, count } = how;
  for (let r = 0; r < rows; r++) {
    const sorted = Float64Array.from(x.subarray(r * columns, (r + 1) * columns)).sort().reverse();
    const top = sorted[0]!;
    let others = 0;
    for (let c = 1; c < columns; c++) others += Math.exp(sorted[c]! - top);
    const logSum = Math.log1p(others);
    let entropy = 0;
    for (let c = 0; c < count; c++) {
      const logP = sorted[c]! - top - logSum;
      const q = -Math.expm1(logP);
      // The power of a zero is zero, also where the logarithm of p alone would say otherwise.
      if (q > 0) entropy += Math.exp(gamma * (logP + Math.log(q)));
    }
    y[r] = 0 - entropy;
  }
}
