/**
 * Post-hoc scores, and the detectors that are made of them: fit, score, calibrate, save, export.
 *
 * ```ts
 * import { chooseExecutor, fitDetector, knn, scoreFeatures } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * using executor = await chooseExecutor("reference");
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] },
 * });
 * const detector = await fitDetector(knn, {
 *   train,
 *   context: executor.context,
 *   parameters: { k: 1 },
 * });
 * const scores = await scoreFeatures(detector.fitted, train, { executor });
 * assertEquals([...scores].map(Math.abs), [0, 0]);
 * ```
 *
 * @module
 */

export * from "./calibration.ts";
export * from "./define.ts";
export * from "./detector.ts";
export * from "./detector_file.ts";
export * from "./detector_methods.ts";
export {
  EmbeddedDetector,
  embedDetector,
  type EmbedFeatures,
  type EmbedImage,
  type EmbedOptions,
  type FeatureArray,
  type GraphSession,
  type GraphTensor,
  type ImageModel,
  type RowOptions,
} from "./embed.ts";
export * from "./executor.ts";
export * from "./export.ts";
export * from "./fit_detector.ts";
export * from "./lbf/mod.ts";
export * from "./norm_ratio.ts";
export * from "./numerics/mod.ts";
export * from "./parameters.ts";
export * from "./parse_detector.ts";
export * from "./registry.ts";
export * from "./score.ts";
export * from "./scores/mod.ts";
export * from "./scoring.ts";
export * from "./source.ts";
export * from "./synood/mod.ts";
export * from "./tagood/mod.ts";
