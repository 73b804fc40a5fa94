/**
 * Squared error of samples in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** What a squared error reads. */
export interface SquaredErrorArrays {
  /** What is there, [samples, elements]. */
  readonly x: Floats;
  /** What should be there, [samples, elements]. */
  readonly target: Floats;
  /** Weights, [samples] or [samples, elements]. */
  readonly weights?: Floats | undefined;
}

/**
 * Loss of every sample and the gradient of `x`.
 *
 * @param arrays What is there, what should be, and weights.
 * @param results Where losses and gradient go.
 * @param scale Multiplies the gradient.
 */
export function squaredErrorReference(
  { x, target, weights }: SquaredErrorArrays,
  { loss, dX }: { readonly loss: Floats; readonly dX: Floats },
  scale: number,
): void {
  const elements = x.length / loss.length;
  const each = weights !== undefined && weights.length === x.length;
  for (let n = 0; n < loss.length; n++) {
    let sum = 0;
    for (let j = 0; j < elements; j++) {
      const at = n * elements + j;
      const weight = weights?.[each ? at : n] ?? 1;
      const apart = x[at]! - target[at]!;
      sum += weight * apart ** 2;
      dX[at] = 2 * scale * weight * apart / elements;
    }
    loss[n] = sum / elements;
  }
}
