/**
 * Scores of a label set that nothing is trained for: what SynOOD is compared with.
 *
 * @module
 */

import { memoryFeatures } from "../data/mod.ts";
import { type Fitted, fittedSynood, formatTextLabels, type LabelSet, mcm } from "../methods/mod.ts";
import type { Context } from "../runtime/mod.ts";

/** MCM of a label set: its in-distribution labels alone. */
export async function fittedMcm(labels: LabelSet, context: Context): Promise<Fitted> {
  const { text, width, ids, negatives, logitScale } = labels;
  const count = ids.length + negatives.length;
  const train = memoryFeatures({
    // No image is needed, and a feature set has one at least.
    "image_embed": { data: text.slice(0, width), shape: [1, width] },
    "text_embed": { data: text, shape: [count, width] },
    "logit_scale": { data: Float32Array.of(logitScale), shape: [1] },
  }, { path: "labels", metadata: formatTextLabels(labels) });
  return await mcm.fit({ train, context });
}

/** NegLabel of a label set, or CSP where its labels were found so: SynOOD without its trainings. */
export function fittedNegLabel(labels: LabelSet, groups?: number): Fitted {
  return fittedSynood(labels, undefined, { groups });
}
