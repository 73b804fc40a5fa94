/**
 * Centres of classes in plain loops and in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** Samples, their classes, and the centres. */
export interface CentresArrays {
  /** [classes, columns]. */
  readonly centres: Floats;
  /** [samples, columns]. */
  readonly features: Floats;
  /** Class of each sample; what is no class is passed over. */
  readonly labels: Int32Array;
}

/**
 * Moves centres in place, sample by sample.
 *
 * @param arrays Samples, classes and centres.
 * @param how The number of columns, and the share that a sample has in its new centre.
 */
export function updateCentresReference(
  { centres, features, labels }: CentresArrays,
  { columns, rate }: { readonly columns: number; readonly rate: number },
): void {
  // In float64 until the last sample, however the centres are stored.
  const moved = Float64Array.from(centres);
  labels.forEach((label, i) => {
    if (label < 0 || label >= centres.length / columns) return;
    for (let c = 0; c < columns; c++) {
      const at = label * columns + c;
      moved[at] = (1 - rate) * moved[at]! + rate * features[i * columns + c]!;
    }
  });
  centres.set(moved);
}

/**
 * Mean squared distance of every sample to the centre of its class, and the gradient by the samples.
 *
 * @param arrays Samples, classes and centres.
 * @param results Where losses and gradient go.
 * @param how Factor of the mean, and that of the gradient.
 */
export function centreLossReference(
  { centres, features, labels }: CentresArrays,
  { loss, dFeatures }: { readonly loss: Floats; readonly dFeatures: Floats },
  { groups, scale }: { readonly groups: number; readonly scale: number },
): void {
  const columns = features.length / labels.length;
  dFeatures.fill(0);
  labels.forEach((label, i) => {
    loss[i] = 0;
    if (label < 0 || label >= centres.length / columns) return;
    let sum = 0;
    for (let c = 0; c < columns; c++) {
      const away = features[i * columns + c]! - centres[label * columns + c]!;
      sum += away * away;
      dFeatures[i * columns + c] = scale * groups * 2 * away / columns;
    }
    loss[i] = groups * sum / columns;
  });
}
