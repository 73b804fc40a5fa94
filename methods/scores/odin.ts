/**
 * ODIN: the largest softmax at a high temperature, of an image that was moved to raise it.
 *
 * @module
 */

import { softmaxExcess } from "../../kernels/mod.ts";
import type { GraphBuilder } from "../../onnx/mod.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";

/**
 * ODIN, T (1 - 1 / (K p)) with p = max_c softmax(z / T) and z the logits of the image that was moved
 * a small step against its gradient. They are stored as `odin_logits` by `ood extract --odin`.
 *
 * At T = 1000 all probabilities lie close to 1 / K, and p in float32 tells few images apart; this
 * form of it grows with p, ranks images the same, and keeps its digits. It goes to max z - mean z as
 * T grows.
 *
 * @example Softmax 3/4 and 1/4
 * ```ts
 * import { odin } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({ "odin_logits": { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await odin.fit({ train, context: host, parameters: { temperature: 10 } });
 * const logits = host.upload(new Float32Array([10 * Math.log(3), 0]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { "odin_logits": logits }));
 * assertAlmostEquals(scores![0]!, 10 * (1 - 1 / (2 * 0.75)), 1e-5);
 * ```
 */
export const odin: ScoreMethod = defineScore({
  name: "odin",
  title: "ODIN",
  source: "Liang et al. 2018, arXiv 1706.02690",
  summary: "The largest softmax at a high temperature, of images moved against their gradient",
  needs: ["odin_logits"],
  fitNeeds: [],
  usesValidation: false,
  parameters: [{
    name: "temperature",
    description: "Divides the logits before the softmax",
    default: 1000,
    minimum: 0,
    exclusive: true,
    search: [1, 10, 100, 1000],
  }],
  evidence: { quantity: "excess of the largest softmax", negated: false },
  arrays: {},
  place: (_, state) => (context, batch) =>
    softmaxExcess(context, { x: batch["odin_logits"]! }, {
      temperature: state.parameters["temperature"]!,
    }),
  graph(builder, inputs, state) {
    const z = inputs["odin_logits"]!;
    const temperature = builder.constant(state.parameters["temperature"]!, { name: "temperature" });
    const top = builder.reduce("ReduceMax", z, { axes: [1], keepDims: true });
    const gaps = builder.node("Div", [builder.node("Sub", [top, z]), temperature]);
    const mean = builder.reduce("ReduceMean", fall(builder, gaps), { axes: [1] });
    return builder.node("Mul", [mean, temperature]);
  },
});

/** 1 - exp(-d) for d >= 0 without loss near zero: (1 + exp(-d)) tanh(d / 2). */
function fall(builder: GraphBuilder, d: string): string {
  const one = builder.node("Add", [
    builder.constant(1),
    builder.node("Exp", [
      builder.node("Neg", [d]),
    ]),
  ]);
  const half = builder.node("Mul", [d, builder.constant(0.5)]);
  return builder.node("Mul", [one, builder.node("Tanh", [half])]);
}
