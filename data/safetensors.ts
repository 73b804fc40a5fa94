/**
 * The safetensors format: named arrays behind a JSON header. Files are read by ranges, so an array
 * never has to fit memory, and written in one go or row by row.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { ioError, readFully } from "./_io_error.ts";
import { AtomicFile, writeFileAtomic } from "./atomic_write.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./half.ts";

/** The element types that can be read and written here. */
export type SafetensorsDType =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U32"
  | "U16"
  | "U8"
  | "BOOL";

/** The typed arrays that hold an array of a file: F16 and BF16 as f32, I64 as i32, BOOL as u8. */
export type SafetensorsData =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** An array of a file, in memory. */
export interface SafetensorsArray {
  /** The elements, row-major. */
  readonly data: SafetensorsData;
  /** The dimensions; none for a single number. */
  readonly shape: readonly number[];
  /**
   * The element type in the file; when writing, the data's own type if left out. f32 data can be
   * written as F16 or BF16, i32 data as I64, u8 data as BOOL.
   */
  readonly dtype?: SafetensorsDType;
}

/** Where an array stands in a file. */
export interface SafetensorsEntry {
  /** Its name. */
  readonly name: string;
  /** Its element type as the header spells it; other than `SafetensorsDType` it can't be read. */
  readonly dtype: string;
  /** Its dimensions. */
  readonly shape: readonly number[];
  /** Its first byte, from the beginning of the file. */
  readonly offset: number;
  /** How many bytes it takes. */
  readonly bytes: number;
}

/** What the header of a file says. */
export interface SafetensorsHeader {
  /** The arrays by name, in the order of their bytes. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  /** The strings of `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
}

const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
};

// The bound that the format's own reader sets.
const MAX_HEADER_BYTES = 100_000_000;

function refuse(path: string, why: string): never {
  throw new UserError(`Cannot read "${path}": ${why}`);
}

function elements(shape: readonly number[]): number {
  let product = 1;
  for (const size of shape) product *= size;
  return product;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** The length of the JSON text, from the first eight bytes. */
function headerLength(path: string, first: Uint8Array<ArrayBuffer>, size: number): number {
  if (size === 0) refuse(path, "the file is empty");
  if (size < 8) {
    refuse(
      path,
      `the file has ${size} bytes, and a safetensors file begins with 8 bytes of length`,
    );
  }
  const view = new DataView(first.buffer, first.byteOffset, 8);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length < 2 || length > MAX_HEADER_BYTES) {
    refuse(path, `it is not a safetensors file (its header would have ${length} bytes)`);
  }
  if (8 + length > size) {
    refuse(path, `the header says ${length} bytes and the file has ${size}: it is truncated`);
  }
  return length;
}

/**
 * Checks the header of a safetensors file: the JSON text, each array's type, shape and place, and
 * that the places fill the file without overlap or gap.
 *
 * @param text The JSON text that follows the eight bytes of length.
 * @param file The file's name for messages, the length of the JSON text and of the file, in bytes.
 * @returns The arrays and the metadata.
 * @throws {UserError} If any of it does not hold.
 *
 * @example One array of two numbers
 * ```ts
 * import { parseSafetensorsHeader } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const text = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
 * const size = 8 + text.length + 8;
 * const header = parseSafetensorsHeader(text, { path: "x", headerBytes: text.length, size });
 * assertEquals(header.entries.get("a")?.offset, 8 + text.length);
 * ```
 */
export function parseSafetensorsHeader(
  text: string,
  file: { readonly path: string; readonly headerBytes: number; readonly size: number },
): SafetensorsHeader {
  const { path } = file;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    refuse(path, "it is not a safetensors file (its header is no JSON text)");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    refuse(path, "its header is no JSON object");
  }
  const begin = 8 + file.headerBytes;
  const available = file.size - begin;
  // Without a prototype, so that a tensor may have any name.
  const metadata: Record<string, string> = Object.create(null);
  const entries: SafetensorsEntry[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") {
      if (typeof value !== "object" || value === null) {
        refuse(path, "its metadata is no JSON object");
      }
      for (const [key, word] of Object.entries(value)) {
        if (typeof word !== "string") refuse(path, `its metadata "${key}" is not a string`);
        metadata[key] = word;
      }
      continue;
    }
    const { dtype, shape, data_offsets: offsets } = value ?? {};
    if (typeof dtype !== "string") refuse(path, `"${name}" has no dtype`);
    if (!Array.isArray(shape) || !shape.every(isCount)) {
      refuse(path, `"${name}" has a shape that is no list of whole numbers`);
    }
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
      refuse(path, `"${name}" has data_offsets that are no pair of whole numbers`);
    }
    const [start, end] = offsets as [number, number];
    if (end < start) refuse(path, `"${name}" ends before it begins`);
    if (end > available) {
      refuse(
        path,
        `"${name}" ends at byte ${begin + end} and the file has ${file.size}: it is truncated`,
      );
    }
    const size = ELEMENT_BYTES[dtype];
    const expected = size === undefined ? end - start : elements(shape) * size;
    if (expected !== end - start) {
      refuse(
        path,
        `"${name}" of shape [${shape.join(", ")}] and dtype ${dtype} needs ${expected} bytes and ` +
          `has ${end - start}`,
      );
    }
    entries.push({ name, dtype, shape, offset: begin + start, bytes: end - start });
  }
  entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = begin;
  for (const entry of entries) {
    if (entry.offset < end) refuse(path, `"${entry.name}" overlaps the array before it`);
    if (entry.offset > end) {
      refuse(
        path,
        `there are ${entry.offset - end} bytes before "${entry.name}" that nothing names`,
      );
    }
    end = entry.offset + entry.bytes;
  }
  if (end !== file.size) {
    refuse(path, `the header accounts for ${end} bytes and the file has ${file.size}`);
  }
  return { entries: new Map(entries.map((entry) => [entry.name, entry])), metadata };
}

/** Makes the bytes of an array, in a buffer of their own, into numbers. */
function decode(path: string, entry: SafetensorsEntry, buffer: ArrayBuffer): SafetensorsData {
  switch (entry.dtype) {
    case "F64":
      return new Float64Array(buffer);
    case "F32":
      return new Float32Array(buffer);
    case "F16":
      return f16ToF32(new Uint16Array(buffer));
    case "BF16":
      return bf16ToF32(new Uint16Array(buffer));
    case "I32":
      return new Int32Array(buffer);
    case "U32":
      return new Uint32Array(buffer);
    case "I16":
      return new Int16Array(buffer);
    case "U16":
      return new Uint16Array(buffer);
    case "I8":
      return new Int8Array(buffer);
    case "U8":
    case "BOOL":
      return new Uint8Array(buffer);
    case "I64": {
      const words = new Int32Array(buffer);
      const out = new Int32Array(words.length / 2);
      for (let i = 0; i < out.length; i++) {
        const low = words[2 * i]!;
        if (words[2 * i + 1] !== low >> 31) {
          refuse(path, `"${entry.name}" has a value that does not fit 32 bits, the I64 at ${i}`);
        }
        out[i] = low;
      }
      return out;
    }
    default:
      refuse(path, `"${entry.name}" has dtype ${entry.dtype}, which cannot be read`);
  }
}

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
      if (isDirectory) refuse(path, "it is a folder, and a .safetensors file was expected");
      const first = new Uint8Array(8);
      await readFully(file, first, 0);
      const headerBytes = headerLength(path, first, size);
      const text = new Uint8Array(headerBytes);
      await readFully(file, text, 8);
      const header = parseSafetensorsHeader(decodeText(path, text), { path, headerBytes, size });
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
      refuse(this.path, `there is no "${name}" in it; ${has}`);
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
        if (count < bytes) refuse(this.path, `"${entry.name}" is cut off: the file was shortened`);
      } catch (error) {
        throw ioError("read", this.path, error);
      }
      return decode(this.path, entry, into.buffer);
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

function decodeText(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    refuse(path, "it is not a safetensors file (its header is no UTF-8 text)");
  }
}

/** All arrays of a file and its metadata, in memory. */
export interface SafetensorsContent {
  /** The arrays by name. */
  readonly tensors: Readonly<Record<string, SafetensorsArray>>;
  /** The strings of `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads a safetensors file that is in memory already; needs no file system.
 *
 * @param bytes The whole file.
 * @param options `name`: the file's name for messages.
 * @returns Its arrays, copied out of `bytes`, and its metadata.
 * @throws {UserError} If the bytes are no sound safetensors file.
 *
 * @example There and back
 * ```ts
 * import { decodeSafetensors, encodeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = encodeSafetensors({ x: { data: new Float32Array([1, 2]), shape: [2] } });
 * assertEquals([...decodeSafetensors(bytes).tensors["x"]!.data], [1, 2]);
 * ```
 */
export function decodeSafetensors(
  bytes: Uint8Array,
  options: { readonly name?: string } = {},
): SafetensorsContent {
  const path = options.name ?? "safetensors";
  const size = bytes.length;
  const headerBytes = headerLength(path, bytes.slice(0, 8), size);
  const text = decodeText(path, bytes.subarray(8, 8 + headerBytes));
  const { entries, metadata } = parseSafetensorsHeader(text, { path, headerBytes, size });
  const tensors: Record<string, SafetensorsArray> = Object.create(null);
  for (const entry of entries.values()) {
    const buffer = bytes.slice(entry.offset, entry.offset + entry.bytes).buffer;
    tensors[entry.name] = {
      data: decode(path, entry, buffer),
      shape: entry.shape,
      dtype: entry.dtype as SafetensorsDType,
    };
  }
  return { tensors, metadata };
}

/**
 * Reads a whole safetensors file.
 *
 * @param path The file.
 * @returns Its arrays and its metadata.
 * @throws {UserError} If the file is missing, truncated or no sound safetensors file.
 *
 * @example There and back
 * ```ts
 * import { readSafetensors, writeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const x = { data: new Float32Array([1, 2]), shape: [2] };
 * await writeSafetensors(`${folder}/a.safetensors`, { x }, { made: "here" });
 * const { tensors, metadata } = await readSafetensors(`${folder}/a.safetensors`);
 * assertEquals([...tensors["x"]!.data], [1, 2]);
 * assertEquals(metadata["made"], "here");
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function readSafetensors(path: string): Promise<SafetensorsContent> {
  await using file = await SafetensorsFile.open(path);
  const tensors: Record<string, SafetensorsArray> = Object.create(null);
  for (const name of file.header.entries.keys()) tensors[name] = await file.read(name);
  return { tensors, metadata: file.header.metadata };
}

function dtypeOf(data: SafetensorsData): SafetensorsDType {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof Uint32Array) return "U32";
  if (data instanceof Int16Array) return "I16";
  if (data instanceof Uint16Array) return "U16";
  if (data instanceof Int8Array) return "I8";
  return "U8";
}

/** The bytes of an array as they stand in a file: what `decode` widened is narrowed again. */
function encode(
  name: string,
  data: SafetensorsData,
  dtype: SafetensorsDType,
): Uint8Array<ArrayBuffer> {
  const own = dtypeOf(data);
  let source = data;
  if (dtype === "F16" && data instanceof Float32Array) {
    source = f32ToF16(data);
  } else if (dtype === "BF16" && data instanceof Float32Array) {
    source = f32ToBf16(data);
  } else if (dtype === "I64" && data instanceof Int32Array) {
    source = new Int32Array(2 * data.length);
    for (let i = 0; i < data.length; i++) {
      source[2 * i] = data[i]!;
      source[2 * i + 1] = data[i]! >> 31;
    }
  } else if (own !== dtype && !(own === "U8" && dtype === "BOOL")) {
    throw new TypeError(`Cannot write "${name}": ${own} data does not make a ${dtype} array`);
  }
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}

/** An array that a writer shall hold. */
export interface SafetensorsSpec {
  /** Its element type. */
  readonly dtype: SafetensorsDType;
  /** Its dimensions. */
  readonly shape: readonly number[];
}

/** Lays arrays out: wide elements first, so that each begins at a multiple of its element's size. */
function layOut(
  specs: Readonly<Record<string, SafetensorsSpec>>,
  metadata: Readonly<Record<string, string>>,
): { head: Uint8Array<ArrayBuffer>; offsets: Map<string, number>; size: number } {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") {
      throw new TypeError(`Cannot write metadata "${key}": it must be a string: ${typeof value}`);
    }
  }
  const header: Record<string, unknown> = Object.create(null);
  // Sorted, so that the same content always makes the same bytes.
  if (Object.keys(metadata).length > 0) {
    header["__metadata__"] = Object.fromEntries(
      Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  }
  const width = (name: string) => ELEMENT_BYTES[specs[name]!.dtype]!;
  const names = Object.keys(specs).sort((a, b) => width(b) - width(a) || (a < b ? -1 : 1));
  const offsets = new Map<string, number>();
  let end = 0;
  for (const name of names) {
    const { dtype, shape } = specs[name]!;
    if (name === "__metadata__") throw new TypeError('Cannot write an array named "__metadata__"');
    const start = end;
    end += elements(shape) * width(name);
    if (!shape.every(isCount) || !Number.isSafeInteger(end)) {
      throw new RangeError(`Cannot write "${name}": its shape is [${shape.join(", ")}]`);
    }
    offsets.set(name, start);
    header[name] = { dtype, shape, data_offsets: [start, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new UserError(
      `Cannot write a safetensors header of ${padded} bytes: at most ${MAX_HEADER_BYTES} are ` +
        "allowed; keep the set in shards, whose headers list fewer names",
    );
  }
  const head = new Uint8Array(8 + padded).fill(0x20);
  head.set(text, 8);
  const view = new DataView(head.buffer);
  view.setUint32(0, padded, true);
  view.setUint32(4, 0, true);
  for (const [name, offset] of offsets) offsets.set(name, head.length + offset);
  return { head, offsets, size: head.length + end };
}

function specsOf(
  tensors: Readonly<Record<string, SafetensorsArray>>,
): Record<string, SafetensorsSpec> {
  const specs: Record<string, SafetensorsSpec> = Object.create(null);
  for (const [name, { data, shape, dtype }] of Object.entries(tensors)) {
    if (elements(shape) !== data.length) {
      throw new RangeError(
        `Cannot write "${name}": shape [${shape.join(", ")}] does not hold ${data.length} elements`,
      );
    }
    specs[name] = { dtype: dtype ?? dtypeOf(data), shape };
  }
  return specs;
}

/**
 * Makes a safetensors file in memory. The same content always makes the same bytes.
 *
 * @param tensors The arrays by name; `dtype: "F16"` stores f32 data in half the space.
 * @param metadata Strings for `__metadata__`.
 * @returns The whole file.
 * @throws {RangeError} If a shape does not hold its data.
 *
 * @example Eight bytes of data behind a header
 * ```ts
 * import { encodeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = encodeSafetensors({ x: { data: new Float32Array([1, 2]), shape: [2] } });
 * assertEquals(bytes.length, 8 + bytes[0]! + 8);
 * ```
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, SafetensorsArray>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const specs = specsOf(tensors);
  const { head, offsets, size } = layOut(specs, metadata);
  const out = new Uint8Array(size);
  out.set(head);
  for (const [name, { data }] of Object.entries(tensors)) {
    out.set(encode(name, data, specs[name]!.dtype), offsets.get(name)!);
  }
  return out;
}

/**
 * Writes a safetensors file atomically. The same content always makes the same bytes.
 *
 * @param path The file; an existing one is replaced.
 * @param tensors The arrays by name; `dtype: "F16"` stores f32 data in half the space.
 * @param metadata Strings for `__metadata__`.
 * @throws {UserError} If the file cannot be written.
 * @throws {RangeError} If a shape does not hold its data.
 *
 * @example A file of one array
 * ```ts
 * import { readSafetensors, writeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const half = { data: new Float32Array([0.5]), shape: [1], dtype: "F16" } as const;
 * await writeSafetensors(`${folder}/a.safetensors`, { half });
 * const { tensors } = await readSafetensors(`${folder}/a.safetensors`);
 * assertEquals([...tensors["half"]!.data], [0.5]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, SafetensorsArray>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const specs = specsOf(tensors);
  const { head, offsets } = layOut(specs, metadata);
  function* parts(): Iterable<Uint8Array> {
    yield head;
    for (const name of offsets.keys()) yield encode(name, tensors[name]!.data, specs[name]!.dtype);
  }
  await writeFileAtomic(path, parts());
}

/**
 * Writes a safetensors file row by row: the shapes are given first, then rows of the arrays come in
 * any interleaving. The file appears when it is finished. Use it with `await using`.
 *
 * @example Two arrays that grow together
 * ```ts
 * import { readSafetensors, SafetensorsWriter } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * {
 *   await using writer = await SafetensorsWriter.open(`${folder}/a.safetensors`, {
 *     x: { dtype: "F32", shape: [2, 3] },
 *     labels: { dtype: "I32", shape: [2] },
 *   });
 *   for (let row = 0; row < 2; row++) {
 *     await writer.append("x", new Float32Array(3).fill(row));
 *     await writer.append("labels", new Int32Array([row]));
 *   }
 *   await writer.finish();
 * }
 * const { tensors } = await readSafetensors(`${folder}/a.safetensors`);
 * assertEquals([...tensors["x"]!.data], [0, 0, 0, 1, 1, 1]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class SafetensorsWriter implements AsyncDisposable {
  #file: AtomicFile;
  #specs: Readonly<Record<string, SafetensorsSpec>>;
  #offsets: Map<string, number>;
  #written = new Map<string, number>();

  private constructor(
    file: AtomicFile,
    specs: Readonly<Record<string, SafetensorsSpec>>,
    offsets: Map<string, number>,
  ) {
    this.#file = file;
    this.#specs = specs;
    this.#offsets = offsets;
    for (const name of offsets.keys()) this.#written.set(name, 0);
  }

  /**
   * Begins a file.
   *
   * @param path The file; an existing one is replaced when the new one is finished.
   * @param specs The arrays' types and shapes by name.
   * @param metadata Strings for `__metadata__`.
   * @returns The writer.
   * @throws {UserError} If the folder is missing or not writable, or the target is a folder.
   *
   * @example An unfinished file is not there
   * ```ts
   * import { SafetensorsWriter } from "@oodgpu/oodgpu/data";
   * import { assertEquals } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using _ = await SafetensorsWriter.open(`${folder}/a`, {
   *     x: { dtype: "F32", shape: [1] },
   *   });
   * }
   * assertEquals([...Deno.readDirSync(folder)], []);
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  static async open(
    path: string,
    specs: Readonly<Record<string, SafetensorsSpec>>,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<SafetensorsWriter> {
    const { head, offsets } = layOut(specs, metadata);
    const file = await AtomicFile.open(path);
    try {
      await file.write(head);
    } catch (error) {
      await file.abort();
      throw error;
    }
    return new SafetensorsWriter(file, specs, offsets);
  }

  /**
   * Adds elements to an array, after those that it has.
   *
   * @param name The array's name.
   * @param data Elements of its type; f32 for an F16 array.
   * @throws {RangeError} If the array has no room for so many.
   * @throws {TypeError} If there is no such array or the data has another type.
   * @throws {UserError} If the disk is full.
   *
   * @example Too much
   * ```ts
   * import { SafetensorsWriter } from "@oodgpu/oodgpu/data";
   * import { assertRejects } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using writer = await SafetensorsWriter.open(`${folder}/a`, {
   *     x: { dtype: "F32", shape: [1] },
   *   });
   *   await assertRejects(() => writer.append("x", new Float32Array(2)), RangeError);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async append(name: string, data: SafetensorsData): Promise<void> {
    const spec = this.#specs[name];
    const written = this.#written.get(name);
    if (spec === undefined || written === undefined) {
      throw new TypeError(`Cannot write "${name}" to "${this.#file.path}": it was not declared`);
    }
    const total = elements(spec.shape);
    if (written + data.length > total) {
      throw new RangeError(
        `Cannot write "${name}" to "${this.#file.path}": it holds ${total} elements and ` +
          `${written + data.length} were given`,
      );
    }
    const bytes = encode(name, data, spec.dtype);
    const offset = this.#offsets.get(name)! + written * ELEMENT_BYTES[spec.dtype]!;
    this.#written.set(name, written + data.length);
    await this.#file.write(bytes, { offset });
  }

  /**
   * Gives the file its name.
   *
   * @throws {RangeError} If an array has not got all of its elements.
   * @throws {UserError} If the disk is full.
   *
   * @example Too little
   * ```ts
   * import { SafetensorsWriter } from "@oodgpu/oodgpu/data";
   * import { assertRejects } from "@std/assert";
   *
   * const folder = await Deno.makeTempDir();
   * {
   *   await using writer = await SafetensorsWriter.open(`${folder}/a`, {
   *     x: { dtype: "F32", shape: [1] },
   *   });
   *   await assertRejects(() => writer.finish(), RangeError);
   * }
   * await Deno.remove(folder, { recursive: true });
   * ```
   */
  async finish(): Promise<void> {
    for (const [name, written] of this.#written) {
      const total = elements(this.#specs[name]!.shape);
      if (written !== total) {
        throw new RangeError(
          `Cannot finish "${this.#file.path}": "${name}" has ${written} of ${total} elements`,
        );
      }
    }
    await this.#file.commit();
  }

  /** Removes what was not finished. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.abort();
  }
}
