/**
 * SCALE: the energy of features that are scaled up by how much their largest hold.
 *
 * @module
 */

import { headEnergy, keepTop } from "../../kernels/mod.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray } from "../_state.ts";
import { headProduct, logSumExp } from "./_graph.ts";
import { keepTopGraph, keptOf, learnShaping } from "./_shaping.ts";

const ASKING = { name: "scale", title: "SCALE" };

/**
 * SCALE, log sum exp(W a e + b) with e = exp(sum of all features / sum of the k largest). Nothing is
 * set to zero.
 *
 * k is C less C * percentile / 100, rounded half to even. Features must come from a ReLU: training
 * features with negative ones are refused. The exponent counts as 80 above 80.
 *
 * @example One feature of two holds two thirds
 * ```ts
 * import { scale } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([1, 2]), shape: [1, 2] },
 *   "head.weight": { data: new Float32Array([1, 1]), shape: [1, 2] },
 * });
 * const fitted = await scale.fit({ train, context: host, parameters: { percentile: 50 } });
 * const features = host.upload(new Float32Array([1, 2]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, 3 * Math.exp(3 / 2), 1e-5);
 * ```
 */
export const scale: ScoreMethod = defineScore({
  ...ASKING,
  source: "Xu et al. 2024, arXiv 2310.00227",
  summary: "The energy of features scaled by the share that their largest hold",
  needs: ["features"],
  fitNeeds: ["features", "head.weight"],
  usesValidation: false,
  parameters: [{
    name: "percentile",
    description: "Share of an image's features that do not count among the largest",
    default: 85,
    minimum: 0,
    maximum: 100,
    search: [65, 70, 75, 80, 85, 90, 95],
  }],
  evidence: { quantity: "energy of scaled features", negated: false },
  arrays: { weight: 2, bias: 1, kept: 1 },
  learn: (input) => learnShaping(input, ASKING, { divides: true }),
  place(context, state) {
    const weight = placeArray(context, state, "weight");
    const bias = placeArray(context, state, "bias");
    const count = keptOf(state);
    return (scope, batch) => {
      using features = keepTop(scope, { x: batch["features"]! }, { count, mode: "scaleAll" });
      return headEnergy(scope, { features, weight, bias });
    };
  },
  graph(builder, inputs, state) {
    const scaled = keepTopGraph(builder, inputs["features"]!, {
      count: keptOf(state),
      mode: "scaleAll",
    });
    return logSumExp(builder, headProduct(builder, scaled, state));
  },
});
