/**
 * MCM: the largest share of a softmax over the labels of the classes.
 *
 * @module
 */

import { maxShare } from "../../kernels/mod.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray } from "../_state.ts";
import {
  cosinesGraph,
  graphRowBytes,
  IMAGES,
  LABEL_KEYS,
  labelArray,
  range,
  readLabels,
  unitGraph,
  unitImages,
} from "./_labels.ts";

/**
 * MCM, max_c softmax(cos(x, t_c) / tau) over the text features t_c of the in-distribution labels. The
 * cosines are raw ones: a model's logit scale has no part in it.
 *
 * @example Two labels, equally near
 * ```ts
 * import { formatTextLabels, mcm } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const images = { data: new Float32Array([3, 3]), shape: [1, 2] };
 * const train = memoryFeatures({
 *   "image_embed": images,
 *   "text_embed": { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] },
 * }, {
 *   metadata: formatTextLabels({ ids: ["cat", "dog"], negatives: [], kinds: [], mining: "given" }),
 * });
 * const fitted = await mcm.fit({ train, context: host });
 * const embed = host.upload(images.data, [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { "image_embed": embed }));
 * assertEquals([...scores!], [0.5]);
 * ```
 */
export const mcm: ScoreMethod = defineScore({
  name: "mcm",
  title: "MCM",
  source: "Ming et al. 2022, arXiv 2211.13445",
  summary: "The largest share of a softmax over cosines with the labels of the classes",
  needs: [IMAGES],
  fitNeeds: LABEL_KEYS,
  usesValidation: false,
  parameters: [{
    name: "tau",
    description: "Temperature of the softmax over cosines",
    default: 1,
    minimum: 0,
    exclusive: true,
    search: [0.01, 0.1, 0.5, 1, 2],
  }],
  evidence: { quantity: "largest share of a label", negated: false },
  arrays: { classes: 2 },
  async learn(input) {
    const labels = await readLabels(input, "mcm");
    return { arrays: { classes: labelArray(labels, range(labels.classes)) } };
  },
  place(context, state) {
    const labels = placeArray(context, state, "classes");
    const scale = 1 / state.parameters["tau"]!;
    return (scope, batch) => {
      using x = unitImages(scope, batch);
      return maxShare(scope, { x, labels }, { scale });
    };
  },
  graphRowBytes,
  graph(builder, inputs, state) {
    const unit = unitGraph(builder, inputs[IMAGES]!);
    const z = cosinesGraph(builder, unit, { state, name: "classes" });
    const shares = builder.node("Softmax", [z], { attributes: { axis: 1n } });
    return builder.reduce("ReduceMax", shares, { axes: [1] });
  },
});
