/**
 * What TagOOD is compared with in its own ablations (Table 3): the tagger's confidence alone, and
 * cosines to the means of classes, of object features as the tagger has them or as a model projects
 * them.
 *
 * @module
 */

import type { FeatureSet } from "../../data/mod.ts";
import { cosineMax, raggedMean, tagRule } from "../../kernels/mod.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import { type ObjectSet, packObjects } from "./objects.ts";
import type { TaggerKind } from "./tagger.ts";

const BATCH = 256;
/** The lowest cosine, for images without a tag. */
const FLOOR = -1;

/**
 * The mean token of each image; zeros for an image without tokens.
 *
 * @param ctx Where to compute.
 * @param objects The tokens.
 * @returns f32 [N, E].
 *
 * @example Two tokens
 * ```ts
 * import { loadObjects, meanTokens } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures({
 *   "object_tokens": { data: new Float32Array([1, 2, 3, 6]), shape: [2, 2] },
 *   "object_counts": { data: new Int32Array([2]), shape: [1] },
 *   "tag_count": { data: new Int32Array([1]), shape: [1] },
 *   "tag_score": { data: new Float32Array([0.9]), shape: [1] },
 * });
 * using host = new Host();
 * using objects = await loadObjects(set);
 * assertEquals([...await meanTokens(host, objects)], [2, 4]);
 * ```
 */
export async function meanTokens(
  ctx: Context,
  objects: ObjectSet,
): Promise<Float32Array<ArrayBuffer>> {
  const { width, count, offsets } = objects;
  const means = new Float32Array(count * width);
  for (let begin = 0; begin < count; begin += BATCH) {
    const end = Math.min(count, begin + BATCH);
    const capacity = Math.max(1, offsets[end]! - offsets[begin]!);
    const indices = Uint32Array.from({ length: end - begin }, (_, i) => begin + i);
    const packed = packObjects(objects, indices, { capacity, images: end - begin });
    using scope = ctx.scope();
    const [rows] = await scope.read(raggedMean(scope, {
      x: scope.upload(packed.tokens, [capacity, width]),
      offsets: scope.upload(packed.offsets, [end - begin + 1]),
    }));
    means.set(rows!, begin * width);
  }
  return means;
}

/**
 * The mean feature of each class, in float64.
 *
 * @param features f32 [N, W].
 * @param of Labels of the images, from 0 to K - 1, and K.
 * @returns f32 [K, W]; zeros for a class without images.
 *
 * @example Two classes
 * ```ts
 * import { classMeans } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const means = classMeans(new Float32Array([1, 3, 7]), { labels: [0, 0, 1], classes: 2 });
 * assertEquals([...means], [2, 7]);
 * ```
 */
export function classMeans(
  features: Float32Array,
  of: { readonly labels: ArrayLike<number>; readonly classes: number },
): Float32Array<ArrayBuffer> {
  const { labels, classes } = of;
  const width = features.length / labels.length;
  const sums = new Float64Array(classes * width);
  const counts = new Float64Array(classes);
  for (let n = 0; n < labels.length; n++) {
    const label = labels[n]!;
    if (label < 0) continue;
    counts[label]!++;
    for (let i = 0; i < width; i++) sums[label * width + i]! += features[n * width + i]!;
  }
  return Float32Array.from(
    sums,
    (sum, i) => sum / Math.max(1, counts[Math.floor(i / width)]!),
  );
}

/**
 * The largest cosine of each image to the centres; the lowest one without tokens.
 *
 * @param ctx Where to compute.
 * @param images Features f32 [N, W] and tokens of each image.
 * @param centres f32 [K, W].
 * @returns One score for each image.
 *
 * @example With and without tokens
 * ```ts
 * import { cosineScores } from "@oodgpu/oodgpu/methods";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const images = {
 *   features: new Float32Array([2, 0, 1, 1]),
 *   counts: new Int32Array([1, 0]),
 * };
 * assertEquals([...await cosineScores(host, images, new Float32Array([1, 0]))], [1, -1]);
 * ```
 */
export async function cosineScores(
  ctx: Context,
  images: {
    readonly features: Float32Array<ArrayBuffer>;
    readonly counts: Int32Array<ArrayBuffer>;
  },
  centres: Float32Array<ArrayBuffer>,
): Promise<Float32Array<ArrayBuffer>> {
  const { features, counts } = images;
  const count = counts.length;
  const width = features.length / count;
  using scope = ctx.scope();
  const { value } = cosineMax(scope, {
    features: scope.upload(features, [count, width]),
    centres: scope.upload(centres, [centres.length / width, width]),
  });
  const scores = tagRule(scope, { value, counts: scope.upload(counts, [count]) }, {
    measure: "cosine",
    floor: FLOOR,
  });
  return (await scope.read(scores))[0] as Float32Array<ArrayBuffer>;
}

/** What the logits of in-distribution tags say as those of a classifier would. */
export interface TagBaselines {
  /** Largest softmax over the tags. */
  readonly msp: Float32Array<ArrayBuffer>;
  /** Logarithm of the sum of exponentiated logits. */
  readonly energy: Float32Array<ArrayBuffer>;
}

/**
 * MSP and energy over the in-distribution tags (or classes) of a set.
 *
 * @param set A set with `key`.
 * @param of Which logits, and the columns that count.
 * @returns Scores of both, for each image, in float64 before they are rounded.
 * @throws {UserError} When the set has no such logits.
 *
 * @example One image
 * ```ts
 * import { tagBaselines } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const set = memoryFeatures({
 *   "tag_logits": { data: new Float32Array([0, 9, 0]), shape: [1, 3] },
 * });
 * const { msp } = await tagBaselines(set, { key: "tag_logits", columns: [0, 2] });
 * assertAlmostEquals(msp[0]!, 0.5);
 * ```
 */
export async function tagBaselines(
  set: FeatureSet,
  of: { readonly key: "tag_logits" | "logits"; readonly columns: ArrayLike<number> },
): Promise<TagBaselines> {
  if (!set.has(of.key)) {
    throw new UserError(`Cannot compare with "${set.path}": it has no "${of.key}"`);
  }
  const msp = new Float32Array(set.count);
  const energy = new Float32Array(set.count);
  const width = set.shape(of.key)[1]!;
  for await (const batch of set.batches([of.key], { rows: 1024 })) {
    const { data } = batch.get(of.key);
    for (let i = 0; i < batch.rows; i++) {
      const logits = Float64Array.from(of.columns, (column) => data[i * width + column]!);
      const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
      const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
      msp[batch.start + i] = 1 / sum;
      energy[batch.start + i] = most + Math.log(sum);
    }
  }
  return { msp, energy };
}

/**
 * The mean of all tokens of each image, whatever is tagged: its feature as a whole.
 *
 * @param set A tagger's or a classifier's outputs.
 * @param kind Whose.
 * @returns f32 [N, E].
 *
 * @example Two tokens
 * ```ts
 * import { wholeFeatures } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures({
 *   tokens: { data: new Float32Array([1, 2, 3, 6]), shape: [1, 2, 2] },
 * });
 * assertEquals([...await wholeFeatures(set, "tagger")], [2, 4]);
 * ```
 */
export async function wholeFeatures(
  set: FeatureSet,
  kind: TaggerKind,
): Promise<Float32Array<ArrayBuffer>> {
  const key = kind === "tagger" ? "tokens" : "feature_map";
  const [, first = 1, ...rest] = set.shape(key);
  const second = rest.reduce((a, b) => a * b, 1);
  // Tokens are [T, E], maps [C, H W].
  const [width, places, step] = kind === "tagger" ? [second, first, second] : [first, second, 1];
  const means = new Float32Array(set.count * width);
  for await (const batch of set.batches([key], { rows: BATCH })) {
    const { data } = batch.get(key);
    for (let i = 0; i < batch.rows; i++) {
      for (let c = 0; c < width; c++) {
        const begin = i * width * places + (kind === "tagger" ? c : c * places);
        let sum = 0;
        for (let t = 0; t < places; t++) sum += data[begin + t * step]!;
        means[(batch.start + i) * width + c] = sum / places;
      }
    }
  }
  return means;
}
