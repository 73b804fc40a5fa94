/**
 * Eigenvalues and eigenvectors of a symmetric matrix in float64: Householder reduction to
 * tridiagonal form, then implicitly shifted QL steps.
 *
 * @module
 */

/** What {@linkcode eigh} finds. */
export interface Eigen {
  /** Eigenvalues, ascending. */
  readonly values: Float64Array<ArrayBuffer>;
  /** Unit eigenvectors as the rows of an [n, n] array, in the order of the values. */
  readonly vectors: Float64Array<ArrayBuffer>;
}

const EPSILON = Number.EPSILON;
const MAX_STEPS_PER_VALUE = 60;
/** Rotations wait until this many are known, so that each block of columns is loaded once. */
const PENDING_ROTATIONS = 1 << 15;
/** Columns of one block: 2048 rows of it are 1 MiB, which stays in the second-level cache. */
const BLOCK_COLUMNS = 64;

/**
 * Eigen-decomposition of a real symmetric matrix.
 *
 * Float64 throughout; the absolute error of a value is a few units of rounding times the largest
 * one. Only the lower triangle is read. About 9 n^3 multiplications: 512 takes below a second,
 * 2048 about half a minute.
 *
 * @param matrix The matrix, row-major [size, size].
 * @param size Rows and columns.
 * @returns The eigenvalues, ascending, and their eigenvectors as rows.
 * @throws {RangeError} When the number of elements is not size * size, or an element is not finite.
 *
 * @example A matrix with eigenvalues 1 and 3
 * ```ts
 * import { eigh } from "@oodgpu/oodgpu/methods";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const { values, vectors } = eigh(new Float64Array([2, 1, 1, 2]), 2);
 * assertAlmostEquals(values[0]!, 1);
 * assertAlmostEquals(values[1]!, 3);
 * assertAlmostEquals(Math.abs(vectors[2]!), Math.SQRT1_2);
 * ```
 */
export function eigh(matrix: Float64Array, size: number): Eigen {
  if (matrix.length !== size * size) {
    throw new RangeError(
      `Cannot decompose a matrix of size ${size}: it needs ${size * size} elements and was given ` +
        `${matrix.length}`,
    );
  }
  if (!matrix.every(Number.isFinite)) {
    throw new RangeError("Cannot decompose a matrix that holds NaN or infinity");
  }
  const work = Float64Array.from(matrix);
  const diagonal = new Float64Array(size);
  const offDiagonal = new Float64Array(size);
  const factors = tridiagonalize(work, { size, diagonal, offDiagonal });
  const vectors = accumulate(work, { size, factors });
  iterate(vectors, { size, diagonal, offDiagonal });
  return sorted(vectors, diagonal);
}

/**
 * Reduces the lower triangle to tridiagonal form. Reflector k, I - factor v v', zeroes column k
 * below the first off-diagonal; v goes to row k of the upper triangle, which nothing else reads.
 */
function tridiagonalize(
  a: Float64Array,
  to: { size: number; diagonal: Float64Array; offDiagonal: Float64Array },
): Float64Array {
  const { size: n, diagonal, offDiagonal } = to;
  const factors = new Float64Array(n);
  const v = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    diagonal[k] = a[k * n + k]!;
    if (k >= n - 1) continue;
    let scale = 0;
    for (let i = k + 2; i < n; i++) scale = Math.max(scale, Math.abs(a[i * n + k]!));
    const head = a[(k + 1) * n + k]!;
    if (scale === 0) {
      offDiagonal[k] = head;
      continue;
    }
    scale = Math.max(scale, Math.abs(head));
    let squared = 0;
    for (let i = k + 1; i < n; i++) {
      v[i] = a[i * n + k]! / scale;
      squared += v[i]! * v[i]!;
    }
    // The sign that adds magnitudes, so that the first element of v does not cancel.
    const norm = v[k + 1]! > 0 ? -Math.sqrt(squared) : Math.sqrt(squared);
    offDiagonal[k] = norm * scale;
    const factor = 1 / (squared - v[k + 1]! * norm);
    v[k + 1] = v[k + 1]! - norm;
    factors[k] = factor;
    symmetricProduct(a, { v, p, n, first: k + 1 });
    let vp = 0;
    for (let i = k + 1; i < n; i++) {
      p[i] = p[i]! * factor;
      vp += v[i]! * p[i]!;
    }
    const half = 0.5 * factor * vp;
    for (let i = k + 1; i < n; i++) p[i] = p[i]! - half * v[i]!;
    for (let i = k + 1; i < n; i++) {
      const vi = v[i]!;
      const pi = p[i]!;
      const row = i * n;
      for (let j = k + 1; j <= i; j++) a[row + j] = a[row + j]! - vi * p[j]! - pi * v[j]!;
    }
    for (let i = k + 1; i < n; i++) a[k * n + i] = v[i]!;
  }
  return factors;
}

/** p = A v over the trailing block, from its lower triangle alone. */
function symmetricProduct(
  a: Float64Array,
  over: { v: Float64Array; p: Float64Array; n: number; first: number },
): void {
  const { v, p, n, first } = over;
  p.fill(0, first);
  for (let i = first; i < n; i++) {
    const vi = v[i]!;
    const row = i * n;
    let sum = 0;
    for (let j = first; j < i; j++) {
      const aij = a[row + j]!;
      sum += aij * v[j]!;
      p[j] = p[j]! + aij * vi;
    }
    p[i] = p[i]! + sum + a[row + i]! * vi;
  }
}

/** The transposed product of the reflectors: row r is column r of the orthogonal matrix. */
function accumulate(
  a: Float64Array,
  from: { size: number; factors: Float64Array },
): Float64Array<ArrayBuffer> {
  const { size: n, factors } = from;
  const q = new Float64Array(n * n);
  for (let i = 0; i < n; i++) q[i * n + i] = 1;
  for (let k = n - 3; k >= 0; k--) {
    const factor = factors[k]!;
    if (factor === 0) continue;
    const v = k * n;
    for (let r = k + 1; r < n; r++) {
      const row = r * n;
      let dot = 0;
      for (let j = k + 1; j < n; j++) dot += q[row + j]! * a[v + j]!;
      dot *= factor;
      for (let j = k + 1; j < n; j++) q[row + j] = q[row + j]! - dot * a[v + j]!;
    }
  }
  return q;
}

/** Diagonalises the tridiagonal matrix and turns the rows of `vectors` along. */
function iterate(
  vectors: Float64Array,
  of: { size: number; diagonal: Float64Array; offDiagonal: Float64Array },
): void {
  const { size: n, diagonal: d, offDiagonal: e } = of;
  const rotations = new Rotations(vectors, n);
  let norm = 0;
  for (let i = 0; i < n; i++) norm = Math.max(norm, Math.abs(d[i]!) + Math.abs(e[i]!));
  // Values far below the largest one carry its rounding error anyway; without this floor, the
  // zeros of a rank-deficient matrix would never pass the relative test.
  const floor = norm * 1e-3;
  for (let low = 0; low < n; low++) {
    for (let step = 0;; step++) {
      let high = low;
      while (high < n - 1) {
        const scale = Math.max(Math.abs(d[high]!) + Math.abs(d[high + 1]!), floor);
        if (Math.abs(e[high]!) <= EPSILON * scale) break;
        high++;
      }
      if (high === low) break;
      if (step === MAX_STEPS_PER_VALUE) {
        throw new RangeError(`Cannot decompose the matrix: value ${low} does not converge`);
      }
      chase(rotations, { d, e, low, high });
    }
  }
  rotations.flush();
}

/** One implicitly shifted QL step on rows low..high. */
function chase(
  rotations: Rotations,
  on: { d: Float64Array; e: Float64Array; low: number; high: number },
): void {
  const { d, e, low, high } = on;
  const gap = (d[low + 1]! - d[low]!) / (2 * e[low]!);
  const root = Math.hypot(gap, 1);
  let bulge = d[high]! - d[low]! + e[low]! / (gap + (gap >= 0 ? root : -root));
  let sine = 1;
  let cosine = 1;
  let moved = 0;
  for (let i = high - 1; i >= low; i--) {
    const outer = sine * e[i]!;
    const inner = cosine * e[i]!;
    const radius = Math.hypot(outer, bulge);
    e[i + 1] = radius;
    if (radius === 0) {
      d[i + 1] = d[i + 1]! - moved;
      e[high] = 0;
      return;
    }
    sine = outer / radius;
    cosine = bulge / radius;
    const rest = d[i + 1]! - moved;
    const twist = (d[i]! - rest) * sine + 2 * cosine * inner;
    moved = sine * twist;
    d[i + 1] = rest + moved;
    bulge = cosine * twist - inner;
    rotations.push(i, cosine, sine);
  }
  d[low] = d[low]! - moved;
  e[low] = bulge;
  e[high] = 0;
}

/** Plane rotations of neighbouring rows, applied in batches, block of columns by block. */
class Rotations {
  readonly #matrix: Float64Array;
  readonly #n: number;
  readonly #rows: Int32Array = new Int32Array(PENDING_ROTATIONS);
  readonly #cosines: Float64Array = new Float64Array(PENDING_ROTATIONS);
  readonly #sines: Float64Array = new Float64Array(PENDING_ROTATIONS);
  #count = 0;

  constructor(matrix: Float64Array, n: number) {
    this.#matrix = matrix;
    this.#n = n;
  }

  push(row: number, cosine: number, sine: number): void {
    if (this.#count === PENDING_ROTATIONS) this.flush();
    this.#rows[this.#count] = row;
    this.#cosines[this.#count] = cosine;
    this.#sines[this.#count++] = sine;
  }

  flush(): void {
    for (let first = 0; first < this.#n; first += BLOCK_COLUMNS) {
      const columns = Math.min(BLOCK_COLUMNS, this.#n - first);
      for (let r = 0; r < this.#count; r++) {
        const start = this.#rows[r]! * this.#n + first;
        rotate(this.#matrix, {
          start,
          below: start + this.#n,
          columns,
          cosine: this.#cosines[r]!,
          sine: this.#sines[r]!,
        });
      }
    }
    this.#count = 0;
  }
}

function rotate(
  z: Float64Array,
  by: { start: number; below: number; columns: number; cosine: number; sine: number },
): void {
  const { start, below, columns, cosine, sine } = by;
  for (let j = 0; j < columns; j++) {
    const upper = z[start + j]!;
    const lower = z[below + j]!;
    z[below + j] = sine * upper + cosine * lower;
    z[start + j] = cosine * upper - sine * lower;
  }
}

function sorted(vectors: Float64Array, diagonal: Float64Array): Eigen {
  const n = diagonal.length;
  const order = Array.from(diagonal.keys()).sort((a, b) => diagonal[a]! - diagonal[b]!);
  const rows = new Float64Array(n * n);
  order.forEach((from, to) => rows.set(vectors.subarray(from * n, (from + 1) * n), to * n));
  return { values: Float64Array.from(order, (i) => diagonal[i]!), vectors: rows };
}
