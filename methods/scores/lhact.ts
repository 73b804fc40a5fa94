/**
 * LHAct: the energy of features whose extremely low and high values are rectified.
 *
 * @module
 */

import { headEnergy, lhActivation } from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { readHead } from "../_fit.ts";
import { activationPercentile } from "../_percentile.ts";
import { defineScore, type Learned, type LearnInput } from "../define.ts";
import type { FittedState, ScoreMethod } from "../score.ts";
import { placeArray, stateArray } from "../_state.ts";
import { headProduct, logSumExp } from "./_graph.ts";

/**
 * LHAct, log sum exp(W f(a) + b): with u = max(a, l), f is u below h and u / sqrt(1 + (u / h)^4) + l
 * from there on.
 *
 * The authors give h = 1.35208 and l = 0.21941 for their ImageNet network. Without a wish both
 * follow from the activations of the validation data, or of the training data without them: h is the
 * percentile `high_percentile` over all units of all images, l the percentile `low_percentile`. The
 * defaults, 95 and 40, are where the authors' constants lie if that network's activations fall off
 * exponentially and 1.0 is their 90th percentile, as ReAct says.
 *
 * @example Constants
 * ```ts
 * import { lhact } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([1, 2]), shape: [1, 2] },
 *   "head.weight": { data: new Float32Array([1, 1]), shape: [1, 2] },
 * });
 * const fitted = await lhact.fit({ train, context: host, parameters: { h: 2, l: 0.5 } });
 * const features = host.upload(new Float32Array([0, 2]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, 0.5 + Math.SQRT2 + 0.5, 1e-5);
 * ```
 */
export const lhact: ScoreMethod = defineScore({
  name: "lhact",
  title: "LHAct",
  source: "Yuan et al. 2023, ACM MM",
  summary: "The energy of features whose extremely low and high values are rectified",
  needs: ["features"],
  fitNeeds: ["features", "head.weight"],
  usesValidation: true,
  parameters: [
    {
      name: "high_percentile",
      description: "Which percentile of activations h is, where h is not given",
      default: 95,
      minimum: 0,
      maximum: 100,
      search: [85, 90, 95, 99],
    },
    {
      name: "low_percentile",
      description: "Which percentile of activations l is, where l is not given",
      default: 40,
      minimum: 0,
      maximum: 100,
      search: [0, 10, 20, 30, 40, 50],
    },
    {
      name: "h",
      description: "Where activations begin to be bent down",
      rule: "the percentile high_percentile of activations",
      minimum: 0,
      exclusive: true,
      search: [1.35208],
    },
    {
      name: "l",
      description: "What lower activations count as",
      rule: "the percentile low_percentile of activations",
      search: [0.21941],
    },
  ],
  evidence: { quantity: "energy of rectified features", negated: false },
  arrays: { weight: 2, bias: 1 },
  learn,
  place(context, state) {
    const weight = placeArray(context, state, "weight");
    const bias = placeArray(context, state, "bias");
    const bounds = boundsOf(state.parameters);
    return (scope, batch) => {
      using features = lhActivation(scope, { x: batch["features"]! }, bounds);
      return headEnergy(scope, { features, weight, bias });
    };
  },
  graph(builder, inputs, state) {
    const bounds = boundsOf(state.parameters);
    const [low, high] = [bounds.low, bounds.high].map((value) => builder.constant(value));
    const raised = builder.clip(inputs["features"]!, { min: bounds.low });
    const ratio = builder.clip(builder.node("Div", [raised, high!]), { max: 1e9 });
    const square = builder.node("Mul", [ratio, ratio]);
    const power = builder.node("Mul", [square, square]);
    const root = builder.node("Sqrt", [builder.node("Add", [power, builder.constant(1)])]);
    const falling = builder.node("Div", [builder.node("Mul", [ratio, high!]), root]);
    const bent = builder.node("Add", [falling, low!]);
    const rectified = builder.node("Where", [builder.node("Less", [raised, high!]), raised, bent]);
    return logSumExp(builder, headProduct(builder, rectified, state));
  },
});

function boundsOf(parameters: FittedState["parameters"]): { low: number; high: number } {
  return { low: parameters["l"]!, high: parameters["h"]! };
}

async function learn(input: LearnInput): Promise<Learned> {
  const { weight, bias, K, C, warnings } = await readHead(input, "lhact");
  const { parameters } = input;
  const set = input.validation ?? input.train;
  const h = parameters["h"] ??
    await activationPercentile(input, parameters["high_percentile"]!, set);
  const l = parameters["l"] ??
    await activationPercentile(input, parameters["low_percentile"]!, set);
  if (!(h > 0 && Math.fround(h) > Math.fround(l))) {
    throw new UserError(
      `Cannot fit "lhact": h is ${h} and l is ${l}, and h above zero and above l was expected; ` +
        `choose other percentiles, or h and l themselves`,
    );
  }
  return {
    arrays: { weight: stateArray(weight, [K, C]), bias: stateArray(bias, [K]) },
    parameters: { h, l },
    warnings,
  };
}
