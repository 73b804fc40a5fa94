/**
 * The energy of a linear head in plain loops with float64 sums.
 *
 * @module
 */

/** Lengths of a head. */
export interface HeadSize {
  /** Rows of features. */
  readonly rows: number;
  /** Classes. */
  readonly classes: number;
  /** Channels of the features. */
  readonly channels: number;
}

/** Arrays of a head. */
export interface HeadArrays {
  /** [rows, channels]. */
  readonly features: Float32Array<ArrayBuffer>;
  /** [classes, channels]. */
  readonly weight: Float32Array<ArrayBuffer>;
  /** [classes]. */
  readonly bias?: Float32Array<ArrayBuffer>;
}

/**
 * T log sum_j exp(z_j / T) with z = W min(a, clip) + b.
 *
 * @param arrays Features, weight, bias.
 * @param size The lengths.
 * @param how Upper bound of the features (Infinity for none), and temperature T.
 * @returns One value per row.
 */
export function headEnergyReference(
  arrays: HeadArrays,
  size: HeadSize,
  how: { readonly clip: number; readonly temperature: number },
): Float32Array<ArrayBuffer> {
  const { features, weight, bias } = arrays;
  const { rows, classes, channels } = size;
  const energy = new Float32Array(rows);
  const logits = new Float64Array(classes);
  for (let row = 0; row < rows; row++) {
    let top = -Infinity;
    for (let j = 0; j < classes; j++) {
      let z = bias?.[j] ?? 0;
      for (let l = 0; l < channels; l++) {
        z += Math.min(features[row * channels + l]!, how.clip) * weight[j * channels + l]!;
      }
      logits[j] = z / how.temperature;
      top = Math.max(top, logits[j]!);
    }
    const mass = logits.reduce((sum, z) => sum + Math.exp(z - top), 0);
    energy[row] = how.temperature * (top + Math.log(mass));
  }
  return energy;
}
