/**
 * The mean hinge of norms and its gradient in plain loops, in float64.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** What the loss is made of. */
export interface HingeFound {
  /** Mean hinge over selected rows, 0 when none is. */
  readonly loss: number;
  /** Selected rows. */
  readonly count: number;
  /** Norm of every row. */
  readonly norms: Float64Array;
}

/**
 * Norms of all rows, and the mean of their hinge over the selected ones.
 *
 * @param features [rows, channels].
 * @param mask Not 0 where a row is selected.
 * @param margin Norm up to which the hinge is 0.
 * @returns Loss, count and norms.
 */
export function normHingeReference(features: Floats, mask: Floats, margin: number): HingeFound {
  const channels = mask.length === 0 ? 0 : features.length / mask.length;
  let count = 0;
  let sum = 0;
  const norms = Float64Array.from(mask, (selected, row) => {
    let squares = 0;
    for (let c = 0; c < channels; c++) squares += features[row * channels + c]! ** 2;
    const norm = Math.sqrt(squares);
    if (selected !== 0) {
      count++;
      sum += Math.max(norm - margin, 0);
    }
    return norm;
  });
  return { loss: sum / Math.max(count, 1), count, norms };
}

/**
 * Gradient of the loss with respect to the features, times a weight, added to an array.
 *
 * @param arrays Features, mask, norms, and where the gradient is added.
 * @param how Number of selected rows, margin and weight.
 */
export function normHingeGradientReference(
  arrays: {
    readonly features: Floats;
    readonly mask: Floats;
    readonly norms: Floats;
    readonly target: Floats;
  },
  how: { readonly count: number; readonly margin: number; readonly weight: number },
): void {
  const { features, mask, norms, target } = arrays;
  const channels = mask.length === 0 ? 0 : features.length / mask.length;
  mask.forEach((selected, row) => {
    const norm = norms[row]!;
    if (selected === 0 || !(norm > how.margin)) return;
    for (let at = row * channels; at < (row + 1) * channels; at++) {
      target[at]! += how.weight / how.count * features[at]! / norm;
    }
  });
}
