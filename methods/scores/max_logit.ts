/**
 * MaxLogit: the largest logit.
 *
 * @module
 */

import { rowMax } from "../../kernels/mod.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";

/**
 * MaxLogit, max_c z_c.
 *
 * @example The larger of two
 * ```ts
 * import { maxLogit } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({ logits: { data: new Float32Array(2), shape: [1, 2] } });
 * const fitted = await maxLogit.fit({ train, context: host });
 * const logits = host.upload(new Float32Array([3, 4]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { logits }));
 * assertEquals([...scores!], [4]);
 * ```
 */
export const maxLogit: ScoreMethod = defineScore({
  name: "max_logit",
  title: "MaxLogit",
  source: "Hendrycks et al. 2022, arXiv 1911.11132",
  summary: "The largest logit",
  needs: ["logits"],
  fitNeeds: [],
  usesValidation: false,
  parameters: [],
  evidence: { quantity: "largest logit", negated: false },
  arrays: {},
  place: () => (context, batch) => rowMax(context, { x: batch["logits"]! }),
  graph: (builder, inputs) => builder.reduce("ReduceMax", inputs["logits"]!, { axes: [1] }),
});
