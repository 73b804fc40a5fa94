/**
 * Lengths of rectified channels in plain loops, with float64 sums.
 *
 * @module
 */

import type { RowShape } from "../_rows.ts";

/**
 * Euclidean length of what is positive in every row.
 *
 * @param x The maps, one channel per row.
 * @param y Where the lengths go.
 * @param shape Channels of all maps, and pixels of a map.
 */
export function channelNormsOfRows(x: Float32Array, y: Float32Array, shape: RowShape): void {
  for (let r = 0; r < shape.rows; r++) {
    let squares = 0;
    for (const value of x.subarray(r * shape.columns, (r + 1) * shape.columns)) {
      if (value > 0) squares += value * value;
    }
    y[r] = Math.sqrt(squares);
  }
}
