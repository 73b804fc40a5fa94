/**
 * Energy: the log-sum-exp of the logits.
 *
 * @module
 */

import { rowLogSumExp } from "../../kernels/mod.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";
import { logSumExp } from "./_graph.ts";

/**
 * Energy, T log sum_c exp(z_c / T), shifted by the maximum.
 *
 * @example Two equal logits
 * ```ts
 * import { energy } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await energy.fit({ train, context: host });
 * const logits = host.upload(new Float32Array([3, 3]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { logits }));
 * assertAlmostEquals(scores![0]!, 3 + Math.log(2), 1e-6);
 * ```
 */
export const energy: ScoreMethod = defineScore({
  name: "energy",
  title: "Energy",
  source: "Liu et al. 2020, arXiv 2010.03759",
  summary: "The log-sum-exp of the logits at a temperature",
  needs: ["logits"],
  fitNeeds: [],
  usesValidation: false,
  parameters: [{
    name: "temperature",
    description: "Divides the logits before and multiplies the result after",
    default: 1,
    minimum: 0,
    exclusive: true,
    search: [0.5, 1, 2, 5, 10],
  }],
  evidence: { quantity: "energy", negated: false },
  arrays: {},
  place: (_, state) => (context, batch) =>
    rowLogSumExp(context, { x: batch["logits"]! }, {
      temperature: state.parameters["temperature"]!,
    }),
  graph: (builder, inputs, state) =>
    logSumExp(builder, inputs["logits"]!, state.parameters["temperature"]!),
});
