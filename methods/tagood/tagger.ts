/**
 * What TagOOD reads of a model: the outputs of a tagger, or of a classifier that stands in for one.
 *
 * A classifier without tags is one whose classes are the tags: the locations of its last map are the
 * tokens, its probabilities are those of the tags, and the class-activation map of a class
 * (Zhou et al. 2016, arXiv 1512.04150) says where it looked for it.
 *
 * @module
 */

import {
  linear,
  rowMaxSoftmax,
  softmax,
  toChannelsFirst,
  toChannelsLast,
} from "../../kernels/mod.ts";
import type { FeatureSet } from "../../data/mod.ts";
import { type Context, type Tensor, UserError } from "../../runtime/mod.ts";

/** Who names the tags: a tagger, or a classifier by its class-activation maps. */
export type TaggerKind = "tagger" | "cam";

/** The keys that are read of each image. */
export const TAGGER_KEYS: Readonly<Record<TaggerKind, readonly string[]>> = {
  tagger: ["tokens", "tag_logits", "attention"],
  cam: ["feature_map", "logits"],
};

/** Tensors of some images as thresholding takes them. */
export interface TaggerTensors {
  /** f32 [N, T, E]. */
  readonly tokens: Tensor;
  /** What is compared with the tags' thresholds, f32 [N, M]. */
  readonly tagLogits: Tensor;
  /** f32 [N, M, T] or [N, H, M, T]. */
  readonly attention: Tensor;
  /** The largest probability of a tag where `tagLogits` are no logits, f32 [N]. */
  readonly probability?: Tensor;
}

/**
 * Which kind of model made a feature set.
 *
 * @param set The set.
 * @returns `tagger` where there are tokens, else `cam`.
 * @throws {UserError} When it has neither a tagger's outputs nor a classifier's map, logits and head.
 *
 * @example A tagger's
 * ```ts
 * import { taggerKindOf } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures({
 *   tokens: { data: new Float32Array(6), shape: [1, 3, 2] },
 *   "tag_logits": { data: new Float32Array(4), shape: [1, 4] },
 *   attention: { data: new Float32Array(12), shape: [1, 4, 3] },
 * });
 * assertEquals(taggerKindOf(set), "tagger");
 * ```
 */
export function taggerKindOf(set: FeatureSet): TaggerKind {
  const missing = (kind: TaggerKind) => TAGGER_KEYS[kind].filter((key) => !set.has(key));
  const [tagger, cam] = [missing("tagger"), missing("cam")];
  if (tagger.length === 0) return "tagger";
  if (cam.length === 0 && set.has("head.weight")) return requireOneHead(set);
  if (set.has("object_tokens")) {
    throw new UserError(
      `Cannot find objects in "${set.path}": its object tokens are chosen already; a file with the ` +
        "tagger's tokens, tag_logits and attention was expected",
    );
  }
  if (tagger.length < TAGGER_KEYS.tagger.length) {
    throw new UserError(
      `Cannot find objects in "${set.path}": it has no "${tagger.join('", no "')}"; name the ` +
        "tagger's outputs in its sidecar and extract again",
    );
  }
  throw new UserError(
    `Cannot find objects in "${set.path}": it has ${set.keys.join(", ")}; a tagger's tokens, ` +
      "tag_logits and attention were expected, or a classifier's feature_map (ood extract " +
      "--feature-map f32), logits and head",
  );
}

/** Activation maps are what a head sees in the map just before it. */
function requireOneHead(set: FeatureSet): "cam" {
  const [, given] = set.shape("feature_map");
  const [, expected] = set.shape("head.weight");
  if (given === expected) return "cam";
  throw new UserError(
    `Cannot find objects in "${set.path}": its feature_map has ${given} channels and its head takes ` +
      `${expected}; extract the map that the head looks at`,
  );
}

/**
 * A classifier's outputs as a tagger's.
 *
 * @param ctx Where to compute; it owns what is made.
 * @param outputs The map f32 [N, C, H, W], logits f32 [N, K] and the head's weight f32 [K, C].
 * @returns Tokens [N, H W, C], probabilities [N, K] in place of tag logits, class-activation maps
 * [N, K, H W], and each image's largest probability.
 *
 * @example Two places, two classes
 * ```ts
 * import { camTensors } from "@oodgpu/oodgpu/methods";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const made = camTensors(host, {
 *   map: host.upload(new Float32Array([1, 2]), [1, 1, 1, 2]),
 *   logits: host.upload(new Float32Array([0, 0]), [1, 2]),
 *   weight: host.upload(new Float32Array([3, -1]), [2, 1]),
 * });
 * assertEquals([...made.attention.data], [3, 6, -1, -2]);
 * ```
 */
export function camTensors(
  ctx: Context,
  outputs: { readonly map: Tensor; readonly logits: Tensor; readonly weight: Tensor },
): TaggerTensors {
  const { map, logits, weight } = outputs;
  const [images = 0, channels = 0, height = 0, width = 0] = map.shape;
  const [classes = 0] = weight.shape;
  const places = height * width;
  const tokens = toChannelsLast(ctx, { x: map });
  const maps = linear(ctx, { x: tokens.reshape([images * places, channels]), weight });
  const attention = toChannelsFirst(ctx, {
    x: maps.reshape([images, height, width, classes]),
  });
  return {
    tokens: tokens.reshape([images, places, channels]),
    tagLogits: softmax(ctx, { x: logits }),
    attention: attention.reshape([images, classes, places]),
    probability: rowMaxSoftmax(ctx, { x: logits }),
  };
}
