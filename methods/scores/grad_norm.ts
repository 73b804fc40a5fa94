/**
 * GradNorm: how much a row would move the weights of the head.
 *
 * @module
 */

import { gradientNorm } from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";

/**
 * GradNorm of Huang et al., |a|_1 * sum_c |K p_c - 1|: the sum of magnitudes of the gradient of
 * -sum_c log p_c by the weight of the head, in closed form. (Another score, of Lee and AlRegib 2020,
 * goes by the same name.)
 *
 * @example Softmax 3/4 and 1/4
 * ```ts
 * import { gradNorm } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array(3), shape: [1, 3] },
 *   logits: { data: new Float32Array(2), shape: [1, 2] },
 * });
 * const fitted = await gradNorm.fit({ train, context: host });
 * const features = host.upload(new Float32Array([1, 0, -2]), [1, 3]);
 * const logits = host.upload(new Float32Array([Math.log(3), 0]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features, logits }));
 * assertAlmostEquals(scores![0]!, 3, 1e-5);
 * ```
 */
export const gradNorm: ScoreMethod = defineScore({
  name: "grad_norm",
  title: "GradNorm",
  source: "Huang et al. 2021, arXiv 2110.00218",
  summary: "The size of the head's weight gradient away from equal probabilities",
  needs: ["features", "logits"],
  fitNeeds: [],
  usesValidation: false,
  parameters: [],
  evidence: { quantity: "size of the head's gradient", negated: false },
  arrays: {},
  place: () => (context, batch) =>
    gradientNorm(context, { features: batch["features"]!, logits: batch["logits"]! }),
  graph(builder, inputs, state) {
    const K = state.inputs["logits"]?.[0] ?? -1;
    if (K < 1) {
      throw new UserError(
        'Cannot export "grad_norm": fit it on a set with logits, so that K is known',
      );
    }
    const p = builder.node("Softmax", [inputs["logits"]!], { attributes: { axis: 1n } });
    const times = builder.node("Mul", [p, builder.constant(K)]);
    const gaps = builder.node("Sub", [times, builder.constant(1)]);
    return builder.node("Mul", [
      builder.reduce("ReduceL1", inputs["features"]!, { axes: [1] }),
      builder.reduce("ReduceL1", gaps, { axes: [1] }),
    ]);
  },
});
