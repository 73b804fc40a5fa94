/**
 * Reading safetensors files by ranges, so that an array never has to fit memory.
 *
 * @module
 */

import { ioError, readFully, refuseFile } from "./_io_error.ts";
import { decodeElements, isCount } from "./_safetensors_elements.ts";
import { headerLength, headerText } from "./_safetensors_layout.ts";
import type {
  SafetensorsArray,
  SafetensorsData,
  SafetensorsDType,
  SafetensorsEntry,
  SafetensorsHeader,
} from "./_safetensors_types.ts";
import { parseSafetensorsHeader } from "./safetensors_header.ts";

/**
 * A safetensors file, open for reading by ranges.
 *
 * @example Two rows of many
 * ```ts
 * import { SafetensorsFile, writeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const data = Float32Array.from({ length: 12 }, (_, i) => i);
 * await writeSafetensors(`${folder}/a.safetensors`, { x: { data, shape: [4, 3] } });
 * {
 *   await using file = await SafetensorsFile.open(`${folder}/a.safetensors`);
 *   const part = await file.readRows("x", { start: 1, rows: 2 });
 *   assertEquals([...part.data], [3, 4, 5, 6, 7, 8]);
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class SafetensorsFile implements AsyncDisposable {
  /** The file's name. */
  readonly path: string;
  /** What its header says. */
  readonly header: SafetensorsHeader;
  #file: Deno.FsFile | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #largestRead = 0;

  private constructor(path: string, header: SafetensorsHeader, file: Deno.FsFile) {
    this.path = path;
    this.header = header;
    this.#file = file;
  }

  /**
   * Opens a file and checks its header.
   *
   * @param path The file.
   * @returns The file, open until it is disposed.
   * @throws {UserError} If the file is missing, truncated or no safetensors file.
   *
   * @example A missing file
   * ```ts
   * import { SafetensorsFile } from "@oodgpu/oodgpu/data";
   * import { assertRejects } from "@std/assert";
   *
   * await assertRejects(() => SafetensorsFile.open("none.safetensors"), Error, "no such file");
   * ```
   */
  static async open(path: string): Promise<SafetensorsFile> {
    let file: Deno.FsFile;
    try {
      file = await Deno.open(path, { read: true });
    } catch (error) {
      throw ioError("read", path, error);
    }
    try {
      const { size, isDirectory } = await file.stat();
      if (isDirectory) refuseFile(path, "it is a folder, and a .safetensors file was expected");
      const first = new Uint8Array(8);
      await readFully(file, first, 0);
      const headerBytes = headerLength(path, first, size);
      const text = new Uint8Array(headerBytes);
      await readFully(file, text, 8);
      const header = parseSafetensorsHeader(headerText(path, text), { path, headerBytes, size });
      return new SafetensorsFile(path, header, file);
    } catch (error) {
      file.close();
      throw ioError("read", path, error);
    }
  }

  /** The largest number of bytes that one read has asked for, header aside. */
  get largestRead(): number {
    return this.#largestRead;
  }

  /**
   * Where an array stands.
   *
   * @param name The array's name.
   * @returns Its type, shape and place.
   * @throws {UserError} If the file has no such array; the message names those that it has.
   *
   * @example A missing array
   * ```ts
   * import { SafetensorsFile, writeSafetensors } from "@oodgpu/oodgpu/data";
   * import { assertThrows } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * await writeSafetensors(`${folder}/a`, { x: { data: new Float32Array(2), shape: [2] } });
   * {
   *   await using file = await SafetensorsFile.open(`${folder}/a`);
   *   assertThrows(() => file.entry("y"), Error, 'no "y"');
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  entry(name: string): SafetensorsEntry {
    const entry = this.header.entries.get(name);
    if (entry === undefined) {
      const names = [...this.header.entries.keys()];
      const has = names.length === 0 ? "it is empty" : `it has ${names.slice(0, 20).join(", ")}`;
      refuseFile(this.path, `there is no "${name}" in it; ${has}`);
    }
    return entry;
  }

  /**
   * Reads a whole array.
   *
   * @param name The array's name.
   * @returns Its elements and shape.
   * @throws {UserError} If there is no such array, it is truncated, or its type cannot be read.
   *
   * @example An array
   * ```ts
   * import { SafetensorsFile, writeSafetensors } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * await writeSafetensors(`${folder}/a`, { x: { data: new Int32Array([5]), shape: [] } });
   * {
   *   await using file = await SafetensorsFile.open(`${folder}/a`);
   *   assertEquals([...(await file.read("x")).data], [5]);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async read(name: string): Promise<SafetensorsArray> {
    const entry = this.entry(name);
    const data = await this.#range(entry, entry.offset, entry.bytes);
    return { data, shape: entry.shape, dtype: entry.dtype as SafetensorsDType };
  }

  /**
   * Reads rows `start` to `start + rows - 1` of an array: a range of its first dimension.
   *
   * @param name The array's name.
   * @param range The first row and how many.
   * @returns The rows, with the shape `[rows, ...]`.
   * @throws {UserError} If there is no such array, it is truncated, or its type cannot be read.
   * @throws {RangeError} If the array has not so many rows.
   *
   * @example The last row
   * ```ts
   * import { SafetensorsFile, writeSafetensors } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * const data = new Int32Array([1, 2, 3, 4]);
   * await writeSafetensors(`${folder}/a`, { x: { data, shape: [2, 2] } });
   * {
   *   await using file = await SafetensorsFile.open(`${folder}/a`);
   *   assertEquals([...(await file.readRows("x", { start: 1, rows: 1 })).data], [3, 4]);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async readRows(
    name: string,
    range: { readonly start: number; readonly rows: number },
  ): Promise<SafetensorsArray> {
    const entry = this.entry(name);
    const total = entry.shape[0] ?? 0;
    const { start, rows } = range;
    if (!isCount(start) || !isCount(rows) || start + rows > total) {
      throw new RangeError(
        `Cannot read rows ${start} to ${start + rows} of "${name}": it has ${total} rows`,
      );
    }
    const rowBytes = total === 0 ? 0 : entry.bytes / total;
    const data = await this.#range(entry, entry.offset + start * rowBytes, rows * rowBytes);
    const shape = [rows, ...entry.shape.slice(1)];
    return { data, shape, dtype: entry.dtype as SafetensorsDType };
  }

  /** One range at a time: a file has one position. */
  #range(entry: SafetensorsEntry, offset: number, bytes: number): Promise<SafetensorsData> {
    const result = this.#last.then(async () => {
      if (this.#file === undefined) {
        throw new TypeError(`Cannot read "${this.path}": it is closed`);
      }
      this.#largestRead = Math.max(this.#largestRead, bytes);
      const into = new Uint8Array(bytes);
      try {
        const count = await readFully(this.#file, into, offset);
        if (count < bytes) {
          refuseFile(this.path, `"${entry.name}" is cut off: the file was shortened`);
        }
      } catch (error) {
        throw ioError("read", this.path, error);
      }
      return decodeElements(this.path, entry, into.buffer);
    });
    this.#last = result.catch(() => {});
    return result;
  }

  /** Closes the file when the reads that were begun are done. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    this.#file?.close();
    this.#file = undefined;
  }
}
