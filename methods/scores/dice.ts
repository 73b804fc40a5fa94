/**
 * DICE: the energy of a head that keeps only the weights that contribute most.
 *
 * @module
 */

import { headEnergy } from "../../kernels/mod.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray, stateArray } from "../_state.ts";
import { sparseHead, SPARSITY } from "./_dice.ts";
import { headProduct, logSumExp } from "./_graph.ts";

/**
 * DICE, log sum exp((W * M) a + b): M keeps the weights whose product with the mean training feature
 * exceeds a percentile of all such products. The products keep their sign, and the mask is applied
 * to the weights once, at the fit.
 *
 * @example The one weight that contributes most
 * ```ts
 * import { dice } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([1, 2, 3, 2]), shape: [2, 2] },
 *   "head.weight": { data: new Float32Array([1, 0.5, 0.25, 3]), shape: [2, 2] },
 *   "head.bias": { data: new Float32Array(2), shape: [2] },
 * });
 * const fitted = await dice.fit({ train, context: host });
 * const features = host.upload(new Float32Array([5, 2]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, Math.log(1 + Math.exp(6)), 1e-5);
 * ```
 */
export const dice: ScoreMethod = defineScore({
  name: "dice",
  title: "DICE",
  source: "Sun and Li 2022, arXiv 2111.09805",
  summary: "The energy of a head without the weights that contribute least",
  needs: ["features"],
  fitNeeds: ["features", "head.weight"],
  usesValidation: false,
  parameters: [SPARSITY],
  evidence: { quantity: "energy of the sparse head", negated: false },
  arrays: { weight: 2, bias: 1 },
  async learn(input) {
    const { weight, bias, K, C, warnings } = await sparseHead(input, "dice");
    return {
      arrays: { weight: stateArray(weight, [K, C]), bias: stateArray(bias, [K]) },
      warnings,
    };
  },
  place(context, state) {
    const weight = placeArray(context, state, "weight");
    const bias = placeArray(context, state, "bias");
    return (scope, batch) => headEnergy(scope, { features: batch["features"]!, weight, bias });
  },
  graph: (builder, inputs, state) =>
    logSumExp(builder, headProduct(builder, inputs["features"]!, state)),
});
