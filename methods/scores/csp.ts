/**
 * CSP: NegLabel's score on labels of a conjugated semantic pool.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";
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
 * CSP, {@linkcode negLabel} with negative labels of another kind: adjectives become names of wide
 * classes ("rusty thing"), and several templates make up a text feature. Nothing else differs, so the
 * labels decide: a training set whose labels were found as NegLabel finds them is refused.
 *
 * @example Labels of the other kind
 * ```ts
 * import { csp, formatTextLabels } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertRejects } from "@std/assert";
 *
 * const labels = {
 *   ids: ["cat"],
 *   negatives: ["teapot"],
 *   kinds: ["noun"],
 *   mining: "neg_label",
 * } as const;
 * const train = memoryFeatures({
 *   "image_embed": { data: new Float32Array([3, 3]), shape: [1, 2] },
 *   "text_embed": { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] },
 * }, { metadata: formatTextLabels(labels) });
 * await assertRejects(() => csp.fit({ train, context: new Host() }), Error, "--mining csp");
 * ```
 */
export const csp: ScoreMethod = defineScore({
  name: "csp",
  title: "CSP",
  source: "Chen et al. 2024, arXiv 2410.08611",
  summary: "NegLabel with adjectives as names of wide classes among the negative labels",
  needs: [IMAGES],
  fitNeeds: LABEL_KEYS,
  usesValidation: false,
  parameters: GROUP_PARAMETERS,
  evidence: { quantity: "share of the known labels", negated: false },
  arrays: GROUP_ARRAYS,
  async learn(input) {
    const labels = await readLabels(input, "csp");
    if (labels.mining === "neg_label") {
      throw new UserError(
        `Cannot fit "csp": the negative labels of "${input.train.path}" were found as NegLabel ` +
          "finds them; ood synood labels --mining csp finds CSP's",
      );
    }
    return await learnGroups(input, labels, "csp");
  },
  place: placeGroups,
  graphRowBytes,
  graph: groupsGraph,
});
