/**
 * Layer normalisation in plain loops, with float64 sums.
 *
 * @module
 */

import type { RowShape } from "../_rows.ts";

/** What a layer normalisation needs besides the matrix. */
export interface LayerNormProblem extends RowShape {
  /** Factor of each column. */
  readonly weight: Float32Array | undefined;
  /** Summand of each column. */
  readonly bias: Float32Array | undefined;
  /** Added to the variance. */
  readonly epsilon: number;
}

/**
 * Normalises every row to mean zero and variance one, then scales and shifts its columns.
 *
 * @param x The matrix.
 * @param y Where the result goes.
 * @param how Sizes, weight, bias, epsilon.
 */
export function layerNormRows(x: Float32Array, y: Float32Array, how: LayerNormProblem): void {
  const { rows, columns, weight, bias, epsilon } = how;
  for (let r = 0; r < rows; r++) {
    const start = r * columns;
    const row = x.subarray(start, start + columns);
    let sum = 0;
    for (const value of row) sum += value;
    const mean = sum / columns;
    let deviations = 0;
    for (const value of row) deviations += (value - mean) ** 2;
    const scale = 1 / Math.sqrt(deviations / columns + epsilon);
    row.forEach((value, c) => {
      y[start + c] = (value - mean) * scale * (weight?.[c] ?? 1) + (bias?.[c] ?? 0);
    });
  }
}
