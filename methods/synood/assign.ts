/**
 * Which negative label each synthetic image gets (section 3.4).
 *
 * @module
 */

import { bestLabel, l2Normalize } from "../../kernels/mod.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import { gatherImages, type ImageFeatures } from "./images.ts";
import type { LabelSet } from "./label_set.ts";

/** Negative labels of synthetic images. */
export interface Assignment {
  /** The negative label of each image, from 0 to M - 1. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** The cosine of each image to its label. */
  readonly cosines: Float32Array<ArrayBuffer>;
  /** The M' negative labels that some image has, ascending. */
  readonly used: Int32Array<ArrayBuffer>;
}

/** How images are assigned. */
export interface AssignOptions {
  /** Told how many images are done. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops between two batches. */
  readonly signal?: AbortSignal | undefined;
}

const BATCH = 4096;

/**
 * Gives each image the negative label of the largest cosine, the first one where several are as
 * large.
 *
 * @param ctx Where to compute.
 * @param images Features of synthetic images, of any length.
 * @param labels The labels.
 * @param options Progress.
 * @returns Labels, cosines, and the labels that are used.
 * @throws {UserError} When there is no negative label, or widths differ.
 *
 * @example Two images, one label used
 * ```ts
 * import { assignNegatives, loadImageFeatures } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const set = memoryFeatures({
 *   "image_embed": { data: new Float32Array([1, 3, -1, 3]), shape: [2, 2] },
 * });
 * using images = await loadImageFeatures(set);
 * const { labels, used } = await assignNegatives(host, images, {
 *   ids: ["cat"], negatives: ["sea", "sky"], kinds: ["noun", "noun"], mining: "given",
 *   text: new Float32Array([1, 0, 0, -1, 0, 1]), width: 2, logitScale: 100, model: "m",
 * });
 * assertEquals([[...labels], [...used]], [[1, 1], [1]]);
 * ```
 */
export async function assignNegatives(
  ctx: Context,
  images: ImageFeatures,
  labels: LabelSet,
  options: AssignOptions = {},
): Promise<Assignment> {
  const { ids, negatives, width, text } = labels;
  if (negatives.length === 0) {
    throw new UserError(`Cannot assign labels to "${images.path}": there is no negative label`);
  }
  requireWidth(images, labels);
  using scope = ctx.scope();
  const rows = scope.upload(text.subarray(ids.length * width), [negatives.length, width]);
  const found = new Int32Array(images.count);
  const cosines = new Float32Array(images.count);
  for (let begin = 0; begin < images.count; begin += BATCH) {
    options.signal?.throwIfAborted();
    const end = Math.min(images.count, begin + BATCH);
    using inner = ctx.scope();
    const some = gatherImages(
      images,
      Uint32Array.from({ length: end - begin }, (_, i) => begin + i),
    );
    const x = l2Normalize(inner, { x: inner.upload(some, [end - begin, width]) });
    const { index, cosine } = bestLabel(inner, { x, labels: rows });
    const [where, best] = await inner.read(index, cosine);
    found.set(where!, begin);
    cosines.set(best!, begin);
    options.onProgress?.(end, images.count);
  }
  return { labels: found, cosines, used: Int32Array.from(new Set(found)).sort() };
}

/**
 * Refuses features that no label can be compared with.
 *
 * @param images The features.
 * @param labels The labels.
 * @throws {UserError} When widths differ.
 */
export function requireWidth(images: ImageFeatures, labels: Pick<LabelSet, "width">): void {
  if (images.width === labels.width) return;
  throw new UserError(
    `Cannot use "${images.path}": its features are ${images.width} wide and those of the labels ` +
      `${labels.width}; both must come from one vision-language model`,
  );
}
