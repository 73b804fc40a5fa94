/**
 * The middle of several measurements.
 *
 * @module
 */

/** The median; of an even number of values the upper one of the two in the middle. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
