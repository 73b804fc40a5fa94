/**
 * NegLabel: the share of the labels of the classes among them and negative labels.
 *
 * @module
 */

import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";
import {
  graphRowBytes,
  GROUP_ARRAYS,
  GROUP_PARAMETERS,
  groupsGraph,
  IMAGES,
  LABEL_KEYS,
  learnGroups,
  placeGroups,
  readLabels,
} from "./_labels.ts";

/**
 * NegLabel, the mean over groups g of negative labels of S / (S + G_g): S the sum of exp(cos / tau)
 * over the in-distribution labels, G_g that over a group.
 *
 * As its authors do, negative labels that are left over when they are shared out evenly are dropped,
 * the last ones, and the rest is shuffled; the shuffle is this project's own. With fewer labels than
 * groups each label is a group.
 *
 * @example One negative label, as near as the class
 * ```ts
 * import { formatTextLabels, negLabel } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const images = { data: new Float32Array([3, 3]), shape: [1, 2] };
 * const labels = {
 *   ids: ["cat"],
 *   negatives: ["teapot"],
 *   kinds: ["noun"],
 *   mining: "neg_label",
 * } as const;
 * const train = memoryFeatures({
 *   "image_embed": images,
 *   "text_embed": { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] },
 * }, { metadata: formatTextLabels(labels) });
 * const fitted = await negLabel.fit({ train, context: host });
 * assertEquals(fitted.parameters, { groups: 1, tau: 0.01 });
 * const embed = host.upload(images.data, [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { "image_embed": embed }));
 * assertEquals([...scores!], [0.5]);
 * ```
 */
export const negLabel: ScoreMethod = defineScore({
  name: "neg_label",
  title: "NegLabel",
  source: "Jiang et al. 2024, arXiv 2403.20078",
  summary: "The share of the labels of the classes among them and groups of negative labels",
  needs: [IMAGES],
  fitNeeds: LABEL_KEYS,
  usesValidation: false,
  parameters: GROUP_PARAMETERS,
  evidence: { quantity: "share of the known labels", negated: false },
  arrays: GROUP_ARRAYS,
  async learn(input) {
    const labels = await readLabels(input, "neg_label");
    const learned = await learnGroups(input, labels, "neg_label");
    if (labels.mining !== "csp") return learned;
    const warning =
      `The negative labels of "${input.train.path}" were found as CSP finds them, so ` +
      "this is CSP";
    return { ...learned, warnings: [warning] };
  },
  place: placeGroups,
  graphRowBytes,
  graph: groupsGraph,
});
