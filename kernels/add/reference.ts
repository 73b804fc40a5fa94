/**
 * Sums and multiples of arrays in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";

/** Two arrays of one length. */
export interface Pair {
  /** The first. */
  readonly a: Numbers;
  /** The second. */
  readonly b: Numbers;
}

/**
 * The sum of two arrays.
 *
 * @param pair The arrays.
 * @param y Where it goes; may be one of them.
 * @param how Factor of the second, and whether the sum's positive part is taken.
 */
export function addArrays(
  { a, b }: Pair,
  y: Numbers,
  how: { readonly factor: number; readonly relu: boolean },
): void {
  for (let i = 0; i < y.length; i++) {
    const sum = a[i]! + how.factor * b[i]!;
    y[i] = how.relu ? Math.max(sum, 0) : sum;
  }
}

/**
 * A multiple of an array.
 *
 * @param x The array.
 * @param y Where it goes.
 * @param factor The factor.
 */
export function scaleArray(x: Numbers, y: Numbers, factor: number): void {
  x.forEach((value, i) => y[i] = factor * value);
}
