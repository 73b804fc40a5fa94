/**
 * A step against the sign of a gradient.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";

/**
 * The step; see `signStep`.
 *
 * @param inputs What is moved, and the gradient.
 * @param y Where the result goes.
 * @param steps Length of the step for each channel.
 */
export function stepAgainstSign(
  { x, gradient }: { readonly x: Numbers; readonly gradient: Numbers },
  y: Numbers,
  steps: readonly number[],
): void {
  x.forEach((value, i) => {
    const step = steps[i % steps.length]!;
    y[i] = gradient[i]! < 0 ? value + step : value - step;
  });
}
