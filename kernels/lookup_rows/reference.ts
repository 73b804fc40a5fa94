/**
 * Rows of a table in plain loops.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/**
 * Looks up rows; zeros where there is no such row.
 *
 * @param inputs The table and the numbers of its rows.
 * @param y Where the rows go, [samples, columns].
 * @param columns Number of columns.
 */
export function lookupRowsReference(
  { table, index }: { readonly table: Floats; readonly index: Int32Array },
  y: Floats,
  columns: number,
): void {
  y.fill(0);
  index.forEach((row, n) => {
    if (row < 0 || row >= table.length / columns) return;
    y.set(table.subarray(row * columns, (row + 1) * columns), n * columns);
  });
}

/**
 * The gradient by the table, summed in float64.
 *
 * @param inputs The gradient that comes in, and the numbers.
 * @param dTable Where it goes.
 * @param columns Number of columns.
 */
export function lookupRowsGradientReference(
  { dY, index }: { readonly dY: Floats; readonly index: Int32Array },
  dTable: Floats,
  columns: number,
): void {
  const sums = new Float64Array(dTable.length);
  index.forEach((row, n) => {
    if (row < 0 || row >= dTable.length / columns) return;
    for (let c = 0; c < columns; c++) sums[row * columns + c]! += dY[n * columns + c]!;
  });
  dTable.set(sums);
}
