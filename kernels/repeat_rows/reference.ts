/**
 * A matrix again and again, in plain loops and in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/**
 * Repeats an array as often as the result has room.
 *
 * @param x The array.
 * @param y Where its repeats go.
 */
export function repeatRowsReference(x: Floats, y: Floats): void {
  for (let begin = 0; begin < y.length; begin += x.length) y.set(x, begin);
}

/**
 * The sum over all repeats.
 *
 * @param dY The gradient that comes in.
 * @param dX Where the sum goes.
 */
export function repeatRowsGradientReference(dY: Floats, dX: Floats): void {
  const sums = new Float64Array(dX.length);
  dY.forEach((value, i) => sums[i % sums.length]! += value);
  dX.set(sums);
}
