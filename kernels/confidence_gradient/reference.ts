/**
 * The direction in which logits lose confidence, in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";

/**
 * The direction of every row; see `confidenceGradient`.
 *
 * @param logits The logits, [rows, classes].
 * @param dLogits Where the directions go, [rows, classes].
 * @param how Number of classes, and the temperature.
 */
export function confidenceGradientRows(
  logits: Numbers,
  dLogits: Numbers,
  { classes, temperature }: { readonly classes: number; readonly temperature: number },
): void {
  for (let start = 0; start < logits.length; start += classes) {
    const row = logits.subarray(start, start + classes);
    const direction = dLogits.subarray(start, start + classes);
    let own = 0;
    row.forEach((value, j) => own = value > row[own]! ? j : own);
    let rival = -Infinity;
    row.forEach((value, j) => rival = j === own ? rival : Math.max(rival, value));
    let sum = 0;
    row.forEach((value, j) => sum += j === own ? 0 : Math.exp((value - rival) / temperature));
    row.forEach((value, j) => {
      direction[j] = j === own
        ? (classes === 1 ? 0 : -1)
        : Math.exp((value - rival) / temperature) / sum;
    });
  }
}
