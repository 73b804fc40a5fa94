/**
 * Fitting a detector, with notes of what it was fitted to.
 *
 * @module
 */

import { featureHash, type FeatureSet } from "../data/mod.ts";
import { Detector } from "./detector.ts";
import type { FitInput, ScoreMethod } from "./score.ts";

/** Metadata of a feature set that a detector keeps, so that its inputs can be made again. */
const KEPT_METADATA = [
  "model",
  "model_hash",
  "preprocessing",
  "label_names",
  "text_model",
  "value_of_features",
  "value_of_feature_map",
  "value_of_image_embed",
  "odin_temperature",
  "odin_epsilon",
] as const;

/**
 * Fits a score and notes what it was fitted to: names, counts and hashes of the feature sets, and
 * the model's hash, preprocessing, labels, the values that features come from, and how ODIN moved
 * images, where the training set says them.
 *
 * @param method The score.
 * @param input What to fit it to.
 * @returns The detector, without a threshold.
 * @throws {UserError} When the data lack something, or a parameter is out of range.
 *
 * @example A detector that remembers its training data
 * ```ts
 * import { fitDetector, msp } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const logits = { data: new Float32Array(2), shape: [1, 2] };
 * const train = memoryFeatures({ logits }, { metadata: { "model_hash": "abc" } });
 * const detector = await fitDetector(msp, { train, context: new Host() });
 * assertEquals(detector.metadata["model_hash"], "abc");
 * ```
 */
export async function fitDetector(method: ScoreMethod, input: FitInput): Promise<Detector> {
  const fitted = await method.fit(input);
  const { train, validation } = input;
  const metadata: Record<string, string> = {};
  for (const key of KEPT_METADATA) {
    const value = train.metadata[key];
    if (value !== undefined) metadata[key] = value;
  }
  const fit = [await describeSet("train", train)];
  if (validation !== undefined) fit.push(await describeSet("validation", validation));
  metadata["fit"] = JSON.stringify(fit);
  metadata["seed"] = String(input.seed ?? 0);
  return new Detector(fitted, { metadata });
}

async function describeSet(role: string, set: FeatureSet): Promise<Record<string, unknown>> {
  return { role, path: set.path, count: set.count, sha256: await featureHash(set) };
}
