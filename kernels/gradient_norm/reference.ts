/**
 * The size of the gradient of a linear head's weight, in plain loops and float64.
 *
 * @module
 */

/** Lengths of {@linkcode gradientNormOfRows}. */
export interface GradientNormSize {
  /** Number of rows. */
  readonly rows: number;
  /** Number of features, C. */
  readonly channels: number;
  /** Number of classes, K. */
  readonly classes: number;
}

/**
 * |x|_1 times the sum of |K p - 1| of every row; see `gradientNorm`.
 *
 * @param features [rows, channels].
 * @param logits [rows, classes].
 * @param size The lengths.
 * @returns One value per row.
 */
export function gradientNormOfRows(
  features: Float32Array,
  logits: Float32Array,
  size: GradientNormSize,
): Float32Array<ArrayBuffer> {
  const { rows, channels, classes } = size;
  return Float32Array.from({ length: rows }, (_, r) => {
    const x = features.subarray(r * channels, (r + 1) * channels);
    const z = logits.subarray(r * classes, (r + 1) * classes);
    const magnitude = x.reduce((sum, value) => sum + Math.abs(value), 0);
    const top = z.reduce((most, value) => Math.max(most, value), -Infinity);
    const powers = Float64Array.from(z, (value) => Math.exp(value - top));
    const sum = powers.reduce((total, power) => total + power, 0);
    const gap = powers.reduce((total, power) => total + Math.abs(classes * power / sum - 1), 0);
    return magnitude * gap;
  });
}
