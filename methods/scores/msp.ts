/**
 * MSP: the largest softmax probability.
 *
 * @module
 */

import { rowMaxSoftmax } from "../../kernels/mod.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";

/**
 * MSP, max_c softmax(z)_c.
 *
 * In float32 the probability is exactly 1 once the other classes' sum falls below 2^-24; confident
 * networks give many such ties, and a threshold takes or leaves all of them together. Where ties
 * matter, {@linkcode energy} and {@linkcode maxLogit} rank the same images without saturating.
 *
 * @example Two classes, equally likely
 * ```ts
 * import { msp } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await msp.fit({ train, context: host });
 * const logits = host.upload(new Float32Array([3, 3]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { logits }));
 * assertEquals([...scores!], [0.5]);
 * ```
 */
export const msp: ScoreMethod = defineScore({
  name: "msp",
  title: "MSP",
  source: "Hendrycks and Gimpel 2017, arXiv 1610.02136",
  summary: "The largest softmax probability",
  needs: ["logits"],
  fitNeeds: [],
  usesValidation: false,
  parameters: [],
  evidence: { quantity: "max softmax", negated: false },
  arrays: {},
  place: () => (context, batch) => rowMaxSoftmax(context, { x: batch["logits"]! }),
  graph(builder, inputs) {
    const p = builder.node("Softmax", [inputs["logits"]!], { attributes: { axis: 1n } });
    return builder.reduce("ReduceMax", p, { axes: [1] });
  },
});
