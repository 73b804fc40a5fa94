/**
 * L2 normalisation in plain loops, with float64 sums.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";
import type { RowShape } from "../_rows.ts";

/**
 * Scales every row to length one; a row of zeros stays zero.
 *
 * @param x The matrix.
 * @param y Where the scaled rows go.
 * @param how Sizes, and the length below which a row is not scaled up further.
 */
export function l2NormalizeRows(
  x: Numbers,
  y: Numbers,
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

/**
 * The gradient of {@linkcode l2NormalizeRows}.
 *
 * @param inputs The rows before, and the gradient that comes in.
 * @param dX Where the gradient goes.
 * @param how Sizes, and the length below which a row was not scaled up further.
 */
export function l2NormalizeRowsGradient(
  { x, dY }: { readonly x: Numbers; readonly dY: Numbers },
  dX: Numbers,
  how: RowShape & { readonly epsilon: number },
): void {
  for (let r = 0; r < how.rows; r++) {
    const start = r * how.columns;
    const row = x.subarray(start, start + how.columns);
    let squares = 0;
    let product = 0;
    row.forEach((value, c) => {
      squares += value * value;
      product += value * dY[start + c]!;
    });
    const norm = Math.sqrt(squares);
    const length = Math.max(norm, how.epsilon);
    const along = norm > how.epsilon ? product / squares : 0;
    row.forEach((value, c) => {
      dX[start + c] = (dY[start + c]! - value * along) / length;
    });
  }
}
