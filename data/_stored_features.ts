/** A feature set over its shards: which of them has an array, and which has a row. */

import { UserError } from "../runtime/errors.ts";
import {
  checkDimensions,
  checkShards,
  isKnownKey,
  ROW_KEYS,
  rowsOf,
  WHOLE_KEYS,
} from "./_feature_shapes.ts";
import { type Source, toHost } from "./_feature_source.ts";
import { makeBatch, streamBatches } from "./_feature_stream.ts";
import { findNonFinite } from "./_non_finite.ts";
import { elementCount } from "./_safetensors_elements.ts";
import type { FeatureBatch, FeatureSet, HostArray } from "./feature_set.ts";
import { countsKeyOf } from "./ragged.ts";

/** A source that holds rows, with the place of its first one in the set. */
interface Shard {
  readonly source: Source;
  readonly start: number;
  readonly rows: number;
}

/** Rows of one array of a shard. */
interface Range {
  readonly shard: Shard;
  readonly start: number;
  readonly rows: number;
}

/** Puts rows of several shards into one array of the given shape. */
function joinRows(key: string, parts: readonly HostArray[], shape: readonly number[]): HostArray {
  const length = elementCount(shape);
  const data =
    parts[0]?.data instanceof Int32Array || (parts.length === 0 && WHOLE_KEYS.includes(key))
      ? new Int32Array(length)
      : new Float32Array(length);
  let end = 0;
  for (const part of parts) {
    data.set(part.data, end);
    end += part.data.length;
  }
  return { data, shape };
}

/** A feature set whose arrays are in files or in memory. */
export class StoredFeatures implements FeatureSet {
  readonly path: string;
  readonly count: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly keys: readonly string[];
  readonly #shards: readonly Shard[];
  /** Where to look for an array: those that have no rows may be in a source of their own. */
  readonly #sources: readonly Source[];
  #names: readonly string[] | undefined;

  constructor(
    path: string,
    sources: { shards: readonly Source[]; shared: readonly Source[] },
    metadata: Readonly<Record<string, string>>,
  ) {
    this.path = path;
    this.metadata = metadata;
    this.#sources = [...sources.shared, ...sources.shards];
    this.keys = [...new Set(this.#sources.flatMap((source) => source.keys))];
    const shards: Shard[] = [];
    let start = 0;
    for (const source of sources.shards) {
      const rows = rowsOf(source);
      shards.push({ source, start, rows });
      start += rows;
    }
    this.#shards = shards;
    this.count = start;
    checkShards(path, sources.shards);
    if (shards.length > 0) {
      const shape = (key: string) => this.has(key) ? this.shape(key) : undefined;
      checkDimensions({ path, keys: this.keys, shape });
    }
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
    return this.#sources.some((source) => source.shape(key) !== undefined);
  }

  /** Whether an array has a row for each image, or as many as are counted. */
  #hasRows(key: string): boolean {
    if (ROW_KEYS.includes(key) || countsKeyOf(key) !== undefined) return true;
    if (isKnownKey(key)) return false;
    return this.#shards.length > 0 &&
      this.#shards.every(({ source, rows }) => source.shape(key)?.[0] === rows);
  }

  #sourceOf(key: string): Source {
    const source = this.#sources.find((candidate) => candidate.shape(key) !== undefined);
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
    if (!this.#hasRows(key)) return shape;
    return [this.#rowCount(key, 0, this.count), ...shape.slice(1)];
  }

  async read(key: string): Promise<HostArray> {
    const source = this.#sourceOf(key);
    if (this.#hasRows(key)) return await this.#rows(key, 0, this.count);
    return toHost(this.path, key, await source.read(key));
  }

  /** Where the rows of some images lie: in one shard or in several. */
  #ranges(key: string, start: number, images: number): Range[] {
    return this.#shards.flatMap((shard): Range[] => {
      const from = Math.max(start, shard.start) - shard.start;
      const to = Math.min(start + images, shard.start + shard.rows) - shard.start;
      if (from >= to) return [];
      if (countsKeyOf(key) === undefined) return [{ shard, start: from, rows: to - from }];
      const offsets = shard.source.offsets.get(key)!;
      return [{ shard, start: offsets[from]!, rows: offsets[to]! - offsets[from]! }];
    });
  }

  /** How many rows some images have. */
  #rowCount(key: string, start: number, images: number): number {
    return this.#ranges(key, start, images).reduce((sum, { rows }) => sum + rows, 0);
  }

  /** The rows of some images, which may lie in several shards, in one array. */
  async #rows(key: string, start: number, images: number): Promise<HostArray> {
    const parts: HostArray[] = [];
    for (const { shard: { source }, ...range } of this.#ranges(key, start, images)) {
      parts.push(toHost(source.path, key, await source.readRows(key, range)));
    }
    if (parts.length === 1) return parts[0]!;
    const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
    return joinRows(key, parts, [rows, ...this.shape(key).slice(1)]);
  }

  async *batches(
    keys: readonly string[],
    options: { readonly rows: number; readonly allowNonFinite?: boolean },
  ): AsyncGenerator<FeatureBatch> {
    const { rows, allowNonFinite = false } = options;
    if (!Number.isInteger(rows) || rows < 1) {
      throw new RangeError(`Cannot stream batches of ${rows} rows: at least 1 was expected`);
    }
    for (const key of keys) this.#requireRows(key);
    const load = async (start: number, length: number): Promise<FeatureBatch> => {
      const arrays = new Map<string, HostArray>();
      for (const key of keys) {
        const array = await this.#rows(key, start, length);
        if (!allowNonFinite) this.#assertFinite(key, array, start);
        arrays.set(key, array);
      }
      return makeBatch({ start, rows: length }, arrays);
    };
    yield* streamBatches({ count: this.count, rows }, load);
  }

  #requireRows(key: string): void {
    const shape = this.shape(key).join(", ");
    if (this.#hasRows(key)) return;
    throw new UserError(
      `Cannot use "${this.path}": "${key}" has shape [${shape}], and a row for each of the ` +
        `${this.count} images was expected`,
    );
  }

  #assertFinite(key: string, array: HostArray, start: number): void {
    const found = findNonFinite(array);
    if (found === undefined) return;
    const image = this.#imageOf(key, start, found.row);
    const name = this.names?.[image];
    throw new UserError(
      `Cannot use "${this.path}": "${key}" has ${found.what} in ` +
        (countsKeyOf(key) === undefined ? `row ${image}` : `a row of image ${image}`) +
        (name === undefined ? "" : ` ("${name}")`),
    );
  }

  /** The image that a row belongs to, which is the `row`-th of those from image `start` on. */
  #imageOf(key: string, start: number, row: number): number {
    if (countsKeyOf(key) === undefined) return start + row;
    let image = start;
    for (let left = row; left >= 0; image++) left -= this.#rowCount(key, image, 1);
    return image - 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const source of new Set(this.#sources)) await source.close();
  }
}
