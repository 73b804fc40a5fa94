/**
 * What preprocessing a model most likely wants when nothing says so.
 *
 * @module
 */

import type { PreprocessSpec } from "../kernels/preprocess/spec.ts";
import type { ImageInput } from "./inspection.ts";

/**
 * The usual preprocessing for an input of this size, for models that come without a sidecar:
 * shorter side to the input's size, centre crop, RGB in 0..1, ImageNet's mean and deviation.
 *
 * @param image The image input.
 * @returns The description, or undefined when the input's size is open or it takes no colour.
 *
 * @example A 224-pixel input
 * ```ts
 * import { guessPreprocessing } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const shape = ["N", 3, 224, 224];
 * const spec = guessPreprocessing({
 *   name: "x",
 *   shape,
 *   batch: "N",
 *   channels: 3,
 *   height: 224,
 *   width: 224,
 * });
 * assertEquals(spec?.crop, { width: 224, height: 224 });
 * ```
 */
export function guessPreprocessing(image: ImageInput): PreprocessSpec | undefined {
  const { height, width } = image;
  if (typeof height !== "number" || typeof width !== "number" || image.channels !== 3) {
    return undefined;
  }
  return {
    resize: { shorter: Math.max(height, width) },
    crop: { width, height },
    interpolation: "bilinear",
    channels: "RGB",
    range: 1,
    mean: [0.485, 0.456, 0.406],
    scale: [0.229, 0.224, 0.225],
    layout: "NCHW",
  };
}
