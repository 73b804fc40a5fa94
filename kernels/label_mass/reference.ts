/**
 * Shares of labels in plain loops with float64 sums.
 *
 * @module
 */

/** Rows and labels, both of unit length. */
export interface LabelArrays {
  /** [rows, channels]. */
  readonly x: Float32Array<ArrayBuffer>;
  /** [labels, channels]. */
  readonly labels: Float32Array<ArrayBuffer>;
}

/** Lengths of rows and labels. */
export interface LabelSize {
  /** Rows. */
  readonly rows: number;
  /** Labels of all kinds. */
  readonly labels: number;
  /** Length of a row and of a label. */
  readonly channels: number;
}

/** How labels count. */
export interface LabelKinds {
  /** Factor of the cosines. */
  readonly scale: number;
  /** In-distribution labels, which come first. */
  readonly classes: number;
  /** Groups of the others. */
  readonly groups: number;
}

/**
 * The mean over groups of S / (S + G_g), the share of the in-distribution labels in the softmax over
 * them and a group; 1 without groups.
 *
 * @param arrays Rows and labels.
 * @param size The lengths.
 * @param kinds How labels count.
 * @returns One value per row.
 */
export function labelMassReference(
  arrays: LabelArrays,
  size: LabelSize,
  kinds: LabelKinds,
): Float32Array<ArrayBuffer> {
  const { scale, classes, groups } = kinds;
  const groupSize = (size.labels - classes) / Math.max(1, groups);
  return eachRow(arrays, size, (cosines) => {
    if (groups === 0) return 1;
    const own = massOf(cosines.subarray(0, classes), scale);
    let sum = 0;
    for (let g = 0; g < groups; g++) {
      const begin = classes + g * groupSize;
      const group = massOf(cosines.subarray(begin, begin + groupSize), scale);
      sum += 1 / (1 + group.mass / own.mass * Math.exp(group.top - own.top));
    }
    return sum / groups;
  });
}

/**
 * The largest share of the softmax over all labels.
 *
 * @param arrays Rows and labels.
 * @param size The lengths.
 * @param scale Factor of the cosines.
 * @returns One value per row.
 */
export function maxShareReference(
  arrays: LabelArrays,
  size: LabelSize,
  scale: number,
): Float32Array<ArrayBuffer> {
  return eachRow(arrays, size, (cosines) => 1 / massOf(cosines, scale).mass);
}

/**
 * The label of the largest cosine, the lowest one among equals.
 *
 * @param arrays Rows and labels.
 * @param size The lengths.
 * @returns An index and a cosine per row.
 */
export function bestLabelReference(
  arrays: LabelArrays,
  size: LabelSize,
): { readonly index: Int32Array<ArrayBuffer>; readonly cosine: Float32Array<ArrayBuffer> } {
  const index = new Int32Array(size.rows);
  const cosine = eachRow(arrays, size, (cosines, row) => {
    index[row] = cosines.indexOf(largest(cosines));
    return cosines[index[row]!]!;
  });
  return { index, cosine };
}

/** A value for the cosines of each row with all labels. */
function eachRow(
  { x, labels }: LabelArrays,
  size: LabelSize,
  value: (cosines: Float64Array, row: number) => number,
): Float32Array<ArrayBuffer> {
  const { rows, channels } = size;
  const values = new Float32Array(rows);
  const cosines = new Float64Array(size.labels);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < size.labels; j++) {
      let sum = 0;
      for (let l = 0; l < channels; l++) sum += x[row * channels + l]! * labels[j * channels + l]!;
      cosines[j] = sum;
    }
    values[row] = value(cosines, row);
  }
  return values;
}

/** The largest of some terms scale * cosine, and the sum of exp(term - largest). */
function massOf(cosines: Float64Array, scale: number): { top: number; mass: number } {
  const top = scale * largest(cosines);
  return { top, mass: cosines.reduce((sum, cosine) => sum + Math.exp(scale * cosine - top), 0) };
}

function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, value), -Infinity);
}
