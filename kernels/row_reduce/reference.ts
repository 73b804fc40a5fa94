/**
 * Row reductions in plain loops, with float64 sums.
 *
 * @module
 */

/** Sizes and temperature of a reduction. */
export interface RowReduceProblem {
  /** Number of rows. */
  readonly rows: number;
  /** Number of columns. */
  readonly columns: number;
  /** Divides the numbers before they are exponentiated. */
  readonly temperature: number;
}

/** A row of a matrix. */
export type Row = Float32Array<ArrayBufferLike>;

/** Sum of a row. */
export function sumOfRow(row: Row): number {
  let sum = 0;
  for (const value of row) sum += value;
  return sum;
}

/** Mean of a row. */
export function meanOfRow(row: Row): number {
  return sumOfRow(row) / row.length;
}

/** The lowest index of a row's maximum. */
export function argmaxOfRow(row: Row): number {
  let index = 0;
  for (let c = 1; c < row.length; c++) {
    if (row[c]! > row[index]!) index = c;
  }
  return index;
}

/** Maximum of a row. */
export function maxOfRow(row: Row): number {
  return row[argmaxOfRow(row)]!;
}

/** Sum of a row's exponentials, shifted by the row's maximum and divided by a temperature. */
export function weightOfRow(row: Row, temperature: number): number {
  const top = maxOfRow(row);
  let weight = 0;
  for (const value of row) weight += Math.exp((value - top) / temperature);
  return weight;
}

/** Logarithm of the sum of a row's exponentials, at a temperature. */
export function logSumExpOfRow(row: Row, temperature: number): number {
  return maxOfRow(row) + temperature * Math.log(weightOfRow(row, temperature));
}

/** The largest softmax of a row, at a temperature. */
export function maxSoftmaxOfRow(row: Row, temperature: number): number {
  return 1 / weightOfRow(row, temperature);
}

/**
 * Reduces every row.
 *
 * @param x The matrix.
 * @param y Where the results go, one per row.
 * @param how Sizes, temperature, and the reduction of one row.
 */
export function reduceRows(
  x: Float32Array,
  y: Float32Array | Uint32Array,
  how: RowReduceProblem & { readonly reduce: (row: Row, temperature: number) => number },
): void {
  for (let r = 0; r < how.rows; r++) {
    y[r] = how.reduce(x.subarray(r * how.columns, (r + 1) * how.columns), how.temperature);
  }
}
