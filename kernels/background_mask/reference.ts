/**
 * Background locations in plain loops, in float64.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** Arrays of a map of features and a linear head. */
export interface MaskArrays {
  /** [images, locations, channels]. */
  readonly features: Floats;
  /** [classes, channels]. */
  readonly weight: Floats;
  /** [classes]. */
  readonly bias?: Floats | undefined;
  /** [images]. */
  readonly labels: Int32Array;
}

/**
 * Probability of the true class at every location.
 *
 * @param arrays Features, head and labels.
 * @param classes Number of classes.
 * @returns One probability per location.
 */
export function probabilityReference(arrays: MaskArrays, classes: number): Float64Array {
  const { features, weight, bias, labels } = arrays;
  const channels = weight.length / classes;
  const rows = features.length / channels;
  const locations = rows / labels.length;
  return Float64Array.from({ length: labels.length === 0 ? 0 : rows }, (_, row) => {
    const logits = Array.from({ length: classes }, (_, j) => {
      let z = bias?.[j] ?? 0;
      for (let l = 0; l < channels; l++) {
        z += features[row * channels + l]! * weight[j * channels + l]!;
      }
      return z;
    });
    const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    const mass = logits.reduce((sum, z) => sum + Math.exp(z - top), 0);
    return Math.exp(logits[labels[Math.floor(row / locations)]!]! - top) / mass;
  });
}
