/**
 * Percentiles by sorting.
 *
 * @module
 */

/**
 * A percentile with linear interpolation between the two nearest elements, in float64.
 *
 * @param values All values; not changed.
 * @param q Percent, 0 to 100.
 * @returns The percentile; NaN of no values.
 */
export function percentileOfSorted(values: Float32Array, q: number): number {
  const sorted = values.slice().sort();
  const { low, high, fraction } = ranksOf(sorted.length, q);
  return between(sorted[low] ?? NaN, sorted[high] ?? NaN, fraction);
}

/** Which elements of the sorted values a percentile lies between. */
export interface Ranks {
  /** Index of the element at or below it. */
  readonly low: number;
  /** Index of the element at or above it. */
  readonly high: number;
  /** How far it is from the one to the other, 0 to 1. */
  readonly fraction: number;
}

/**
 * The ranks of a percentile: position `q / 100 * (count - 1)`.
 *
 * @param count Number of values, at least 1.
 * @param q Percent, 0 to 100.
 * @returns The ranks.
 */
export function ranksOf(count: number, q: number): Ranks {
  const position = q / 100 * (count - 1);
  const low = Math.min(count - 1, Math.floor(position));
  return { low, high: Math.min(count - 1, low + 1), fraction: position - low };
}

/**
 * Linear interpolation that is exact at both ends and where they are equal.
 *
 * @param low The value at fraction 0.
 * @param high The value at fraction 1.
 * @param fraction Where between them.
 * @returns The value.
 */
export function between(low: number, high: number, fraction: number): number {
  if (low === high) return low;
  const step = high - low;
  return fraction >= 0.5 ? high - step * (1 - fraction) : low + step * fraction;
}
