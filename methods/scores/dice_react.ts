/**
 * DICE+ReAct: clipped features before a sparse head.
 *
 * @module
 */

import { headEnergy } from "../../kernels/mod.ts";
import { activationPercentile } from "../_percentile.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray, stateArray, wholeArray } from "../_state.ts";
import { sparseHead, SPARSITY } from "./_dice.ts";
import { headProduct, logSumExp } from "./_graph.ts";
import { react } from "./react.ts";

/**
 * DICE+ReAct, log sum exp((W * M) min(a, c) + b): DICE's mask M, made with the mean of the unclipped
 * training features, and ReAct's percentile c of the validation features, or of the training
 * features without them.
 *
 * @example Clipped, then weighed by the one weight that contributes most
 * ```ts
 * import { diceReact } from "@oodgpu/oodgpu/methods";
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
 * const fitted = await diceReact.fit({ train, context: host, parameters: { percentile: 100 } });
 * const features = host.upload(new Float32Array([5, 9]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, Math.log(1 + Math.exp(9)), 1e-5);
 * ```
 */
export const diceReact: ScoreMethod = defineScore({
  name: "dice_react",
  title: "DICE+ReAct",
  source: "Sun and Li 2022, arXiv 2111.09805",
  summary: "The energy of clipped features behind DICE's sparse head",
  needs: ["features"],
  fitNeeds: ["features", "head.weight"],
  usesValidation: true,
  parameters: [SPARSITY, ...react.parameters],
  evidence: { quantity: "energy of clipped features behind the sparse head", negated: false },
  arrays: { weight: 2, bias: 1, clip: 1 },
  async learn(input) {
    const { weight, bias, K, C, warnings } = await sparseHead(input, "dice_react");
    const set = input.validation ?? input.train;
    const clip = await activationPercentile(input, input.parameters["percentile"]!, set);
    return {
      arrays: {
        weight: stateArray(weight, [K, C]),
        bias: stateArray(bias, [K]),
        clip: stateArray(new Float32Array([clip]), [1]),
      },
      warnings,
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
