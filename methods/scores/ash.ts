/**
 * ASH: the energy of features of which only the largest stay.
 *
 * @module
 */

import { headEnergy, keepTop, type KeepTopMode } from "../../kernels/mod.ts";
import { defineScore } from "../define.ts";
import type { FittedState, ScoreMethod } from "../score.ts";
import { placeArray } from "../_state.ts";
import { headProduct, logSumExp } from "./_graph.ts";
import { keepTopGraph, keptOf, learnShaping } from "./_shaping.ts";

const ASKING = { name: "ash", title: "ASH" };
const VARIANTS = ["b", "p", "s"] as const;
const MODES: Readonly<Record<typeof VARIANTS[number], KeepTopMode>> = {
  b: "fill",
  p: "prune",
  s: "scale",
};

function modeOf(parameters: FittedState["parameters"]): KeepTopMode {
  return MODES[VARIANTS[parameters["variant"]!]!];
}

/**
 * ASH, log sum exp(W f(a) + b): f keeps the k largest features of an image, and those of the lowest
 * index among equal ones, and sets the others to zero. Variant `b` gives those that stay the sum of
 * all features over k, `p` leaves them, `s` multiplies them by exp(sum of all / sum of those that
 * stay).
 *
 * k is C less C * percentile / 100, rounded half to even. The variant is a choice, 0 for `b`, 1 for
 * `p` and 2 for `s`. Features are taken to come from a ReLU: variant `s` refuses training features
 * with negative ones, the others warn. The exponent of `s` counts as 80 above 80.
 *
 * @example The larger of two features takes their sum
 * ```ts
 * import { ash } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([1, 2]), shape: [1, 2] },
 *   "head.weight": { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] },
 *   "head.bias": { data: new Float32Array(2), shape: [2] },
 * });
 * const fitted = await ash.fit({ train, context: host, parameters: { percentile: 50 } });
 * const features = host.upload(new Float32Array([1, 3]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, Math.log(1 + Math.exp(4)), 1e-5);
 * ```
 */
export const ash: ScoreMethod = defineScore({
  ...ASKING,
  source: "Djurisic et al. 2023, arXiv 2209.09858",
  summary: "The energy of features of which only the largest stay",
  needs: ["features"],
  fitNeeds: ["features", "head.weight"],
  usesValidation: false,
  parameters: [
    {
      name: "variant",
      description: "What stays gets the sum of all (b), stays as it is (p), or is scaled up (s)",
      default: 0,
      choices: VARIANTS,
      search: [0, 1, 2],
    },
    {
      name: "percentile",
      description: "Share of an image's features that are set to zero",
      default: 90,
      minimum: 0,
      maximum: 100,
      search: [65, 70, 75, 80, 85, 90, 95],
    },
  ],
  evidence: { quantity: "energy of the largest features", negated: false },
  arrays: { weight: 2, bias: 1, kept: 1 },
  learn: (input) => learnShaping(input, ASKING, { divides: modeOf(input.parameters) === "scale" }),
  place(context, state) {
    const weight = placeArray(context, state, "weight");
    const bias = placeArray(context, state, "bias");
    const options = { count: keptOf(state), mode: modeOf(state.parameters) };
    return (scope, batch) => {
      using features = keepTop(scope, { x: batch["features"]! }, options);
      return headEnergy(scope, { features, weight, bias });
    };
  },
  graph(builder, inputs, state) {
    const shaped = keepTopGraph(builder, inputs["features"]!, {
      count: keptOf(state),
      mode: modeOf(state.parameters),
    });
    return logSumExp(builder, headProduct(builder, shaped, state));
  },
});
