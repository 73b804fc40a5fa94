/**
 * FeatureNorm: how strongly a feature map responds.
 *
 * @module
 */

import { rowMean } from "../../kernels/mod.ts";
import { defineScore } from "../define.ts";
import type { ScoreMethod } from "../score.ts";

/**
 * FeatureNorm, mean_c |ReLU(F_c)|_2 over the channels of a feature map F.
 *
 * Reads the stored norms of the channels, or makes them of the stored map: the last one, or that of
 * the block that was extracted (`normRatios` finds the best one).
 *
 * @example Two channels
 * ```ts
 * import { featureNorm } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const norms = { data: new Float32Array([1, 2]), shape: [1, 2] };
 * const train = memoryFeatures({ "feature_norms": norms });
 * const fitted = await featureNorm.fit({ train, context: host });
 * const batch = { "feature_norms": host.upload(norms.data, [1, 2]) };
 * const [scores] = await host.read(fitted.score(host, batch));
 * assertEquals([...scores!], [1.5]);
 * ```
 */
export const featureNorm: ScoreMethod = defineScore({
  name: "feature_norm",
  title: "FeatureNorm",
  source: "Yu et al. 2023, arXiv 2212.10765",
  summary: "The mean norm of a feature map's channels after ReLU",
  needs: ["feature_norms"],
  fitNeeds: [],
  usesValidation: false,
  parameters: [],
  evidence: { quantity: "mean channel norm", negated: false },
  arrays: {},
  place: () => (context, batch) => rowMean(context, { x: batch["feature_norms"]! }),
  graph: (builder, inputs) => builder.reduce("ReduceMean", inputs["feature_norms"]!, { axes: [1] }),
});
