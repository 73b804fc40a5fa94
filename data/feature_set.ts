/**
 * Feature sets: what a model made of a set of images, stored as safetensors, in one file or in
 * shards behind an index, and read as a stream of batches.
 *
 * Arrays that have a row for each image: `features` f32 [N, C], `logits` f32 [N, K], `feature_map`
 * f32 or f16 [N, C, H, W], `feature_norms` f32 [N, C], `labels` i32 [N] (-1 = unknown),
 * `image_embed` [N, D], `tokens` [N, T, E], `tag_logits` [N, M], `attention` [N, M, T], `tag_count`
 * i32 [N], `tag_score` [N]. Arrays that belong to the model: `head.weight` f32 [K, C], `head.bias`
 * f32 [K], `text_embed` [L, D], `logit_scale`.
 *
 * One array is ragged: of `object_tokens` f32 [R, E] an image has as many rows, packed in order, as
 * its element of `object_counts` i32 [N] says; R is their sum and may be 0.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import {
  type FeatureIndex,
  type FeatureIndexShard,
  indexPath,
  readIndex,
} from "./_feature_index.ts";
import { rowsOf } from "./_feature_shapes.ts";
import { fileSource, memorySource, type Source } from "./_feature_source.ts";
import { kindOf, splitPath } from "./_io_error.ts";
import { elementCount } from "./_safetensors_elements.ts";
import { StoredFeatures } from "./_stored_features.ts";
import { SafetensorsFile } from "./safetensors_file.ts";

export type { FeatureIndex, FeatureIndexShard };

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
  | "attention"
  | "object_tokens"
  | "object_counts"
  | "tag_count"
  | "tag_score";

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
   * The rows of one array; of a ragged one the packed rows of these images.
   *
   * @param key One of the keys that the batches were asked for.
   * @returns The rows, with the shape `[rows, ...]`; of a ragged array `[sum of the counts, ...]`.
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
   * @param keys Arrays that have a row for each image, or are ragged.
   * @param options `rows`: how many images a batch has, the last one fewer; `allowNonFinite`: do not
   * refuse NaN and infinities, which is done unless asked otherwise.
   * @returns The batches.
   * @throws {UserError} If an array is missing, has no row for each image, or has a NaN.
   */
  batches(
    keys: readonly string[],
    options: { readonly rows: number; readonly allowNonFinite?: boolean },
  ): AsyncIterable<FeatureBatch>;
}

/**
 * Opens a feature set: a `.safetensors` file, or the `.safetensors.index.json` of a set in shards,
 * which is also found by the name of the file that it stands for. Files that NumPy or PyTorch wrote
 * are read as well as this project's own.
 *
 * @param path The file or the index.
 * @returns The set, open until it is disposed.
 * @throws {UserError} If a file is missing or damaged, no array is known, arrays disagree in rows,
 * channels or classes, the counts of a ragged array do not add up to its rows, or shards disagree
 * with each other or with the index.
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
  if (path.endsWith(".json")) return await openIndex(path);
  const index = indexPath(path);
  if (await kindOf(path) === undefined && await kindOf(index) === "file") {
    return await openIndex(index);
  }
  await using files = new AsyncDisposableStack();
  const file = files.use(await SafetensorsFile.open(path));
  const sources = { shards: [await fileSource(file)], shared: [] };
  const set = new StoredFeatures(path, sources, file.header.metadata);
  // The set owns the file from here on; until then a failure closes it.
  files.move();
  return set;
}

async function openIndex(path: string): Promise<FeatureSet> {
  const index = await readIndex(path);
  const { folder } = splitPath(path);
  await using files = new AsyncDisposableStack();
  const open = async (file: string): Promise<Source> =>
    await fileSource(files.use(await SafetensorsFile.open(`${folder}/${file}`)));
  const shards: Source[] = [];
  for (const { file, rows } of index.shards) {
    const source = await open(file);
    const actual = rowsOf(source);
    if (actual !== rows) {
      throw new UserError(
        `Cannot use "${path}": it says that "${file}" has ${rows} rows, and it has ${actual}`,
      );
    }
    shards.push(source);
  }
  const shared = index.shared === undefined ? [] : [await open(index.shared)];
  const set = new StoredFeatures(path, { shards, shared }, index.metadata);
  files.move();
  return set;
}

/**
 * A feature set of arrays in memory, for tests, pages and services.
 *
 * @param arrays The arrays by key.
 * @param options `path`: what to call it in messages; `names`: the images' names; `metadata`.
 * @returns The set; batches hold copies of the arrays' rows.
 * @throws {UserError} If arrays disagree in rows, channels or classes, or the counts of a ragged
 * array do not add up to its rows.
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
    if (elementCount(shape) !== data.length) {
      throw new RangeError(
        `Cannot use "${key}": shape [${shape.join(", ")}] does not hold ${data.length} elements`,
      );
    }
  }
  const path = options.path ?? "memory";
  const source = memorySource(path, arrays, options.names);
  return new StoredFeatures(path, { shards: [source], shared: [] }, options.metadata ?? {});
}
