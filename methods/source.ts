/**
 * Where in a model features come from, and whether two sets or a detector agree on it.
 *
 * @module
 */

import type { FeatureSet } from "../data/mod.ts";
import { UserError } from "../runtime/mod.ts";
import type { Detector } from "./detector.ts";
import { sourceValueKey } from "./_keys.ts";

/**
 * Checks that features come from the model that a detector was fitted to, and from the same values
 * in it, where both say which: a score fitted to one block's map makes no sense of another's.
 *
 * @param detector The detector.
 * @param set The features.
 * @throws {UserError} When they name different models, or different values of one.
 *
 * @example Norms of another block
 * ```ts
 * import { featureNorm, fitDetector, requireSameSource } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertThrows } from "@std/assert";
 *
 * const normsOf = (block: string) =>
 *   memoryFeatures({ "feature_norms": { data: new Float32Array(2), shape: [1, 2] } }, {
 *     metadata: { "value_of_feature_map": block },
 *   });
 * const train = normsOf("block1");
 * const detector = await fitDetector(featureNorm, { train, context: new Host() });
 * requireSameSource(detector, train);
 * assertThrows(() => requireSameSource(detector, normsOf("block2")), Error, "block2");
 * ```
 */
export function requireSameSource(detector: Detector, set: FeatureSet): void {
  const { metadata, fitted } = detector;
  const [expected, given] = [metadata["model_hash"], set.metadata["model_hash"]];
  if (expected !== undefined && given !== undefined && expected !== given) {
    throw new UserError(
      `Cannot use "${set.path}" with this detector: its features come from the model ` +
        `${set.metadata["model"] ?? given.slice(0, 12)}, and the detector was fitted to those of ` +
        `${metadata["model"] ?? expected.slice(0, 12)}`,
    );
  }
  const other = differingValue(fitted.needs, { expected: metadata, given: set.metadata });
  if (other === undefined) return;
  throw new UserError(
    `Cannot use "${set.path}" with this detector: its "${other.key}" come from the value ` +
      `"${other.given}" of the model, and the detector was fitted to those of "${other.expected}"`,
  );
}

/**
 * Checks that sets were made of the same values of their model, for the keys that matter.
 *
 * @param train The set to compare with.
 * @param others The others, and the keys that scores read of all of them.
 * @throws {UserError} When a key comes from different values in two sets.
 *
 * @example Two blocks
 * ```ts
 * import { requireSameValues } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertThrows } from "@std/assert";
 *
 * const [train, id] = ["block1", "block2"].map((block) =>
 *   memoryFeatures({ "feature_norms": { data: new Float32Array(2), shape: [1, 2] } }, {
 *     metadata: { "value_of_feature_map": block },
 *   })
 * );
 * requireSameValues(train!, { sets: [id!], keys: ["logits"] });
 * assertThrows(() => requireSameValues(train!, { sets: [id!], keys: ["feature_norms"] }));
 * ```
 */
export function requireSameValues(
  train: FeatureSet,
  others: { readonly sets: readonly FeatureSet[]; readonly keys: readonly string[] },
): void {
  for (const set of others.sets) {
    const other = differingValue(others.keys, { expected: train.metadata, given: set.metadata });
    if (other === undefined) continue;
    throw new UserError(
      `Cannot use "${set.path}" with "${train.path}": its "${other.key}" come from the value ` +
        `"${other.given}" of the model, and those of "${train.path}" from "${other.expected}"`,
    );
  }
}

/**
 * The value whose map a detector looks at, where it looks at a map and knows which.
 *
 * @param detector The detector.
 * @returns The value's name in the model, as the metadata of its training set gave it.
 *
 * @example A score on logits
 * ```ts
 * import { blockOf, Detector, msp } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const detector = new Detector(await msp.fit({ train, context: new Host() }));
 * assertEquals(blockOf(detector), undefined);
 * ```
 */
export function blockOf(detector: Detector): string | undefined {
  const key = sourceValueKey("feature_map");
  const looks = detector.fitted.needs.some((need) => sourceValueKey(need) === key);
  return looks ? detector.metadata[key] : undefined;
}

/** The first key that two sets of metadata say to come from different values. */
function differingValue(
  keys: readonly string[],
  metadata: Readonly<Record<"expected" | "given", Readonly<Record<string, string>>>>,
): { key: string; expected: string; given: string } | undefined {
  for (const key of keys) {
    const name = sourceValueKey(key);
    const [expected, given] = [metadata.expected[name], metadata.given[name]];
    if (expected !== undefined && given !== undefined && expected !== given) {
      return { key, expected, given };
    }
  }
  return undefined;
}
