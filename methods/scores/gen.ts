/**
 * GEN: the generalised entropy of the softmax, negated.
 *
 * @module
 */

import { generalizedEntropy } from "../../kernels/mod.ts";
import type { GraphBuilder } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { defineScore } from "../define.ts";
import type { FittedState, ScoreMethod } from "../score.ts";

/**
 * GEN, - sum over the M largest p_c of p_c^gamma (1 - p_c)^gamma; M above the number of classes
 * takes all.
 *
 * Computed in logarithms, with 1 - p of the most likely class summed from the other classes: taken
 * as a difference, its rounding error would dominate for gamma below 1 once p is close to 1.
 *
 * @example Two equally likely classes
 * ```ts
 * import { gen } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await gen.fit({ train, context: host, parameters: { gamma: 0.5 } });
 * const logits = host.upload(new Float32Array([3, 3]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { logits }));
 * assertAlmostEquals(scores![0]!, -1, 1e-6);
 * ```
 */
export const gen: ScoreMethod = defineScore({
  name: "gen",
  title: "GEN",
  source: "Liu et al. 2023, CVPR, Generalized Entropy",
  summary: "The generalised entropy of the most likely classes, negated",
  needs: ["logits"],
  fitNeeds: [],
  usesValidation: false,
  parameters: [
    {
      name: "gamma",
      description: "Power of p and of 1 - p; small values weigh unlikely classes more",
      default: 0.1,
      minimum: 0,
      exclusive: true,
      search: [0.01, 0.1, 0.5, 1, 2, 5, 10],
    },
    {
      name: "top",
      description: "Most likely classes to sum over",
      default: 100,
      minimum: 1,
      integer: true,
      search: [10, 50, 100, 200, 500, 1000],
    },
  ],
  evidence: { quantity: "generalised entropy", negated: true },
  arrays: {},
  place: (_, state) => (context, batch) => {
    const x = batch["logits"]!;
    const top = Math.min(state.parameters["top"]!, x.shape[1]!);
    return generalizedEntropy(context, { x }, { gamma: state.parameters["gamma"]!, top });
  },
  graph: (builder, inputs, state) => entropyGraph(builder, inputs["logits"]!, state),
});

function entropyGraph(builder: GraphBuilder, z: string, state: FittedState): string {
  const K = state.inputs["logits"]?.[0] ?? -1;
  if (K < 1) {
    throw new UserError('Cannot export "gen": fit it on a set with logits, so that K is known');
  }
  const top = Math.min(state.parameters["top"]!, K);
  const sorted = builder.topK(z, { k: K }).values;
  const largest = builder.slice(sorted, { axis: 1, start: 0, end: 1 });
  if (K === 1) {
    // The only class has p = 1 and 1 - p = 0.
    return builder.squeeze(builder.node("Mul", [largest, builder.constant(0)]), [1]);
  }
  // All in logarithms, so that what underflows as a probability still counts under a small power.
  const second = builder.slice(sorted, { axis: 1, start: 1, end: 2 });
  const others = builder.slice(sorted, { axis: 1, start: 1, end: K });
  const powers = builder.node("Exp", [builder.node("Sub", [others, second])]);
  const sum = builder.reduce("ReduceSum", powers, { axes: [1], keepDims: true });
  const logOthers = builder.node("Add", [
    builder.node("Sub", [second, largest]),
    builder.node("Log", [sum]),
  ]);
  const one = builder.constant(1);
  const logSum = builder.node("Log", [
    builder.node("Add", [one, builder.node("Exp", [logOthers])]),
  ]);
  const counted = builder.slice(sorted, { axis: 1, start: 0, end: top });
  const logP = builder.node("Sub", [builder.node("Sub", [counted, largest]), logSum]);
  const logRest = [builder.node("Sub", [logOthers, logSum])];
  if (top > 1) {
    const tail = builder.node("Exp", [builder.slice(logP, { axis: 1, start: 1, end: top })]);
    logRest.push(builder.node("Log", [builder.node("Sub", [one, tail])]));
  }
  const rest = builder.node("Concat", logRest, { attributes: { axis: 1n } });
  const exponent = builder.node("Mul", [
    builder.node("Add", [logP, rest]),
    builder.constant(state.parameters["gamma"]!, { name: "gamma" }),
  ]);
  const terms = builder.node("Exp", [exponent]);
  return builder.node("Neg", [builder.reduce("ReduceSum", terms, { axes: [1] })]);
}
