/**
 * Feature sets: what a model made of a set of images, stored as safetensors, in one file or in
 * shards behind an index, and read as a stream of batches.
 *
 * Arrays that have a row for each image: `features` f32 [N, C], `logits` f32 [N, K], `feature_map`
 * f32 or f16 [N, C, H, W], `feature_norms` f32 [N, C], `labels` i32 [N] (-1 = unknown),
 * `image_embed` [N, D], `tokens` [N, T, D], `tag_logits` [N, M], `attention` [N, M, T]. Arrays that
 * belong to the model: `head.weight` f32 [K, C], `head.bias` f32 [K], `text_embed` [L, D],
 * `logit_scale`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { UserError } from "../runtime/errors.ts";
import { ioError, kindOf, splitPath } from "./_io_error.ts";
import type { SafetensorsArray } from "./safetensors.ts";
import { SafetensorsFile } from "./safetensors_file.ts";

/** The arrays that this project knows. */
export type FeatureKey =
  | "features"
  | "logits"
  | "feature_map"
  | "feature_norms"
  | "labels"
  | "head.weight"
  | "head.bias"
  | "image_embed"
  | "text_embed"
  | "logit_scale"
  | "tokens"
  | "tag_logits"
  | "attention";

/** An array in memory, as the rest of the project takes it: f32, or i32 for whole numbers. */
export interface HostArray {
  /** The elements, row-major. */
  readonly data: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
  /** The dimensions. */
  readonly shape: readonly number[];
}

/** Some consecutive rows of a set. */
export interface FeatureBatch {
  /** The index of the first row. */
  readonly start: number;
  /** How many rows there are. */
  readonly rows: number;
  /**
   * The rows of one array.
   *
   * @param key One of the keys that the batches were asked for.
   * @returns The rows, with the shape `[rows, ...]`.
   * @throws {TypeError} If the batches were not asked for that key.
   */
  get(key: string): HostArray;
}

/** What a model made of a set of images. */
export interface FeatureSet extends AsyncDisposable {
  /** The file, or the name that it was given in memory. */
  readonly path: string;
  /** N, the number of images. */
  readonly count: number;
  /** The strings that are stored with it: model hash, preprocessing, and the like. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The arrays that it has. */
  readonly keys: readonly string[];
  /** The images' names, where they are stored. */
  readonly names: readonly string[] | undefined;
  /**
   * Whether it has an array.
   *
   * @param key The array's name.
   * @returns True if it has.
   */
  has(key: string): boolean;
  /**
   * The dimensions of an array.
   *
   * @param key The array's name.
   * @returns Its dimensions, over all shards.
   * @throws {UserError} If there is no such array; the message names those that there are.
   */
  shape(key: string): readonly number[];
  /**
   * Reads a whole array; f16, bf16 and f64 become f32, whole numbers i32.
   *
   * @param key The array's name.
   * @returns The array.
   * @throws {UserError} If there is no such array or the file is damaged.
   */
  read(key: string): Promise<HostArray>;
  /**
   * Streams rows in order; the next batch is read while one is used, so that two are in memory.
   *
   * @param keys Arrays that have a row for each image.
   * @param options `rows`: how many rows a batch has, the last one fewer; `allowNonFinite`: do not
   * refuse NaN and infinities, which is done unless asked otherwise.
   * @returns The batches.
   * @throws {UserError} If an array is missing, has no row for each image, or has a NaN.
   */
  batches(
    keys: readonly string[],
    options: { readonly rows: number; readonly allowNonFinite?: boolean },
  ): AsyncIterable<FeatureBatch>;
}

const ROW_KEYS: readonly string[] = [
  "features",
  "logits",
  "feature_map",
  "feature_norms",
  "labels",
  "image_embed",
  "tokens",
  "tag_logits",
  "attention",
];

// What each known array's dimensions mean; equal letters must be equal numbers within a set. P is
// the channels of the last feature map: a model may project them before its head.
const DIMENSIONS: Readonly<Record<string, readonly string[]>> = {
  "features": ["N", "C"],
  "logits": ["N", "K"],
  "feature_map": ["N", "P", "H", "W"],
  "feature_norms": ["N", "P"],
  "labels": ["N"],
  "head.weight": ["K", "C"],
  "head.bias": ["K"],
  "image_embed": ["N", "D"],
  "text_embed": ["L", "D"],
  "tokens": ["N", "T", "E"],
  "tag_logits": ["N", "M"],
  "attention": ["N", "M", "T"],
};

const DIMENSION_NAMES: Readonly<Record<string, string>> = {
  N: "rows",
  C: "channels",
  K: "classes",
  P: "map channels",
  D: "embedding channels",
  M: "tags",
  T: "tokens",
};

/** Something that rows can be read from: a file, or arrays in memory. */
interface Source {
  readonly path: string;
  readonly keys: readonly string[];
  readonly names: readonly string[] | undefined;
  shape(key: string): readonly number[] | undefined;
  read(key: string): Promise<SafetensorsArray>;
  readRows(key: string, range: { start: number; rows: number }): Promise<SafetensorsArray>;
  close(): Promise<void>;
}

function toHost(path: string, key: string, array: SafetensorsArray): HostArray {
  const { data, shape } = array;
  const whole = key === "labels" ||
    (DIMENSIONS[key] === undefined && key !== "logit_scale" &&
      !(data instanceof Float32Array || data instanceof Float64Array));
  if (!whole) {
    return { data: data instanceof Float32Array ? data : new Float32Array(data), shape };
  }
  if (data instanceof Int32Array) return { data, shape };
  const out = new Int32Array(data);
  const wrong = out.findIndex((value, i) => value !== data[i]);
  if (wrong >= 0) {
    throw new UserError(
      `Cannot use "${path}": "${key}" has ${
        data[wrong]
      } in row ${wrong}, and a whole number that ` +
        "fits 32 bits was expected",
    );
  }
  return { data: out, shape };
}

function parseNames(metadata: Readonly<Record<string, string>>): readonly string[] | undefined {
  const text = metadata["names"];
  if (text === undefined) return undefined;
  try {
    const names: unknown = JSON.parse(text);
    if (Array.isArray(names) && names.every((name) => typeof name === "string")) return names;
  } catch {
    // Someone else's metadata may mean something else by "names".
  }
  return undefined;
}

function fileSource(file: SafetensorsFile): Source {
  let names: readonly string[] | undefined;
  let parsed = false;
  return {
    path: file.path,
    keys: [...file.header.entries.keys()],
    get names() {
      if (!parsed) names = parseNames(file.header.metadata);
      parsed = true;
      return names;
    },
    shape: (key) => file.header.entries.get(key)?.shape,
    read: (key) => file.read(key),
    readRows: (key, range) => file.readRows(key, range),
    close: () => file[Symbol.asyncDispose](),
  };
}

function memorySource(
  path: string,
  arrays: Readonly<Record<string, HostArray>>,
  names: readonly string[] | undefined,
): Source {
  return {
    path,
    keys: Object.keys(arrays),
    names,
    shape: (key) => arrays[key]?.shape,
    read: (key) => Promise.resolve(arrays[key]!),
    readRows(key, { start, rows }) {
      const { data, shape } = arrays[key]!;
      const width = data.length / Math.max(shape[0] ?? 1, 1);
      // A copy, so that a caller may change or transfer what it gets, as with a file.
      const part = data.slice(start * width, (start + rows) * width);
      return Promise.resolve({ data: part, shape: [rows, ...shape.slice(1)] });
    },
    close: () => Promise.resolve(),
  };
}

/** The number of rows of a source, checked over its arrays. */
function rowsOf(source: Source): number {
  let first: string | undefined;
  let rows = 0;
  for (const key of ROW_KEYS) {
    const shape = source.shape(key);
    if (shape === undefined) continue;
    if (first === undefined) {
      first = key;
      rows = shape[0] ?? 0;
    } else if (shape[0] !== rows) {
      throw new UserError(
        `Cannot use "${source.path}": "${first}" has ${rows} rows and "${key}" has ${
          shape[0] ?? 0
        }`,
      );
    }
  }
  return rows;
}

/** Checks ranks, and that arrays agree in the numbers of channels, classes and so on. */
function checkDimensions(source: Source): void {
  const seen = new Map<string, { key: string; size: number }>();
  let known = source.shape("logit_scale") !== undefined;
  for (const [key, letters] of Object.entries(DIMENSIONS)) {
    const shape = source.shape(key);
    if (shape === undefined) continue;
    known = true;
    if (shape.length !== letters.length) {
      throw new UserError(
        `Cannot use "${source.path}": "${key}" has shape [${shape.join(", ")}], and ` +
          `[${letters.join(", ")}] was expected`,
      );
    }
    for (const [axis, letter] of letters.entries()) {
      const size = shape[axis]!;
      const other = seen.get(letter);
      if (other === undefined) seen.set(letter, { key, size });
      else if (other.size !== size) {
        throw new UserError(
          `Cannot use "${source.path}": "${other.key}" has ${other.size} ` +
            `${DIMENSION_NAMES[letter] ?? letter} and "${key}" has ${size}`,
        );
      }
    }
  }
  if (!known) {
    const has = source.keys.length === 0 ? "nothing" : source.keys.slice(0, 20).join(", ");
    throw new UserError(
      `Cannot use "${source.path}" as a feature file: it has ${has}, and at least one of ` +
        `${ROW_KEYS.join(", ")} was expected`,
    );
  }
}

class StoredFeatures implements FeatureSet {
  readonly path: string;
  readonly count: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly keys: readonly string[];
  /** The sources that hold rows, with the index of their first row. */
  readonly #shards: readonly { source: Source; start: number; rows: number }[];
  /** Where the arrays are that have no rows. */
  readonly #shared: readonly Source[];
  #names: readonly string[] | undefined;

  constructor(
    path: string,
    sources: { shards: readonly Source[]; shared: readonly Source[] },
    metadata: Readonly<Record<string, string>>,
  ) {
    this.path = path;
    this.metadata = metadata;
    this.#shared = [...sources.shared, ...sources.shards];
    const shards: { source: Source; start: number; rows: number }[] = [];
    let count = 0;
    for (const source of sources.shards) {
      const rows = rowsOf(source);
      shards.push({ source, start: count, rows });
      count += rows;
    }
    this.#shards = shards;
    this.count = count;
    const keys = new Set(this.#shared.flatMap((source) => source.keys));
    this.keys = [...keys];
    this.#checkShards();
  }

  /** Every shard must have the same arrays, and of the same shape but for the rows. */
  #checkShards(): void {
    const first = this.#shards[0];
    if (first === undefined) return;
    for (const { source } of this.#shards) {
      for (const key of ROW_KEYS) {
        const expected = first.source.shape(key);
        const actual = source.shape(key);
        const same = expected === undefined
          ? actual === undefined
          : actual !== undefined && actual.slice(1).join() === expected.slice(1).join();
        if (same) continue;
        const say = (shape: readonly number[] | undefined) =>
          shape === undefined ? "lacks it" : `has rows of [${shape.slice(1).join(", ")}]`;
        throw new UserError(
          `Cannot use "${this.path}": its shards disagree about "${key}": "${first.source.path}" ` +
            `${say(expected)} and "${source.path}" ${say(actual)}`,
        );
      }
    }
    const merged: Source = {
      ...first.source,
      path: this.path,
      keys: this.keys,
      names: undefined,
      shape: (key) => this.has(key) ? this.shape(key) : undefined,
    };
    checkDimensions(merged);
  }

  get names(): readonly string[] | undefined {
    if (this.#names !== undefined) return this.#names;
    const all: string[] = [];
    for (const { source, rows } of this.#shards) {
      const { names } = source;
      // A list of another length cannot say which name belongs to which row.
      if (names === undefined || names.length !== rows) return undefined;
      for (const name of names) all.push(name);
    }
    return this.#names = all;
  }

  has(key: string): boolean {
    return this.#shared.some((source) => source.shape(key) !== undefined);
  }

  /** Whether an array has a row for each image. */
  #hasRows(key: string): boolean {
    if (ROW_KEYS.includes(key)) return true;
    if (DIMENSIONS[key] !== undefined || key === "logit_scale") return false;
    return this.#shards.length > 0 &&
      this.#shards.every(({ source, rows }) => source.shape(key)?.[0] === rows);
  }

  #sourceOf(key: string): Source {
    const source = this.#shared.find((candidate) => candidate.shape(key) !== undefined);
    if (source === undefined) {
      throw new UserError(
        `Cannot use "${this.path}": it has no "${key}"; it has ${
          this.keys.slice(0, 20).join(", ")
        }`,
      );
    }
    return source;
  }

  shape(key: string): readonly number[] {
    const shape = this.#sourceOf(key).shape(key)!;
    return this.#hasRows(key) ? [this.count, ...shape.slice(1)] : shape;
  }

  async read(key: string): Promise<HostArray> {
    const source = this.#sourceOf(key);
    if (this.#hasRows(key)) return await this.#rows(key, 0, this.count);
    return toHost(this.path, key, await source.read(key));
  }

  /** Rows that may lie in several shards, in one array. */
  async #rows(key: string, start: number, rows: number): Promise<HostArray> {
    const parts: HostArray[] = [];
    for (const shard of this.#shards) {
      const from = Math.max(start, shard.start);
      const to = Math.min(start + rows, shard.start + shard.rows);
      if (from >= to) continue;
      const range = { start: from - shard.start, rows: to - from };
      parts.push(toHost(shard.source.path, key, await shard.source.readRows(key, range)));
    }
    if (parts.length === 1) return parts[0]!;
    const shape = [rows, ...this.shape(key).slice(1)];
    const length = shape.reduce((product, size) => product * size, 1);
    const data = parts[0]?.data instanceof Int32Array || (parts.length === 0 && key === "labels")
      ? new Int32Array(length)
      : new Float32Array(length);
    let end = 0;
    for (const part of parts) {
      data.set(part.data, end);
      end += part.data.length;
    }
    return { data, shape };
  }

  async *batches(
    keys: readonly string[],
    options: { readonly rows: number; readonly allowNonFinite?: boolean },
  ): AsyncGenerator<FeatureBatch> {
    const { rows, allowNonFinite = false } = options;
    if (!Number.isInteger(rows) || rows < 1) {
      throw new RangeError(`Cannot stream batches of ${rows} rows: at least 1 was expected`);
    }
    for (const key of keys) {
      this.#sourceOf(key);
      if (!this.#hasRows(key)) {
        throw new UserError(
          `Cannot use "${this.path}": "${key}" has shape [${
            this.shape(key).join(", ")
          }], and a row ` +
            `for each of the ${this.count} images was expected`,
        );
      }
    }
    const load = async (start: number): Promise<FeatureBatch> => {
      const length = Math.min(rows, this.count - start);
      const arrays = new Map<string, HostArray>();
      for (const key of keys) {
        const array = await this.#rows(key, start, length);
        if (!allowNonFinite) this.#assertFinite(key, array, start);
        arrays.set(key, array);
      }
      return {
        start,
        rows: length,
        get(key) {
          const array = arrays.get(key);
          if (array === undefined) {
            throw new TypeError(
              `Cannot get "${key}": the batches were asked for ${keys.join(", ")}`,
            );
          }
          return array;
        },
      };
    };
    let next: Promise<FeatureBatch> | undefined;
    try {
      for (let start = 0; start < this.count; start += rows) {
        const batch = await (next ?? load(start));
        next = start + rows < this.count ? load(start + rows) : undefined;
        // Its failure is thrown when its turn comes; until then it must not count as unhandled.
        next?.catch(() => {});
        yield batch;
      }
    } finally {
      await next?.catch(() => {});
    }
  }

  #assertFinite(key: string, array: HostArray, start: number): void {
    const { data, shape } = array;
    if (data instanceof Int32Array) return;
    const index = firstNonFinite(data);
    if (index < 0) return;
    const row = start + Math.floor(index / (data.length / shape[0]!));
    const name = this.names?.[row];
    throw new UserError(
      `Cannot use "${this.path}": "${key}" has ${nameOf(data[index]!)} in row ${row}` +
        (name === undefined ? "" : ` ("${name}")`),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const source of new Set(this.#shared)) await source.close();
  }
}

function nameOf(value: number): string {
  return Number.isNaN(value) ? "a NaN" : "an infinity";
}

/** The index of the first NaN or infinity, -1 if there is none. */
function firstNonFinite(data: Float32Array): number {
  // v - v is 0 for a finite number and NaN otherwise: one sum tells of the whole array, and it
  // runs several times faster than a test of each element.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! - data[i]!;
  return sum === 0 ? -1 : data.findIndex((value) => !Number.isFinite(value));
}

/**
 * Refuses an array that has a NaN or an infinity.
 *
 * @param array The array, with rows along its first dimension.
 * @param what What to call it in the message, for example `"features" of "a.safetensors"`.
 * @throws {UserError} If there is one; the message names its row.
 *
 * @example A NaN in the second row
 * ```ts
 * import { assertFinite } from "@oodgpu/oodgpu/data";
 * import { assertThrows } from "@std/assert";
 *
 * const array = { data: new Float32Array([1, 2, NaN, 4]), shape: [2, 2] };
 * assertThrows(() => assertFinite(array, "features"), Error, "row 1");
 * ```
 */
export function assertFinite(array: HostArray, what: string): void {
  const { data, shape } = array;
  if (data instanceof Int32Array) return;
  const index = firstNonFinite(data);
  if (index < 0) return;
  const row = Math.floor(index / (data.length / (shape[0] ?? 1)));
  throw new UserError(`Cannot use ${what}: there is ${nameOf(data[index]!)} in row ${row}`);
}

/** One shard as an index lists it. */
export interface FeatureIndexShard {
  /** Its file, relative to the index. */
  readonly file: string;
  /** How many rows it has. */
  readonly rows: number;
}

/** The content of a `NAME.safetensors.index.json`. */
export interface FeatureIndex {
  /** Strings for the whole set. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The shards in the order of their rows. */
  readonly shards: readonly FeatureIndexShard[];
  /** The file of the arrays that have no rows, relative to the index, if it is not a shard. */
  readonly shared?: string;
}

function parseIndex(path: string, text: string): FeatureIndex {
  const refuse = (why: string): never => {
    throw new UserError(`Cannot read "${path}": ${why}`);
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    refuse("it is no JSON text");
  }
  const { metadata = {}, shards, shared } = (json ?? {}) as Record<string, unknown>;
  if (!Array.isArray(shards) || shards.length === 0) refuse('it has no list of "shards"');
  for (const shard of shards as unknown[]) {
    const { file, rows } = (shard ?? {}) as Record<string, unknown>;
    if (typeof file !== "string" || !Number.isSafeInteger(rows)) {
      refuse('each of its "shards" must have a "file" and a number of "rows"');
    }
  }
  if (shared !== undefined && typeof shared !== "string") refuse('its "shared" is no file name');
  const strings: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(metadata as Record<string, unknown>)) {
    strings[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return {
    metadata: strings,
    shards: shards as FeatureIndexShard[],
    ...(shared === undefined ? {} : { shared: shared as string }),
  };
}

/**
 * Opens a feature set: a `.safetensors` file, or the `.safetensors.index.json` of a set in shards,
 * which is also found by the name of the file that it stands for. Files that NumPy or PyTorch wrote are read as well as this project's own.
 *
 * @param path The file or the index.
 * @returns The set, open until it is disposed.
 * @throws {UserError} If a file is missing or damaged, no array is known, arrays disagree in rows,
 * channels or classes, or shards disagree with each other or with the index.
 *
 * @example Batches of a file
 * ```ts
 * import { openFeatures, writeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * await writeSafetensors(`${folder}/f.safetensors`, {
 *   features: { data: new Float32Array(6), shape: [3, 2] },
 * });
 * {
 *   await using set = await openFeatures(`${folder}/f.safetensors`);
 *   const shapes = [];
 *   for await (const batch of set.batches(["features"], { rows: 2 })) {
 *     shapes.push(batch.get("features").shape);
 *   }
 *   assertEquals(shapes, [[2, 2], [1, 2]]);
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function openFeatures(path: string): Promise<FeatureSet> {
  const opened: SafetensorsFile[] = [];
  const open = async (file: string): Promise<Source> => {
    const handle = await SafetensorsFile.open(file);
    opened.push(handle);
    return fileSource(handle);
  };
  try {
    if (!path.endsWith(".json")) {
      if (await kindOf(path) === undefined && await kindOf(`${path}.index.json`) === "file") {
        return await openFeatures(`${path}.index.json`);
      }
      const source = await open(path);
      return new StoredFeatures(path, { shards: [source], shared: [] }, opened[0]!.header.metadata);
    }
    let text: string;
    try {
      text = await Deno.readTextFile(path);
    } catch (error) {
      throw ioError("read", path, error);
    }
    const index = parseIndex(path, text);
    const { folder } = splitPath(path);
    const shards: Source[] = [];
    for (const { file, rows } of index.shards) {
      const source = await open(`${folder}/${file}`);
      const actual = rowsOf(source);
      if (actual !== rows) {
        throw new UserError(
          `Cannot use "${path}": it says that "${file}" has ${rows} rows, and it has ${actual}`,
        );
      }
      shards.push(source);
    }
    const shared = index.shared === undefined ? [] : [await open(`${folder}/${index.shared}`)];
    return new StoredFeatures(path, { shards, shared }, index.metadata);
  } catch (error) {
    for (const file of opened) await file[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * A feature set of arrays in memory, for tests, pages and services.
 *
 * @param arrays The arrays by key.
 * @param options `path`: what to call it in messages; `names`: the images' names; `metadata`.
 * @returns The set; batches hold copies of the arrays' rows.
 * @throws {UserError} If arrays disagree in rows, channels or classes.
 * @throws {RangeError} If a shape does not hold its data.
 *
 * @example Two images
 * ```ts
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures({ features: { data: new Float32Array(6), shape: [2, 3] } });
 * assertEquals(set.count, 2);
 * ```
 */
export function memoryFeatures(
  arrays: Readonly<Record<string, HostArray>>,
  options: {
    readonly path?: string;
    readonly names?: readonly string[];
    readonly metadata?: Readonly<Record<string, string>>;
  } = {},
): FeatureSet {
  for (const [key, { data, shape }] of Object.entries(arrays)) {
    if (shape.reduce((product, size) => product * size, 1) !== data.length) {
      throw new RangeError(
        `Cannot use "${key}": shape [${shape.join(", ")}] does not hold ${data.length} elements`,
      );
    }
  }
  const path = options.path ?? "memory";
  const source = memorySource(path, arrays, options.names);
  return new StoredFeatures(path, { shards: [source], shared: [] }, options.metadata ?? {});
}

/** C of a set, where it has features or a head. */
function channelsOf(set: FeatureSet): number | undefined {
  if (set.has("features")) return set.shape("features")[1];
  return set.has("head.weight") ? set.shape("head.weight")[1] : undefined;
}

/** K of a set, where it has logits or a head. */
function classesOf(set: FeatureSet): number | undefined {
  if (set.has("logits")) return set.shape("logits")[1];
  return set.has("head.weight") ? set.shape("head.weight")[0] : undefined;
}

/**
 * Checks that sets come from models of one form: as many channels and as many classes.
 *
 * @param reference The set to compare with, usually the training set.
 * @param others The other sets.
 * @throws {UserError} If one differs; the message names both files and both numbers.
 *
 * @example Another model's features
 * ```ts
 * import { memoryFeatures, requireCompatible } from "@oodgpu/oodgpu/data";
 * import { assertThrows } from "@std/assert";
 *
 * const a = memoryFeatures({ features: { data: new Float32Array(4), shape: [2, 2] } });
 * const b = memoryFeatures({ features: { data: new Float32Array(6), shape: [2, 3] } });
 * assertThrows(() => requireCompatible(a, [b]), Error, "3 channels");
 * ```
 */
export function requireCompatible(reference: FeatureSet, others: readonly FeatureSet[]): void {
  for (const other of others) {
    for (const [what, of] of [["channels", channelsOf], ["classes", classesOf]] as const) {
      const expected = of(reference);
      const actual = of(other);
      if (expected === undefined || actual === undefined || expected === actual) continue;
      throw new UserError(
        `Cannot use "${other.path}" with "${reference.path}": it has ${actual} ${what} and ` +
          `"${reference.path}" has ${expected}`,
      );
    }
    const expected = reference.metadata["model_hash"];
    const actual = other.metadata["model_hash"];
    if (expected !== undefined && actual !== undefined && expected !== actual) {
      throw new UserError(
        `Cannot use "${other.path}" with "${reference.path}": they were extracted with different ` +
          "models",
      );
    }
  }
}

// Large enough to hide the cost of a read, small beside any machine's memory.
const HASH_BYTES = 4 * 1024 * 1024;

/**
 * The SHA-256 of what a set holds: the names, shapes and numbers of its arrays, in the order of
 * their names. Sharding, metadata and how numbers are stored do not enter.
 *
 * @param set The set; it is read once, in small batches.
 * @returns 64 hexadecimal digits.
 * @throws {UserError} If a file is damaged.
 *
 * @example One number more is another set
 * ```ts
 * import { featureHash, memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertNotEquals } from "@std/assert";
 *
 * const a = memoryFeatures({ labels: { data: new Int32Array([1]), shape: [1] } });
 * const b = memoryFeatures({ labels: { data: new Int32Array([1, 1]), shape: [2] } });
 * assertNotEquals(await featureHash(a), await featureHash(b));
 * ```
 */
export async function featureHash(set: FeatureSet): Promise<string> {
  const hash = createHash("sha256");
  const update = ({ data }: HostArray) => {
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  };
  for (const key of [...set.keys].sort()) {
    const shape = set.shape(key);
    hash.update(`${key} [${shape.join(",")}]\n`);
    if (!ROW_KEYS.includes(key)) {
      update(await set.read(key));
      continue;
    }
    const width = shape.slice(1).reduce((product, size) => product * size, 1);
    const rows = Math.max(1, Math.floor(HASH_BYTES / (4 * Math.max(width, 1))));
    for await (const batch of set.batches([key], { rows, allowNonFinite: true })) {
      update(batch.get(key));
    }
  }
  return hash.digest("hex");
}
