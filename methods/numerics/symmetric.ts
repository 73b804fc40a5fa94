/**
 * What is built on eigenvectors: whitening, and the minimum-norm solution of linear equations.
 *
 * @module
 */

import { eigh } from "./eigh.ts";

/** Rounding unit of float32, in which features and weights are given. */
export const FLOAT32_EPSILON: number = 2 ** -23;

/** What {@linkcode whitening} finds. */
export interface Whitening {
  /** L, row-major [size, rank]: (x' L)(x' L)' = x' pinv(matrix) x. */
  readonly matrix: Float64Array<ArrayBuffer>;
  /** Directions that are kept. */
  readonly rank: number;
}

/**
 * A factor L of the pseudo-inverse of a positive semi-definite matrix: pinv = L L'.
 *
 * Eigenvalues at or below size * epsilon * (the largest magnitude) count as zero, which is relative
 * to the matrix: scaling it scales L.
 *
 * @param matrix The matrix, row-major [size, size]; its lower triangle is read.
 * @param size Rows and columns.
 * @param options `epsilon`: the rounding unit of the data; default float32's.
 * @returns The factor; rank 0 when the matrix is zero.
 *
 * @example A direction without variance is left out
 * ```ts
 * import { whitening } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const { matrix, rank } = whitening(new Float64Array([4, 0, 0, 0]), 2);
 * assertEquals(rank, 1);
 * assertEquals([...matrix].map(Math.abs), [0.5, 0]);
 * ```
 */
export function whitening(
  matrix: Float64Array,
  size: number,
  options: { readonly epsilon?: number } = {},
): Whitening {
  const { values, vectors } = eigh(matrix, size);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const cutOff = size * (options.epsilon ?? FLOAT32_EPSILON) * largest;
  const kept = [...values.keys()].filter((i) => values[i]! > cutOff);
  const rank = kept.length;
  const factor = new Float64Array(size * rank);
  kept.forEach((from, column) => {
    const scale = 1 / Math.sqrt(values[from]!);
    for (let row = 0; row < size; row++) {
      factor[row * rank + column] = vectors[from * size + row]! * scale;
    }
  });
  return { matrix: factor, rank };
}

/**
 * The shortest x that solves W x = b best: pinv(W) b.
 *
 * The smaller of W W' and W' W is decomposed in float64. Singular values at or below
 * max(rows, columns) * float32 epsilon * (the largest one) count as zero: weights are stored in
 * float32, and what is smaller in them is rounding.
 *
 * @param weight W, row-major [rows, columns].
 * @param right b, [rows].
 * @returns x, [columns] with columns = weight.length / right.length.
 *
 * @example Two equations in three unknowns
 * ```ts
 * import { solveShortest } from "@oodgpu/oodgpu/methods";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const x = solveShortest(new Float32Array([2, 0, 0, 0, 4, 0]), new Float32Array([2, 2]));
 * assertAlmostEquals(x[0]!, 1);
 * assertAlmostEquals(x[1]!, 0.5);
 * assertAlmostEquals(x[2]!, 0);
 * ```
 */
export function solveShortest(
  weight: Float32Array,
  right: Float32Array,
): Float64Array<ArrayBuffer> {
  const rows = right.length;
  const columns = weight.length / rows;
  const wide = rows <= columns;
  const size = wide ? rows : columns;
  const gram = new Float64Array(size * size);
  const at = (row: number, column: number): number => weight[row * columns + column]!;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      if (wide) { for (let c = 0; c < columns; c++) sum += at(i, c) * at(j, c); }
      else for (let r = 0; r < rows; r++) sum += at(r, i) * at(r, j);
      gram[i * size + j] = gram[j * size + i] = sum;
    }
  }
  // Eigenvalues are squared singular values, and so is their cut-off.
  const ratio = Math.max(rows, columns) * FLOAT32_EPSILON;
  const inverse = whitening(gram, size, { epsilon: ratio * ratio / size });
  const start = wide ? Float64Array.from(right) : applyTransposed(weight, right, columns);
  const solved = applyFactor(inverse, start);
  return wide ? applyTransposed(weight, solved, columns) : solved;
}

/** W' y. */
function applyTransposed(
  weight: Float32Array,
  y: Float32Array | Float64Array,
  columns: number,
): Float64Array<ArrayBuffer> {
  const x = new Float64Array(columns);
  y.forEach((value, row) => {
    for (let c = 0; c < columns; c++) x[c] = x[c]! + weight[row * columns + c]! * value;
  });
  return x;
}

/** L L' y. */
function applyFactor(factor: Whitening, y: Float64Array): Float64Array<ArrayBuffer> {
  const { matrix, rank } = factor;
  const inner = new Float64Array(rank);
  y.forEach((value, row) => {
    for (let c = 0; c < rank; c++) inner[c] = inner[c]! + matrix[row * rank + c]! * value;
  });
  return Float64Array.from(y, (_, row) => {
    let sum = 0;
    for (let c = 0; c < rank; c++) sum += matrix[row * rank + c]! * inner[c]!;
    return sum;
  });
}
