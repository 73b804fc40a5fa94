/**
 * Object tokens of a set of images, in any order: what training and projection read.
 *
 * @module
 */

import { type FeatureSet, type HostArray, RowStore } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";

/** Object tokens of some images. Disposing it removes the file that holds what memory cannot. */
export interface ObjectSet extends Disposable {
  /** What to call it in messages. */
  readonly path: string;
  /** Number of images, N. */
  readonly count: number;
  /** Width of a token, E. */
  readonly width: number;
  /** Tokens of each image. */
  readonly counts: Int32Array<ArrayBuffer>;
  /** Where each image's tokens begin and end in `tokens`, [N + 1]. */
  readonly offsets: Float64Array;
  /** f32 rows of E, all images' one behind the other. */
  readonly tokens: RowStore;
  /** The class of each image; -1 where it has none. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** Number of in-distribution tags that the tagger predicted for each. */
  readonly tagCounts: Int32Array<ArrayBuffer>;
  /** The largest probability of an in-distribution tag of each. */
  readonly tagScores: Float32Array<ArrayBuffer>;
  /** The images' names, where they are stored. */
  readonly names: readonly string[] | undefined;
  /** The weight of the classifier's head, f32 [K, C], where one made the file. */
  readonly head?: HostArray | undefined;
  /** The strings that are stored with it. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** How objects are loaded. */
export interface LoadObjectsOptions {
  /** Whether images without tokens are left out; they are kept by default. */
  readonly onlyTagged?: boolean;
  /** Most bytes of tokens in memory. */
  readonly memoryBytes?: number;
  /** Told how many images are read. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops the loading. */
  readonly signal?: AbortSignal;
}

const KEYS = ["object_tokens", "object_counts", "tag_count", "tag_score"] as const;
const BATCH_ROWS = 256;

/**
 * Loads the object tokens of a file from `ood tagood features`.
 *
 * @param set The opened file.
 * @param options Whether images without tokens are left out.
 * @returns The tokens, in memory or in a temporary file.
 * @throws {UserError} When the file holds no object tokens.
 *
 * @example Two images of one and of two tokens
 * ```ts
 * import { loadObjects } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures({
 *   "object_tokens": { data: new Float32Array(12), shape: [3, 4] },
 *   "object_counts": { data: new Int32Array([1, 2]), shape: [2] },
 *   "tag_count": { data: new Int32Array([1, 1]), shape: [2] },
 *   "tag_score": { data: new Float32Array([0.9, 0.8]), shape: [2] },
 * });
 * using objects = await loadObjects(set);
 * assertEquals([...objects.offsets], [0, 1, 3]);
 * ```
 */
export async function loadObjects(
  set: FeatureSet,
  options: LoadObjectsOptions = {},
): Promise<ObjectSet> {
  for (const key of KEYS) {
    if (set.has(key)) continue;
    throw new UserError(
      `Cannot use "${set.path}": it has no "${key}"; a file from ood tagood features was expected`,
    );
  }
  const { memoryBytes, onProgress, signal, onlyTagged = false } = options;
  const [rows, width] = set.shape("object_tokens");
  const tokens = RowStore.open({
    rows: rows!,
    rowBytes: 4 * width!,
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  });
  try {
    const keys = [...KEYS, ...(set.has("labels") ? ["labels"] : [])];
    const columns = new Columns();
    let written = 0;
    for await (const batch of set.batches(keys, { rows: BATCH_ROWS })) {
      signal?.throwIfAborted();
      const { data } = batch.get("object_tokens");
      tokens.write(written, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      written += data.length / width!;
      const column = (key: string) => batch.get(key).data;
      for (let i = 0; i < batch.rows; i++) {
        // It has no rows in the store either, so those of the others stay where they are.
        if (onlyTagged && column("object_counts")[i] === 0) continue;
        columns.push({
          index: batch.start + i,
          count: column("object_counts")[i]!,
          label: set.has("labels") ? column("labels")[i]! : -1,
          tagCount: column("tag_count")[i]!,
          tagScore: column("tag_score")[i]!,
        });
      }
      onProgress?.(batch.start + batch.rows, set.count);
    }
    const head = set.has("head.weight") ? await set.read("head.weight") : undefined;
    return { ...columns.finish(set, tokens), head };
  } catch (error) {
    tokens[Symbol.dispose]();
    throw error;
  }
}

/** One image but its tokens. */
interface ObjectRow {
  readonly index: number;
  readonly count: number;
  readonly label: number;
  readonly tagCount: number;
  readonly tagScore: number;
}

/** What is known of images, gathered one by one. */
class Columns {
  readonly #rows: ObjectRow[] = [];

  push(row: ObjectRow): void {
    this.#rows.push(row);
  }

  finish(set: FeatureSet, tokens: RowStore): ObjectSet {
    const rows = this.#rows;
    const offsets = new Float64Array(rows.length + 1);
    rows.forEach(({ count }, i) => offsets[i + 1] = offsets[i]! + count);
    const whole = (of: (row: ObjectRow) => number) => Int32Array.from(rows, of);
    const { names } = set;
    return {
      path: set.path,
      count: rows.length,
      width: tokens.rowBytes / 4,
      counts: whole(({ count }) => count),
      offsets,
      tokens,
      labels: whole(({ label }) => label),
      tagCounts: whole(({ tagCount }) => tagCount),
      tagScores: Float32Array.from(rows, ({ tagScore }) => tagScore),
      names: names === undefined ? undefined : rows.map(({ index }) => names[index]!),
      metadata: set.metadata,
      [Symbol.dispose]: () => tokens[Symbol.dispose](),
    };
  }
}

/** Tokens of some images, packed for a batch of fixed size. */
export interface PackedBatch {
  /** f32 [capacity, E], zeros behind the last token. */
  readonly tokens: Float32Array<ArrayBuffer>;
  /** i32 [N + 1]. */
  readonly offsets: Int32Array<ArrayBuffer>;
}

/**
 * Packs the tokens of some images.
 *
 * @param objects The set.
 * @param indices The images, each from 0 to N - 1.
 * @param size Rows of the batch, at least the images' tokens; and its images, of which those behind
 * the last index have no tokens.
 * @returns Tokens and offsets.
 */
export function packObjects(
  objects: ObjectSet,
  indices: ArrayLike<number>,
  size: { readonly capacity: number; readonly images: number },
): PackedBatch {
  const offsets = new Int32Array(size.images + 1);
  for (let i = 0; i < size.images; i++) {
    offsets[i + 1] = offsets[i]! + (i < indices.length ? objects.counts[indices[i]!]! : 0);
  }
  const rows = new Float64Array(offsets[size.images]!);
  for (let i = 0; i < indices.length; i++) {
    const begin = objects.offsets[indices[i]!]!;
    for (let at = offsets[i]!; at < offsets[i + 1]!; at++) rows[at] = begin + at - offsets[i]!;
  }
  const tokens = new Float32Array(size.capacity * objects.width);
  objects.tokens.gather(rows, new Uint8Array(tokens.buffer));
  return { tokens, offsets };
}
