/**
 * The k nearest neighbours' distances in plain loops with float64 sums.
 *
 * @module
 */

/** Lengths of a search. */
export interface NeighbourSize {
  /** Queries. */
  readonly rows: number;
  /** Rows of the bank. */
  readonly bankRows: number;
  /** Channels. */
  readonly channels: number;
  /** Neighbours wanted. */
  readonly k: number;
}

/** Where there are fewer than k neighbours, their distance: the largest f32. */
export const NO_NEIGHBOUR = 3.4028234663852886e38;

/**
 * The k smallest squared distances of every query, ascending.
 *
 * @param arrays Queries, bank, and the smallest distances so far.
 * @param size The lengths.
 * @returns [rows, k].
 */
export function kNearestReference(
  arrays: {
    readonly queries: Float32Array<ArrayBuffer>;
    readonly bank: Float32Array<ArrayBuffer>;
    readonly best?: Float32Array<ArrayBuffer>;
  },
  size: NeighbourSize,
): Float32Array<ArrayBuffer> {
  const { queries, bank, best } = arrays;
  const { rows, bankRows, channels, k } = size;
  const result = new Float32Array(rows * k);
  const all = new Float64Array(bankRows + k);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < bankRows; j++) {
      let sum = 0;
      for (let l = 0; l < channels; l++) {
        sum += (queries[row * channels + l]! - bank[j * channels + l]!) ** 2;
      }
      all[j] = Math.min(sum, NO_NEIGHBOUR);
    }
    for (let i = 0; i < k; i++) all[bankRows + i] = best?.[row * k + i] ?? NO_NEIGHBOUR;
    result.set(all.toSorted().subarray(0, k), row * k);
  }
  return result;
}
