/**
 * Dropout with the uniform numbers of a stream.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";
import { randomUniformReference } from "../random/reference.ts";

/** Which elements stay. */
export interface DropoutChoice {
  /** Probability of making an element 0. */
  readonly rate: number;
  /** Seed of the uniform numbers. */
  readonly seed: number;
  /** Their stream. */
  readonly stream: number;
}

/**
 * Keeps some elements, scaled up, and makes the others 0.
 *
 * @param x The elements.
 * @param y Where the result goes.
 * @param choice Which elements stay.
 */
export function dropElements(x: Numbers, y: Numbers, { rate, seed, stream }: DropoutChoice): void {
  const chances = randomUniformReference(x.length, { seed, stream });
  // Both as the kernel gets them.
  const [limit, factor] = [Math.fround(rate), Math.fround(1 / (1 - rate))];
  x.forEach((value, i) => y[i] = chances[i]! >= limit ? factor * value : 0);
}
