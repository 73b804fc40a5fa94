/**
 * Prefix sums in a plain loop.
 *
 * @module
 */

/**
 * Exclusive prefix sums; see `prefixSum`.
 *
 * @param x The integers.
 * @returns One sum more than there are integers, from 0 to the sum of all.
 */
export function prefixSumReference(x: Int32Array): Int32Array<ArrayBuffer> {
  const y = new Int32Array(x.length + 1);
  x.forEach((value, i) => y[i + 1] = y[i]! + value);
  return y;
}
