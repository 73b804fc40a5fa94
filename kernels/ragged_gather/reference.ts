/**
 * Packing the kept rows of images in plain loops.
 *
 * @module
 */

/** Arrays that rows are packed from. */
export interface RaggedGatherArrays {
  /** [images, tokens, columns]. */
  readonly x: Float32Array;
  /** [images, tokens], 0 or 1. */
  readonly keep: Int32Array;
  /** [images + 1]. */
  readonly offsets: Int32Array;
}

/**
 * Packs the kept rows of images; see `raggedGather`.
 *
 * @param arrays The rows, which of them are kept, and where each image begins.
 * @param y Zeros, [capacity, columns]; the packed rows go there.
 * @param columns Columns of a row.
 */
export function raggedGatherReference(
  { x, keep, offsets }: RaggedGatherArrays,
  y: Float32Array,
  columns: number,
): void {
  const images = offsets.length - 1;
  const tokens = images === 0 ? 0 : keep.length / images;
  for (let n = 0; n < images; n++) {
    let row = offsets[n]!;
    for (let token = n * tokens; token < (n + 1) * tokens; token++) {
      if (keep[token] !== 1) continue;
      if ((row + 1) * columns <= y.length) {
        y.set(x.subarray(token * columns, (token + 1) * columns), row * columns);
      }
      row++;
    }
  }
}
