/**
 * Sums of outer products of rows in float64, for covariances that stream.
 *
 * @module
 */

/** Rows that are transposed at a time: 8 columns of so many float64 fit the first-level cache. */
const BLOCK_ROWS = 256;

/**
 * Adds up x x' over rows x, in float64.
 *
 * Rows come in any number of pieces; the result is the same for the same rows in the same order
 * up to float64 rounding. Memory is [columns, columns] float64 and one block of rows.
 *
 * @example Two rows, one after the other
 * ```ts
 * import { GramSum } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const gram = new GramSum(2);
 * gram.add(new Float32Array([1, 2]), 1);
 * gram.add(new Float32Array([3, 4]), 1);
 * assertEquals([...gram.value()], [10, 14, 14, 20]);
 * assertEquals(gram.rows, 2);
 * ```
 */
export class GramSum {
  /** Length of a row. */
  readonly columns: number;
  readonly #sum: Float64Array<ArrayBuffer>;
  readonly #block: Float64Array<ArrayBuffer>;
  #rows = 0;

  /**
   * Begins with zeros.
   *
   * @param columns Length of a row.
   */
  constructor(columns: number) {
    this.columns = columns;
    this.#sum = new Float64Array(columns * columns);
    this.#block = new Float64Array(columns * BLOCK_ROWS);
  }

  /** Rows added so far. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Adds rows.
   *
   * @param data The rows, row-major [rows, columns].
   * @param rows How many there are.
   * @throws {RangeError} When the number of elements is not rows * columns.
   */
  add(data: Float32Array | Float64Array, rows: number): void {
    requireElements(data, rows * this.columns);
    for (let first = 0; first < rows; first += BLOCK_ROWS) {
      const count = Math.min(BLOCK_ROWS, rows - first);
      this.#transpose(data, { first, count });
      this.#accumulate(count);
    }
    this.#rows += rows;
  }

  /**
   * Adds a sum of outer products that was made elsewhere, such as on a GPU.
   *
   * @param gram The sum, [columns, columns]; both triangles are there, the lower one is read.
   * @param rows How many rows went into it.
   * @throws {RangeError} When the number of elements is not columns * columns.
   */
  addGram(gram: Float32Array | Float64Array, rows: number): void {
    requireElements(gram, this.#sum.length);
    const { columns } = this;
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j <= i; j++) {
        this.#sum[i * columns + j] = this.#sum[i * columns + j]! + gram[i * columns + j]!;
      }
    }
    this.#rows += rows;
  }

  /** The sum of outer products, symmetric, [columns, columns]. */
  value(): Float64Array<ArrayBuffer> {
    const full = this.#sum.slice();
    const { columns } = this;
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < i; j++) full[j * columns + i] = full[i * columns + j]!;
    }
    return full;
  }

  /** Columns become contiguous, so that a product of two of them is one straight loop. */
  #transpose(
    data: Float32Array | Float64Array,
    rows: { first: number; count: number },
  ): void {
    const { columns } = this;
    for (let r = 0; r < rows.count; r++) {
      const from = (rows.first + r) * columns;
      for (let c = 0; c < columns; c++) this.#block[c * BLOCK_ROWS + r] = data[from + c]!;
    }
  }

  #accumulate(count: number): void {
    const { columns } = this;
    const paired = columns - columns % 2;
    for (let i = 0; i < paired; i += 2) {
      for (let j = 0; j <= i; j += 2) this.#addTile(i, j, count);
    }
    if (paired < columns) {
      for (let j = 0; j <= paired; j++) this.#addOne(paired, j, count);
    }
  }

  /** Four products at once: each element that is loaded is used twice. */
  #addTile(i: number, j: number, count: number): void {
    const block = this.#block;
    const i0 = i * BLOCK_ROWS;
    const i1 = i0 + BLOCK_ROWS;
    const j0 = j * BLOCK_ROWS;
    const j1 = j0 + BLOCK_ROWS;
    let s00 = 0;
    let s01 = 0;
    let s10 = 0;
    let s11 = 0;
    for (let r = 0; r < count; r++) {
      const a0 = block[i0 + r]!;
      const a1 = block[i1 + r]!;
      const b0 = block[j0 + r]!;
      const b1 = block[j1 + r]!;
      s00 += a0 * b0;
      s01 += a0 * b1;
      s10 += a1 * b0;
      s11 += a1 * b1;
    }
    const sum = this.#sum;
    const upper = i * this.columns + j;
    const lower = upper + this.columns;
    sum[upper] = sum[upper]! + s00;
    sum[upper + 1] = sum[upper + 1]! + s01;
    sum[lower] = sum[lower]! + s10;
    sum[lower + 1] = sum[lower + 1]! + s11;
  }

  #addOne(i: number, j: number, count: number): void {
    let s = 0;
    for (let r = 0; r < count; r++) {
      s += this.#block[i * BLOCK_ROWS + r]! * this.#block[j * BLOCK_ROWS + r]!;
    }
    const at = i * this.columns + j;
    this.#sum[at] = this.#sum[at]! + s;
  }
}

function requireElements(data: ArrayLike<number>, expected: number): void {
  if (data.length === expected) return;
  throw new RangeError(
    `Cannot add rows: they need ${expected} elements and ${data.length} were given`,
  );
}
