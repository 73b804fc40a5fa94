/**
 * The gradients of a group normalisation.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import { groupNormGradientOnGpu } from "./_gpu.ts";
import { type GroupNormInputs, type GroupNormLayout, requireGroups } from "./_layout.ts";
import { groupNormGradientReference } from "./reference.ts";

/** Tensors of {@linkcode groupNormGradient}. */
export interface GroupNormGradientInputs extends GroupNormInputs {
  /** Mean of each group, f32 [N, groups]. */
  readonly mean: Tensor;
  /** 1 / sqrt(variance + epsilon) of each group, f32 [N, groups]. */
  readonly inverse: Tensor;
  /** Gradient of the output, f32 [N, H, W, C]. */
  readonly dY: Tensor;
}

/** Options of {@linkcode groupNormGradient}. */
export interface GroupNormGradientOptions extends GroupNormLayout {
  /** Written with the gradient of the input instead of a new tensor. */
  readonly out?: Tensor | undefined;
  /** Written with the gradient of the weight instead of a new tensor. */
  readonly outWeight?: Tensor | undefined;
  /** Written with the gradient of the bias instead of a new tensor. */
  readonly outBias?: Tensor | undefined;
}

/** What {@linkcode groupNormGradient} gives. */
export interface GroupNormGradients {
  /** Gradient of the input, f32 [N, H, W, C]. */
  readonly dX: Tensor;
  /** Gradient of the weight, f32 [C]. */
  readonly dWeight: Tensor;
  /** Gradient of the bias, f32 [C]. */
  readonly dBias: Tensor;
}

/**
 * Gradients of `groupNorm`, through its statistics and its activation; what lies between is computed
 * again from `x`.
 *
 * f32. Sums in two passes without atomics, in a fixed order; two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs Input, weight, bias and statistics of the forward pass, and the gradient of its
 * output.
 * @param options Groups and activation as for the normalisation, where the gradients go, and a forced
 * variant.
 * @returns The gradients of input, weight and bias.
 * @throws {ShapeError} When `x` has not four axes, no position or no channel, or another tensor does
 * not fit it.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} As for the normalisation.
 *
 * @example A constant gradient goes to the bias alone
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { groupNorm, groupNormGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const of = (...values: number[]) => host.upload(new Float32Array(values), [values.length]);
 * const x = of(1, 3).reshape([1, 1, 2, 1]);
 * const inputs = { x, weight: of(1), bias: of(0) };
 * const { mean, inverse } = groupNorm(host, inputs, { groups: 1 });
 * const dY = of(1, 1).reshape([1, 1, 2, 1]);
 * const gradients = groupNormGradient(host, { ...inputs, mean, inverse, dY }, { groups: 1 });
 * assertEquals([...gradients.dX.data, ...gradients.dBias.data], [0, 0, 2]);
 * ```
 */
export function groupNormGradient(
  ctx: Context,
  inputs: GroupNormGradientInputs,
  options: GroupNormGradientOptions,
): GroupNormGradients {
  const kernel = "groupNormGradient";
  const { x, weight, bias, mean, inverse, dY } = inputs;
  const { variant, out, outWeight, outBias } = options;
  const { maps, silu } = requireGroups(inputs, { ...options, kernel });
  for (const [name, tensor] of Object.entries({ mean, inverse, dY })) {
    requireDType(tensor, "f32", { kernel, name });
    requireShape(tensor, name === "dY" ? x.shape : [maps.n, maps.groups], { kernel, name });
  }
  const gradients = {
    dX: outputTensor(ctx, x.shape, { kernel, out }),
    dWeight: outputTensor(ctx, weight.shape, { kernel, name: "outWeight", out: outWeight }),
    dBias: outputTensor(ctx, bias.shape, { kernel, name: "outBias", out: outBias }),
  };
  if (isGpu(ctx)) {
    const tensors = { x, weight, bias, mean, inverse, dY, ...gradients };
    groupNormGradientOnGpu(ctx, tensors, { maps, silu, variant });
    return gradients;
  }
  groupNormGradientReference(
    { x: hostFloats(x), dY: hostFloats(dY) },
    {
      dX: hostFloats(gradients.dX),
      dWeight: hostFloats(gradients.dWeight),
      dBias: hostFloats(gradients.dBias),
    },
    {
      ...maps,
      weight: hostFloats(weight),
      bias: hostFloats(bias),
      mean: hostFloats(mean),
      inverse: hostFloats(inverse),
      silu,
    },
  );
  return gradients;
}
