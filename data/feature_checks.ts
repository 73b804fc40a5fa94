/**
 * Refusing features that no score can be made of: numbers that are none, and sets of two models.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { findNonFinite } from "./_non_finite.ts";
import type { FeatureSet, HostArray } from "./feature_set.ts";

/**
 * Refuses an array that has a NaN or an infinity.
 *
 * @param array The array, with rows along its first dimension.
 * @param what What to call it in the message, for example `"features" of "a.safetensors"`.
 * @throws {UserError} If there is one; the message names its row.
 *
 * @example A NaN in the second row
 * ```ts
 * import { assertFinite } from "@oodgpu/oodgpu/data";
 * import { assertThrows } from "@std/assert";
 *
 * const array = { data: new Float32Array([1, 2, NaN, 4]), shape: [2, 2] };
 * assertThrows(() => assertFinite(array, "features"), Error, "row 1");
 * ```
 */
export function assertFinite(array: HostArray, what: string): void {
  const found = findNonFinite(array);
  if (found === undefined) return;
  throw new UserError(`Cannot use ${what}: there is ${found.what} in row ${found.row}`);
}

/** C of a set, where it has features or a head. */
function channelsOf(set: FeatureSet): number | undefined {
  if (set.has("features")) return set.shape("features")[1];
  return set.has("head.weight") ? set.shape("head.weight")[1] : undefined;
}

/** K of a set, where it has logits or a head. */
function classesOf(set: FeatureSet): number | undefined {
  if (set.has("logits")) return set.shape("logits")[1];
  return set.has("head.weight") ? set.shape("head.weight")[0] : undefined;
}

/** E of a set, where it has tokens, of whole images or of objects. */
function tokenChannelsOf(set: FeatureSet): number | undefined {
  if (set.has("tokens")) return set.shape("tokens")[2];
  return set.has("object_tokens") ? set.shape("object_tokens")[1] : undefined;
}

/** What sets must agree in. */
const SIZES = [
  ["channels", channelsOf],
  ["classes", classesOf],
  ["token channels", tokenChannelsOf],
] as const;

/**
 * Checks that sets come from models of one form: as many channels, classes and token channels.
 *
 * @param reference The set to compare with, usually the training set.
 * @param others The other sets.
 * @throws {UserError} If one differs; the message names both files and both numbers.
 *
 * @example Another model's features
 * ```ts
 * import { memoryFeatures, requireCompatible } from "@oodgpu/oodgpu/data";
 * import { assertThrows } from "@std/assert";
 *
 * const a = memoryFeatures({ features: { data: new Float32Array(4), shape: [2, 2] } });
 * const b = memoryFeatures({ features: { data: new Float32Array(6), shape: [2, 3] } });
 * assertThrows(() => requireCompatible(a, [b]), Error, "3 channels");
 * ```
 */
export function requireCompatible(reference: FeatureSet, others: readonly FeatureSet[]): void {
  for (const other of others) {
    for (const [what, of] of SIZES) {
      const expected = of(reference);
      const actual = of(other);
      if (expected === undefined || actual === undefined || expected === actual) continue;
      throw new UserError(
        `Cannot use "${other.path}" with "${reference.path}": it has ${actual} ${what} and ` +
          `"${reference.path}" has ${expected}`,
      );
    }
    const expected = reference.metadata["model_hash"];
    const actual = other.metadata["model_hash"];
    if (expected !== undefined && actual !== undefined && expected !== actual) {
      throw new UserError(
        `Cannot use "${other.path}" with "${reference.path}": they were extracted with different ` +
          "models",
      );
    }
  }
}
