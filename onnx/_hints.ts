/**
 * What the sidecar can say where the graph does not.
 *
 * @module
 */

import type { InspectionPart } from "./inspection.ts";

/** The end of a sentence on why a part was not found. */
export const HINT: Readonly<Record<Exclude<InspectionPart, "image">, string>> = {
  logits: 'name the value in the sidecar ("outputs": {"logits": …})',
  head: 'name its parameters in the sidecar ("head": {"weight": …, "bias": …}) if there is one',
  features: 'name the value in the sidecar ("outputs": {"features": …})',
  featureMap: 'name the value in the sidecar ("outputs": {"feature_map": …}) if there is one',
  tokens: 'name the value [N, T, E] in the sidecar ("outputs": {"tokens": …})',
  tagLogits: 'name the value [N, M] in the sidecar ("outputs": {"tag_logits": …})',
  attention: "name the weights of its last cross-attention, [N, M, T] or [N, H, M, T], in the " +
    'sidecar ("outputs": {"attention": …})',
  imageEmbed: 'name the value [N, D] in the sidecar ("outputs": {"image_embed": …})',
};
