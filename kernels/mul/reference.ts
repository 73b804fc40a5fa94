/**
 * Products element by element, and their gradients, in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";

/** How the second factor spreads over the first. */
export interface Spread {
  /** Elements of one map. */
  readonly plane: number;
  /** Its channels; as many as `plane` where both factors have one shape. */
  readonly channels: number;
}

/** Index of the element of b that meets element i of a. */
function partner(i: number, { plane, channels }: Spread): number {
  return Math.floor(i / plane) * channels + i % channels;
}

/**
 * The product.
 *
 * @param factors Both factors.
 * @param y Where it goes.
 * @param spread How b spreads over a.
 */
export function multiply(
  { a, b }: { readonly a: Numbers; readonly b: Numbers },
  y: Numbers,
  spread: Spread,
): void {
  a.forEach((value, i) => y[i] = value * b[partner(i, spread)]!);
}

/**
 * The gradient of the second factor.
 *
 * @param inputs The first factor, and the gradient that comes in.
 * @param dB Where the gradient goes.
 * @param spread How b spreads over a.
 */
export function secondFactorGradient(
  { a, dY }: { readonly a: Numbers; readonly dY: Numbers },
  dB: Numbers,
  spread: Spread,
): void {
  const sums = new Float64Array(dB.length);
  a.forEach((value, i) => sums[partner(i, spread)]! += value * dY[i]!);
  dB.set(sums);
}
