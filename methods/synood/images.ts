/**
 * Image features of a set of images, in any order: what SynOOD trains on.
 *
 * @module
 */

import { type FeatureSet, RowStore } from "../../data/mod.ts";
import { UserError } from "../../runtime/mod.ts";

/** Image features. Disposing them removes the file that holds what memory cannot. */
export interface ImageFeatures extends Disposable {
  /** What to call them in messages. */
  readonly path: string;
  /** Number of images, N. */
  readonly count: number;
  /** Width of a feature, D. */
  readonly width: number;
  /** f32 rows of D. */
  readonly rows: RowStore;
  /** The class of each image; -1 where it has none. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** The strings that are stored with them. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** How image features are loaded. */
export interface LoadImagesOptions {
  /** Most bytes of features in memory. */
  readonly memoryBytes?: number;
  /** Told how many images are read. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops the loading. */
  readonly signal?: AbortSignal;
}

const KEY = "image_embed";
const BATCH_ROWS = 1024;

/**
 * Loads the image features of a file from `ood synood features`.
 *
 * @param set The opened file.
 * @param options What may be held in memory.
 * @returns The features, in memory or in a temporary file.
 * @throws {UserError} When the file has no `image_embed`, or a feature is of length 0 or not finite.
 *
 * @example Two images
 * ```ts
 * import { loadImageFeatures } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures({
 *   "image_embed": { data: new Float32Array([1, 0, 0, 2]), shape: [2, 2] },
 * });
 * using images = await loadImageFeatures(set);
 * assertEquals([images.count, images.width, ...images.labels], [2, 2, -1, -1]);
 * ```
 */
export async function loadImageFeatures(
  set: FeatureSet,
  options: LoadImagesOptions = {},
): Promise<ImageFeatures> {
  if (!set.has(KEY)) {
    throw new UserError(
      `Cannot use "${set.path}": it has no "${KEY}"; a file from ood synood features was expected`,
    );
  }
  const { memoryBytes, onProgress, signal } = options;
  const [, width = 0] = set.shape(KEY);
  const rows = RowStore.open({
    rows: set.count,
    rowBytes: 4 * width,
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  });
  try {
    const labelled = set.has("labels");
    const labels = new Int32Array(set.count).fill(-1);
    const keys = labelled ? [KEY, "labels"] : [KEY];
    for await (const batch of set.batches(keys, { rows: BATCH_ROWS })) {
      signal?.throwIfAborted();
      const data = batch.get(KEY).data as Float32Array<ArrayBuffer>;
      requireLengths(data, { set, width, start: batch.start });
      rows.write(batch.start, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      if (labelled) labels.set(batch.get("labels").data, batch.start);
      onProgress?.(batch.start + batch.rows, set.count);
    }
    return {
      path: set.path,
      count: set.count,
      width,
      rows,
      labels,
      metadata: set.metadata,
      [Symbol.dispose]: () => rows[Symbol.dispose](),
    };
  } catch (error) {
    rows[Symbol.dispose]();
    throw error;
  }
}

/**
 * Features of some images, one behind the other.
 *
 * @param images The features.
 * @param indices Which images.
 * @param into Where they go, from its beginning; a new array by default.
 * @returns f32 [indices, D].
 */
export function gatherImages(
  images: ImageFeatures,
  indices: ArrayLike<number>,
  into: Float32Array<ArrayBuffer> = new Float32Array(indices.length * images.width),
): Float32Array<ArrayBuffer> {
  images.rows.gather(indices, new Uint8Array(into.buffer, into.byteOffset, into.byteLength));
  return into;
}

/** What has no direction has no cosine. */
function requireLengths(
  data: Float32Array,
  at: { readonly set: FeatureSet; readonly width: number; readonly start: number },
): void {
  const { set, width, start } = at;
  for (let row = 0; row * width < data.length; row++) {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) sum += data[i]! * data[i]!;
    if (sum > 0) continue;
    const name = set.names?.[start + row];
    throw new UserError(
      `Cannot use "${set.path}": the feature of image ${start + row}${
        name === undefined ? "" : ` ("${name}")`
      } is all zeros`,
    );
  }
}
