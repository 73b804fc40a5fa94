/**
 * Keeping the largest elements of rows in plain loops, with float64 sums.
 *
 * @module
 */

import type { RowShape } from "../_rows.ts";

/** What becomes of a row once its largest elements are known. */
export type KeepTopMode = "prune" | "fill" | "scale" | "scaleAll";

/** Quotients of sums above this count as this, so that their exponential stays finite in float32. */
export const LARGEST_EXPONENT = 80;
/** Sums of what is kept below this count as this. */
export const LEAST_SUM = 1e-30;

/**
 * Keeps the largest elements of every row; see `keepTop`.
 *
 * @param x The matrix.
 * @param y Where the result goes.
 * @param how Sizes, how many are kept, and what becomes of them.
 */
export function keepTopOfRows(
  x: Float32Array,
  y: Float32Array,
  how: RowShape & { readonly count: number; readonly mode: KeepTopMode },
): void {
  const { rows, columns, count, mode } = how;
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * columns, (r + 1) * columns);
    const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
    const kept = order.slice(0, count);
    const sum = row.reduce((total, value) => total + value, 0);
    const sumKept = kept.reduce((total, c) => total + row[c]!, 0);
    const quotient = Math.min(Math.max(sum / Math.max(sumKept, LEAST_SUM), 0), LARGEST_EXPONENT);
    const factor = mode === "prune" ? 1 : Math.exp(quotient);
    const into = y.subarray(r * columns, (r + 1) * columns);
    into.fill(0);
    for (const c of mode === "scaleAll" ? order : kept) {
      into[c] = mode === "fill" ? sum / count : row[c]! * factor;
    }
  }
}
