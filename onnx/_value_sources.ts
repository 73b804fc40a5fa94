/** Where an inspection says what the keys of a feature file are made of. */

import type { Inspection, InspectionPart, ValueSource } from "./inspection.ts";
import type { SidecarOutputs } from "./sidecar.ts";

/** The parts of an inspection that keys are made of. */
export type KeyPart = Exclude<InspectionPart, "image" | "head">;

const PARTS: Readonly<Record<keyof SidecarOutputs, KeyPart>> = {
  logits: "logits",
  features: "features",
  "feature_map": "featureMap",
  tokens: "tokens",
  "tag_logits": "tagLogits",
  attention: "attention",
  "image_embed": "imageEmbed",
};

/** What an inspection calls a key. */
export function partOf(key: keyof SidecarOutputs): KeyPart {
  return PARTS[key];
}

/** The value that a key is made of; undefined when the model offers none. */
export function sourceOf(
  inspection: Inspection,
  key: keyof SidecarOutputs,
): ValueSource | undefined {
  return inspection[PARTS[key]];
}
