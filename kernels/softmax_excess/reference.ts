/**
 * How far the largest softmax of rows lies above chance, in plain loops and float64.
 *
 * @module
 */

import type { RowShape } from "../_rows.ts";

/**
 * The mean of -T expm1((x - max) / T) of every row; see `softmaxExcess`.
 *
 * @param x The matrix.
 * @param y Where the results go, one per row.
 * @param how Sizes and temperature.
 */
export function softmaxExcessOfRows(
  x: Float32Array,
  y: Float32Array,
  how: RowShape & { readonly temperature: number },
): void {
  const { rows, columns, temperature } = how;
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * columns, (r + 1) * columns);
    const top = row.reduce((most, value) => Math.max(most, value), -Infinity);
    let sum = 0;
    for (const value of row) sum -= Math.expm1((value - top) / temperature);
    y[r] = temperature * sum / columns;
  }
}
