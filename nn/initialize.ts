/**
 * First values of parameters.
 *
 * @module
 */

import { Rng } from "../kernels/mod.ts";
import { type Shape, sizeOf } from "../runtime/mod.ts";

/** Which numbers an initialiser draws. */
export interface InitializeOptions {
  /** Seed of the network. */
  readonly seed: number;
  /** Number of the parameter, so that each draws its own numbers. */
  readonly stream: number;
}

/**
 * Normal numbers whose variance suits a layer before a ReLU: 2 over the inputs of one output (He
 * et al. 2015, fan-in).
 *
 * @param shape [outputs, …inputs of one output].
 * @param options Seed and stream.
 * @returns The numbers.
 *
 * @example The spread of a convolution
 * ```ts
 * import { heNormal } from "@oodgpu/oodgpu/nn";
 * import { assert } from "@std/assert";
 *
 * const weight = heNormal([64, 3, 3, 32], { seed: 1, stream: 0 });
 * const variance = weight.reduce((sum, w) => sum + w * w, 0) / weight.length;
 * assert(Math.abs(variance / (2 / 288) - 1) < 0.05);
 * ```
 */
export function heNormal(shape: Shape, options: InitializeOptions): Float32Array<ArrayBuffer> {
  const rng = new Rng(options.seed, options.stream);
  const deviation = Math.sqrt(2 / fanIn(shape));
  return Float32Array.from({ length: sizeOf(shape) }, () => deviation * rng.normal());
}

/**
 * Uniform numbers up to one over the root of a layer's inputs, each way: PyTorch's default for a
 * linear layer's weight and bias.
 *
 * @param shape Shape of the parameter.
 * @param options Seed, stream, and the number of inputs where the shape does not tell.
 * @returns The numbers.
 *
 * @example Their bound
 * ```ts
 * import { uniformFanIn } from "@oodgpu/oodgpu/nn";
 * import { assert } from "@std/assert";
 *
 * const weight = uniformFanIn([10, 64], { seed: 1, stream: 0 });
 * assert(weight.every((w) => Math.abs(w) <= 1 / 8));
 * ```
 */
export function uniformFanIn(
  shape: Shape,
  options: InitializeOptions & { readonly inputs?: number },
): Float32Array<ArrayBuffer> {
  const rng = new Rng(options.seed, options.stream);
  const bound = 1 / Math.sqrt(options.inputs ?? fanIn(shape));
  return Float32Array.from({ length: sizeOf(shape) }, () => bound * (2 * rng.uniform() - 1));
}

function fanIn(shape: Shape): number {
  return sizeOf(shape.slice(1));
}
