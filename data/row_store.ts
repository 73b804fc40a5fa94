/**
 * Rows of equal length that are read in any order: in memory while they fit, else in a file that
 * goes with the store.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { ioError } from "./_io_error.ts";

/** How a store is made. */
export interface RowStoreOptions {
  /** Number of rows. */
  readonly rows: number;
  /** Bytes in a row. */
  readonly rowBytes: number;
  /** Most bytes that are held in memory; 1 GiB by default. */
  readonly memoryBytes?: number;
  /** Folder of the file when the rows take more; the system's temporary folder by default. */
  readonly folder?: string;
}

const DEFAULT_MEMORY_BYTES = 1 << 30;

/**
 * A store of rows. Use it with `using`; its file, when it needs one, is removed with it.
 *
 * @example Rows out of order
 * ```ts
 * import { RowStore } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * using store = RowStore.open({ rows: 3, rowBytes: 2 });
 * store.write(0, new Uint8Array([1, 1, 2, 2, 3, 3]));
 * assertEquals([...store.gather([2, 0])], [3, 3, 1, 1]);
 * ```
 */
export class RowStore implements Disposable {
  /** Number of rows. */
  readonly rows: number;
  /** Bytes in a row. */
  readonly rowBytes: number;
  /** The file, when the rows do not fit into memory. */
  readonly path: string | undefined;
  readonly #memory: Uint8Array<ArrayBuffer> | undefined;
  readonly #file: Deno.FsFile | undefined;

  private constructor(options: RowStoreOptions, path: string | undefined) {
    this.rows = options.rows;
    this.rowBytes = options.rowBytes;
    this.path = path;
    if (path === undefined) this.#memory = new Uint8Array(this.rows * this.rowBytes);
    else this.#file = Deno.openSync(path, { read: true, write: true });
  }

  /**
   * Makes a store of zeros.
   *
   * @param options Its size, and what may be held in memory.
   * @returns The store.
   * @throws {UserError} If a file is needed and cannot be made.
   */
  static open(options: RowStoreOptions): RowStore {
    const bytes = options.rows * options.rowBytes;
    if (bytes <= (options.memoryBytes ?? DEFAULT_MEMORY_BYTES)) {
      return new RowStore(options, undefined);
    }
    const { folder } = options;
    try {
      const path = Deno.makeTempFileSync({
        prefix: "oodgpu-rows-",
        ...(folder === undefined ? {} : { dir: folder }),
      });
      const store = new RowStore(options, path);
      store.#file!.truncateSync(bytes);
      return store;
    } catch (error) {
      throw ioError("write", folder ?? "the temporary folder", error);
    }
  }

  /**
   * Writes rows that follow each other.
   *
   * @param first Index of the first.
   * @param bytes Whole rows.
   * @throws {RangeError} If they are no whole rows, or reach beyond the store.
   * @throws {UserError} If the file cannot be written.
   */
  write(first: number, bytes: Uint8Array): void {
    const count = bytes.length / this.rowBytes;
    if (!Number.isInteger(count) || first < 0 || first + count > this.rows) {
      throw new RangeError(
        `Cannot write rows: ${bytes.length} bytes from row ${first} on do not fit ${this.rows} rows ` +
          `of ${this.rowBytes} bytes`,
      );
    }
    const at = first * this.rowBytes;
    if (this.#memory !== undefined) {
      this.#memory.set(bytes, at);
      return;
    }
    try {
      this.#file!.seekSync(at, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) {
        done += this.#file!.writeSync(bytes.subarray(done));
      }
    } catch (error) {
      throw ioError("write", this.path!, error);
    }
  }

  /**
   * Reads rows in the order asked for.
   *
   * @param indices Their indices.
   * @param into Where they go; a new array by default.
   * @returns The rows, one after the other.
   * @throws {UserError} If the file ends before a row does.
   */
  gather(
    indices: ArrayLike<number>,
    into: Uint8Array<ArrayBuffer> = new Uint8Array(indices.length * this.rowBytes),
  ): Uint8Array<ArrayBuffer> {
    for (let i = 0; i < indices.length; i++) {
      const begin = indices[i]! * this.rowBytes;
      const target = into.subarray(i * this.rowBytes, (i + 1) * this.rowBytes);
      if (this.#memory !== undefined) {
        target.set(this.#memory.subarray(begin, begin + this.rowBytes));
      } else {
        this.#readInto(target, begin);
      }
    }
    return into;
  }

  /** Closes and removes the file. */
  [Symbol.dispose](): void {
    if (this.#file === undefined) return;
    this.#file.close();
    try {
      Deno.removeSync(this.path!);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  #readInto(target: Uint8Array, begin: number): void {
    this.#file!.seekSync(begin, Deno.SeekMode.Start);
    for (let done = 0; done < target.length;) {
      const read = this.#file!.readSync(target.subarray(done));
      if (read === null) throw new UserError(`Cannot read "${this.path}": it is cut off`);
      done += read;
    }
  }
}
