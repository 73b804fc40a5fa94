/**
 * Softmax in plain loops, with float64 sums.
 *
 * @module
 */

import type { RowShape } from "../_rows.ts";
import { maxOfRow, weightOfRow } from "../row_reduce/reference.ts";

/**
 * Softmax of every row.
 *
 * @param x The matrix.
 * @param y Where the probabilities go.
 * @param how Sizes and temperature.
 */
export function softmaxRows(
  x: Float32Array,
  y: Float32Array,
  how: RowShape & { readonly temperature: number },
): void {
  for (let r = 0; r < how.rows; r++) {
    const start = r * how.columns;
    const row = x.subarray(start, start + how.columns);
    const top = maxOfRow(row);
    const weight = weightOfRow(row, how.temperature);
    row.forEach((value, c) => {
      y[start + c] = Math.exp((value - top) / how.temperature) / weight;
    });
  }
}
