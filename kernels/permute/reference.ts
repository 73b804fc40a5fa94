/**
 * Transposes of a batch of matrices.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";

/** Lengths of a batch of matrices. */
export interface MatrixBatch {
  /** Number of matrices. */
  readonly batch: number;
  /** Rows of each. */
  readonly rows: number;
  /** Columns of each. */
  readonly columns: number;
}

/**
 * The transpose of every matrix.
 *
 * @param x The matrices.
 * @param y Where the transposes go.
 * @param shape The lengths.
 */
export function transposeMatrices(
  x: Numbers,
  y: Numbers,
  { batch, rows, columns }: MatrixBatch,
): void {
  for (let n = 0; n < batch; n++) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        y[(n * columns + c) * rows + r] = x[(n * rows + r) * columns + c]!;
      }
    }
  }
}
