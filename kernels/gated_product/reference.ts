/**
 * A linear head that is masked for each row, in plain loops with float64 sums.
 *
 * @module
 */

/** Lengths of {@linkcode gatedProductReference}. */
export interface GatedProductSize {
  /** Number of rows. */
  readonly rows: number;
  /** Number of classes, K. */
  readonly classes: number;
  /** Number of features, C. */
  readonly channels: number;
}

/** Arrays of {@linkcode gatedProductReference}. */
export interface GatedProductArrays {
  /** [rows, channels]. */
  readonly features: Float32Array;
  /** [classes, channels]. */
  readonly weight: Float32Array;
  /** [classes]. */
  readonly bias?: Float32Array | undefined;
  /** Gates [any, channels], bounds [any], and which of them a row takes. */
  readonly mask?: {
    readonly gates: Float32Array;
    readonly bounds: Float32Array;
    readonly index: Uint32Array;
  } | undefined;
}

/**
 * The masked products of every row; see `gatedProduct`.
 *
 * @param arrays The arrays.
 * @param size The lengths.
 * @param clip Features above this count as this.
 * @returns [rows, classes].
 */
export function gatedProductReference(
  arrays: GatedProductArrays,
  size: GatedProductSize,
  clip: number,
): Float32Array<ArrayBuffer> {
  const { features, weight, bias, mask } = arrays;
  const { rows, classes, channels } = size;
  const z = new Float32Array(rows * classes);
  for (let r = 0; r < rows; r++) {
    const i = mask?.index[r] ?? 0;
    for (let k = 0; k < classes; k++) {
      let sum = bias?.[k] ?? 0;
      for (let c = 0; c < channels; c++) {
        const w = weight[k * channels + c]!;
        if (mask !== undefined) {
          const gate = mask.gates[i * channels + c]!;
          if (!(gate >= 0 && Math.fround(w * gate) > mask.bounds[i]!)) continue;
        }
        sum += w * Math.min(features[r * channels + c]!, clip);
      }
      z[r * classes + k] = sum;
    }
  }
  return z;
}
