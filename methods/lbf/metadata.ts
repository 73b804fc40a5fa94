/**
 * What a tuned file says of how it was made.
 *
 * @module
 */

import type { LbfSettings } from "./settings.ts";

/** The key of a model's metadata under which the settings stand. */
export const LBF_METADATA_KEY = "oodgpu.lbf";

/**
 * Metadata of a tuned model.
 *
 * @param settings How it was tuned.
 * @param images What identifies the images.
 * @returns Strings by key.
 *
 * @example The settings stand in the file
 * ```ts
 * import { LBF_DEFAULTS, LBF_METADATA_KEY, lbfMetadata } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const settings = { ...LBF_DEFAULTS, delta: 0.1, margin: 1, shift: 4 };
 * const metadata = lbfMetadata(settings, "abc");
 * assertEquals(JSON.parse(metadata[LBF_METADATA_KEY]!).delta, 0.1);
 * ```
 */
export function lbfMetadata(settings: LbfSettings, images: string): Record<string, string> {
  return { [LBF_METADATA_KEY]: JSON.stringify({ ...settings, images }) };
}
