/**
 * Where in a model features come from and how ODIN moved their images, and whether two sets or a
 * detector agree on it.
 *
 * @module
 */

import type { FeatureSet } from "../data/mod.ts";
import type { OdinSettings } from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
import type { Detector } from "./detector.ts";
import { sourceValueKey } from "./_keys.ts";

/**
 * Checks that features come from the model that a detector was fitted to, and from the same values
 * in it, where both say which: a score fitted to one block's map makes no sense of another's. Logits
 * of moved images must have been moved alike.
 *
 * @param detector The detector.
 * @param set The features.
 * @throws {UserError} When they name different models, different values of one, or different steps.
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
  const other = differingOrigin(fitted.needs, { expected: metadata, given: set.metadata });
  if (other === undefined) return;
  throw new UserError(
    `Cannot use "${set.path}" with this detector: its "${other.key}" come ${other.given}, and the ` +
      `detector was fitted to those ${other.expected}`,
  );
}

/**
 * Checks that sets were made of the same values of their model, and their images moved alike, for
 * the keys that matter. Each set is compared with all before it.
 *
 * @param train The set to compare with.
 * @param others The others, and the keys that scores read of all of them.
 * @throws {UserError} When a key comes from different values or steps in two sets.
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
  const before = [train];
  for (const set of others.sets) {
    for (const { path, metadata } of before) {
      const other = differingOrigin(others.keys, { expected: metadata, given: set.metadata });
      if (other === undefined) continue;
      throw new UserError(
        `Cannot use "${set.path}" with "${path}": its "${other.key}" come ${other.given}, and those ` +
          `of "${path}" ${other.expected}`,
      );
    }
    before.push(set);
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

/**
 * How images must be moved for a detector, where it reads logits of moved images.
 *
 * @param detector The detector.
 * @returns The settings, as the metadata of its training set gave them; undefined for other scores.
 * @throws {UserError} When it reads such logits and its training set did not say how they were made.
 *
 * @example A score on logits
 * ```ts
 * import { Detector, msp, odinOf } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const detector = new Detector(await msp.fit({ train, context: new Host() }));
 * assertEquals(odinOf(detector), undefined);
 * ```
 */
export function odinOf(detector: Detector): OdinSettings | undefined {
  if (!detector.fitted.needs.includes("odin_logits")) return undefined;
  const [temperature, epsilon] = ["temperature", "epsilon"].map((name) =>
    Number(detector.metadata[`odin_${name}`])
  );
  if (temperature! > 0 && epsilon! >= 0) return { temperature: temperature!, epsilon: epsilon! };
  throw new UserError(
    `Cannot judge images with this detector: the features that it was fitted to do not say how ` +
      `ODIN moved images; fit it to features of \`ood extract --odin\`, or judge such features of ` +
      `the images (--features)`,
  );
}

/** The first key that two sets of metadata say to be made otherwise, and how in both. */
function differingOrigin(
  keys: readonly string[],
  metadata: Readonly<Record<"expected" | "given", Readonly<Record<string, string>>>>,
): { key: string; expected: string; given: string } | undefined {
  for (const key of keys) {
    for (const { name, say } of originsOf(key)) {
      const [expected, given] = [metadata.expected[name], metadata.given[name]];
      if (expected === undefined || given === undefined || expected === given) continue;
      return { key, expected: say(expected), given: say(given) };
    }
  }
  return undefined;
}

/** The metadata that say what a key was made of or how, in words that go behind "come". */
function originsOf(key: string): { name: string; say: (value: string) => string }[] {
  const value = {
    name: sourceValueKey(key),
    say: (text: string) => `from the value "${text}" of the model`,
  };
  if (key !== "odin_logits") return [value];
  const steps = ["temperature", "epsilon"].map((name) => ({
    name: `odin_${name}`,
    say: (text: string) => `from steps with ${name} ${text}`,
  }));
  return [value, ...steps];
}
