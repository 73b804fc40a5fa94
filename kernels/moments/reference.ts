/**
 * Sums and second moments in plain loops, with float64 sums.
 *
 * @module
 */

/** A matrix and the vector that is subtracted from its rows. */
export interface ShiftedRows {
  /** The matrix, row-major. */
  readonly x: Float32Array;
  /** One number per column. */
  readonly shift: Float32Array;
}

/**
 * Sum and second moments of shifted rows.
 *
 * @param input Matrix and shift.
 * @param output Where sum [C] and gram [C, C] go.
 */
export function momentsOfRows(
  { x, shift }: ShiftedRows,
  output: { readonly sum: Float32Array; readonly gram: Float32Array },
): void {
  const columns = shift.length;
  const sum = new Float64Array(columns);
  const gram = new Float64Array(columns * columns);
  const row = new Float64Array(columns);
  for (let start = 0; start < x.length; start += columns) {
    for (let i = 0; i < columns; i++) {
      row[i] = x[start + i]! - shift[i]!;
      sum[i]! += row[i]!;
    }
    for (let i = 0; i < columns; i++) {
      for (let j = i; j < columns; j++) gram[i * columns + j]! += row[i]! * row[j]!;
    }
  }
  for (let i = 0; i < columns; i++) {
    for (let j = 0; j < i; j++) gram[i * columns + j] = gram[j * columns + i]!;
  }
  output.sum.set(sum);
  output.gram.set(gram);
}

/**
 * Sum and number of the shifted rows of each class; labels without a class are skipped.
 *
 * @param input Matrix, shift, and one label per row.
 * @param output Where sums [K, C] and counts [K] go.
 */
export function classSumsOfRows(
  { x, shift, labels }: ShiftedRows & { readonly labels: Int32Array },
  output: { readonly sums: Float32Array; readonly counts: Float32Array },
): void {
  const columns = shift.length;
  const sums = new Float64Array(output.sums.length);
  labels.forEach((label, n) => {
    if (label < 0 || label >= output.counts.length) return;
    output.counts[label]!++;
    for (let c = 0; c < columns; c++) {
      sums[label * columns + c]! += x[n * columns + c]! - shift[c]!;
    }
  });
  output.sums.set(sums);
}
