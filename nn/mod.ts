/**
 * Training: differentiation over kernels, layers, optimisers, schedules, batches, checkpoints, and
 * steps that are recorded once and replayed.
 *
 * Feature maps are channels last, [N, H, W, C]; convolution weights are [O, KH, KW, C / groups];
 * linear weights are [outputs, inputs].
 *
 * ```ts
 * import { ParameterSet, Sgd } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const data = new Float32Array([1, 2]);
 * using parameters = new ParameterSet(host, [{ name: "w", shape: [2], data }]);
 * using optimizer = new Sgd(host, parameters, { learningRate: 0.1, momentum: 0.9 });
 * assertEquals(Object.keys(optimizer.state), ["momentum"]);
 * ```
 *
 * @module
 */

export * from "./batches.ts";
export * from "./checkpoint.ts";
export * from "./encoder.ts";
export * from "./history.ts";
export * from "./initialize.ts";
export * from "./layers.ts";
export * from "./ops/affine.ts";
export * from "./ops/attention.ts";
export * from "./ops/batch_norm.ts";
export * from "./ops/convolution.ts";
export * from "./ops/linear.ts";
export * from "./ops/lookup.ts";
export * from "./ops/normalization.ts";
export * from "./ops/pointwise.ts";
export * from "./ops/pooling.ts";
export * from "./ops/products.ts";
export * from "./ops/ragged.ts";
export * from "./ops/shape.ts";
export * from "./optimizers.ts";
export * from "./parameters.ts";
export * from "./schedule.ts";
export * from "./step.ts";
export * from "./tape.ts";
export * from "./training.ts";
export * from "./variable.ts";
