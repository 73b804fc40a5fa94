/**
 * Numbers of many steps, kept on the GPU and read together.
 *
 * @module
 */

import { storeValue } from "../kernels/mod.ts";
import { type Context, Scalar, type Tensor } from "../runtime/mod.ts";

/**
 * A table with one row of named numbers for each of the last steps. A step writes its row on the
 * GPU; the host reads all rows at once when it wants to.
 *
 * @example Two steps
 * ```ts
 * import { History } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * using history = new History(host, ["loss"], 4);
 * for (const loss of [2, 1]) {
 *   history.next();
 *   history.record(host, "loss", host.upload(new Float32Array([loss]), [1]));
 * }
 * assertEquals(await history.drain(), [{ loss: 2 }, { loss: 1 }]);
 * ```
 */
export class History implements Disposable {
  /** Steps that fit between two reads. */
  readonly capacity: number;
  readonly #ctx: Context;
  readonly #tables: ReadonlyMap<string, Tensor>;
  readonly #row: Scalar = new Scalar(0);
  #filled = 0;

  /**
   * Makes an empty table.
   *
   * @param ctx Where it lives.
   * @param names What each step writes.
   * @param capacity Steps that fit between two reads.
   */
  constructor(ctx: Context, names: readonly string[], capacity: number) {
    this.#ctx = ctx;
    this.capacity = capacity;
    this.#tables = new Map(
      names.map((name) => [
        name,
        ctx.upload(new Float32Array(capacity), [capacity], { label: `history of ${name}` }),
      ]),
    );
  }

  /** Steps since the last read. */
  get length(): number {
    return this.#filled;
  }

  /**
   * Begins a step's row, before the step runs.
   *
   * @throws {RangeError} When the table is full.
   */
  next(): void {
    if (this.#filled === this.capacity) {
      throw new RangeError(`Cannot begin a step: the table of ${this.capacity} rows is full`);
    }
    this.#row.value = this.#filled++;
  }

  /**
   * Records the writing of one number into the row of the step.
   *
   * @param ctx Where to record.
   * @param name Which number.
   * @param value f32 [1].
   * @param factor What it is multiplied by, 1 by default.
   */
  record(ctx: Context, name: string, value: Tensor, factor = 1): void {
    const table = this.#tables.get(name)!;
    storeValue(ctx, { value, table }, { index: this.#row, factor });
  }

  /**
   * Reads the rows since the last read, in one wait, and begins anew.
   *
   * @returns One record for each step.
   */
  async drain(): Promise<Record<string, number>[]> {
    const names = [...this.#tables.keys()];
    const columns = await this.#ctx.read(...this.#tables.values());
    const rows = Array.from(
      { length: this.#filled },
      (_, row) => Object.fromEntries(names.map((name, i) => [name, columns[i]![row]!])),
    );
    this.#filled = 0;
    return rows;
  }

  /** Releases the table. */
  [Symbol.dispose](): void {
    for (const table of this.#tables.values()) table.dispose();
  }
}
