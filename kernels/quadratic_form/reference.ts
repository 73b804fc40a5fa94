/**
 * The whitened quadratic form in plain loops with float64 sums.
 *
 * @module
 */

/** Lengths of a quadratic form. */
export interface QuadraticFormSize {
  /** Rows. */
  readonly rows: number;
  /** Channels of a row. */
  readonly channels: number;
  /** Channels after whitening. */
  readonly rank: number;
}

/**
 * ||(x - mean) W||^2 of every row.
 *
 * @param arrays x [rows, channels], mean [channels], whitening [channels, rank].
 * @param size The lengths.
 * @returns One value per row.
 */
export function quadraticFormReference(
  arrays: {
    readonly x: Float32Array<ArrayBuffer>;
    readonly mean: Float32Array<ArrayBuffer>;
    readonly whitening: Float32Array<ArrayBuffer>;
  },
  size: QuadraticFormSize,
): Float32Array<ArrayBuffer> {
  const { x, mean, whitening } = arrays;
  const { rows, channels, rank } = size;
  const result = new Float32Array(rows);
  const whitened = new Float64Array(rank);
  for (let row = 0; row < rows; row++) {
    whitened.fill(0);
    for (let l = 0; l < channels; l++) {
      const centred = x[row * channels + l]! - mean[l]!;
      for (let j = 0; j < rank; j++) {
        whitened[j] = whitened[j]! + centred * whitening[l * rank + j]!;
      }
    }
    result[row] = whitened.reduce((sum, value) => sum + value * value, 0);
  }
  return result;
}
