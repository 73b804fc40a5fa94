/**
 * Convolutions of feature maps [N, H, W, C], and the gradients of their images and weights.
 *
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { conv2d } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 4]), [1, 2, 2, 1]);
 * const weight = host.upload(new Float32Array([1, 10, 100, 1000]), [1, 2, 2, 1]);
 * assertEquals([...conv2d(host, { x, weight }).data], [4321]);
 * ```
 *
 * @module
 */

export {
  conv2dBytes,
  conv2dFlops,
  type ConvGeometry,
  convOutputSize,
  type ConvShape,
} from "./_size.ts";
export {
  conv2dDataGradient,
  type Conv2dDataGradientInputs,
  type Conv2dDataGradientOptions,
} from "./data_gradient.ts";
export { conv2d, type Conv2dInputs, type Conv2dOptions } from "./forward.ts";
export {
  conv2dWeightGradient,
  type Conv2dWeightGradientInputs,
  type Conv2dWeightGradientOptions,
} from "./weight_gradient.ts";
