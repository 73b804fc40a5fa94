/**
 * What LBF needs of a classifier: a linear head on a feature map that is averaged over its
 * locations.
 *
 * @module
 */

import type { ImageSize, PreprocessSpec } from "../../kernels/preprocess/spec.ts";
import type { Inspection, OnnxModel } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/mod.ts";

/** A classifier that can be tuned. */
export interface LbfModel {
  /** Name of its image input. */
  readonly name: string;
  /** What is done to an image before. */
  readonly spec: PreprocessSpec;
  /** Size of its images. */
  readonly size: ImageSize;
  /** Number of classes, K. */
  readonly classes: number;
}

/**
 * Checks that a classifier can be tuned.
 *
 * @param model The model, for its name.
 * @param inspection What was found in it.
 * @returns What a tuning needs to know.
 * @throws {UserError} When something is missing; the message says what and why.
 *
 * @example A classifier that can be tuned
 * ```ts
 * import { requireLbfModel } from "@oodgpu/oodgpu/methods";
 * import { inspect, loadSidecar, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const path = "models/cifar10-resnet20.onnx";
 * const model = await readModel(path);
 * const inspection = inspect(model, { sidecar: (await loadSidecar(path))! });
 * assertEquals(requireLbfModel(model, inspection).classes, 10);
 * ```
 */
export function requireLbfModel(
  model: Pick<OnnxModel, "name">,
  inspection: Inspection,
): LbfModel {
  const fail = (why: string): never => {
    throw new UserError(`Cannot tune "${model.name}": ${why}`);
  };
  const { image, preprocessing, head, featureMap, reasons } = inspection;
  if (image === undefined) return fail(reasons.image ?? "it takes no images");
  if (head === undefined) return fail(reasons.head ?? "it has no linear head");
  if (featureMap === undefined) return fail(reasons.featureMap ?? "it has no feature map");
  if (!featureMap.pooledToFeatures) {
    return fail(
      "its head does not read the mean of its last feature map, so no location has logits",
    );
  }
  const [width, height] = [Number(image.width), Number(image.height)];
  if (!(width > 0 && height > 0)) return fail("the size of its images is not fixed");
  if (preprocessing === undefined) return fail("nothing says how its images are preprocessed");
  return {
    name: image.name,
    spec: preprocessing.spec,
    size: { width, height },
    classes: head.classes,
  };
}
