/**
 * Sums of columns in plain loops, in float64.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/**
 * Sum of every column, times a factor.
 *
 * @param x The matrix, row-major.
 * @param y Where the sums go; its length is the number of columns.
 * @param scale The factor.
 */
export function sumOfColumns(x: Floats, y: Floats, scale = 1): void {
  const columns = y.length;
  const sum = new Float64Array(columns);
  for (let start = 0; start < x.length; start += columns) {
    for (let c = 0; c < columns; c++) sum[c]! += x[start + c]!;
  }
  for (let c = 0; c < columns; c++) y[c] = scale * sum[c]!;
}
