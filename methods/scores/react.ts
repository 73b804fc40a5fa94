/**
 * ReAct: the energy of features that are clipped from above.
 *
 * @module
 */

import { headEnergy } from "../../kernels/mod.ts";
import { readHead } from "../_fit.ts";
import { activationPercentile } from "../_percentile.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray, stateArray, wholeArray } from "../_state.ts";
import { headProduct, logSumExp } from "./_graph.ts";

/**
 * ReAct, log sum exp(W min(a, c) + b), with c a percentile over all units of all in-distribution
 * images: of the validation data, or of the training data without them. The percentile is exact and
 * interpolates linearly.
 *
 * @example Clipping at the largest activation changes nothing
 * ```ts
 * import { react } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([0, 1, 2, 3]), shape: [2, 2] },
 *   "head.weight": { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] },
 *   "head.bias": { data: new Float32Array(2), shape: [2] },
 * });
 * const fitted = await react.fit({ train, context: host, parameters: { percentile: 100 } });
 * const features = host.upload(new Float32Array([3, 9]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, 3 + Math.log(2), 1e-6);
 * ```
 */
export const react: ScoreMethod = defineScore({
  name: "react",
  title: "ReAct",
  source: "Sun et al. 2021, arXiv 2111.12797",
  summary: "The energy of features clipped at a percentile of in-distribution activations",
  needs: ["features"],
  fitNeeds: ["features", "head.weight"],
  usesValidation: true,
  parameters: [{
    name: "percentile",
    description: "Where activations are clipped, over all units of all images",
    default: 90,
    minimum: 0,
    maximum: 100,
    search: [85, 90, 95, 99],
  }],
  evidence: { quantity: "energy of clipped features", negated: false },
  arrays: { weight: 2, bias: 1, clip: 1 },
  async learn(input) {
    const head = await readHead(input, "react");
    const set = input.validation ?? input.train;
    const clip = await activationPercentile(input, input.parameters["percentile"]!, set);
    return {
      arrays: {
        weight: stateArray(head.weight, [head.K, head.C]),
        bias: stateArray(head.bias, [head.K]),
        clip: stateArray(new Float32Array([clip]), [1]),
      },
      warnings: head.warnings,
    };
  },
  place(context, state) {
    const weight = placeArray(context, state, "weight");
    const bias = placeArray(context, state, "bias");
    const clip = wholeArray(state, "clip")[0]!;
    return (scope, batch) =>
      headEnergy(scope, { features: batch["features"]!, weight, bias }, { clip });
  },
  graph(builder, inputs, state) {
    const clipped = builder.clip(inputs["features"]!, { max: wholeArray(state, "clip")[0]! });
    return logSumExp(builder, headProduct(builder, clipped, state));
  },
});
