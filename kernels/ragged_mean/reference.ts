/**
 * Means of ragged lists in plain loops, with float64 sums.
 *
 * @module
 */

/**
 * Means of the rows of lists; see `raggedMean`.
 *
 * @param arrays The rows and where each list begins.
 * @param y [lists, columns]; the means go there.
 * @param columns Columns of a row.
 */
export function raggedMeanReference(
  { x, offsets }: { readonly x: Float32Array; readonly offsets: Int32Array },
  y: Float32Array,
  columns: number,
): void {
  for (let n = 0; n + 1 < offsets.length; n++) {
    const [begin, end] = [offsets[n]!, offsets[n + 1]!];
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let r = begin; r < end; r++) sum += x[r * columns + c]!;
      y[n * columns + c] = sum / Math.max(1, end - begin);
    }
  }
}
