/**
 * L2 normalisation in plain loops, with float64 sums.
 *
 * @module
 */

import type { RowShape } from "../_rows.ts";

/**
 * Scales every row to length one; a row of zeros stays zero.
 *
 * @param x The matrix.
 * @param y Where the scaled rows go.
 * @param how Sizes, and the length below which a row is not scaled up further.
 */
export function l2NormalizeRows(
  x: Float32Array,
  y: Float32Array,
  how: RowShape & { readonly epsilon: number },
): void {
  for (let r = 0; r < how.rows; r++) {
    const start = r * how.columns;
    const row = x.subarray(start, start + how.columns);
    let squares = 0;
    for (const value of row) squares += value * value;
    const length = Math.max(Math.sqrt(squares), how.epsilon);
    row.forEach((value, c) => {
      y[start + c] = value / length;
    });
  }
}
