/**
 * Group normalisation of maps with channels last, with an activation in the same kernels, and its
 * gradients.
 *
 * @module
 */

import { type Context, isGpu, type Shape, sizeOf, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor } from "../_arguments.ts";
import type { OutOption } from "../_out.ts";
import { requirePositive } from "../_rows.ts";
import { groupNormOnGpu } from "./_gpu.ts";
import {
  type GroupNormActivation,
  type GroupNormInputs,
  type GroupNormLayout,
  requireGroups,
} from "./_layout.ts";
import { groupStatistics, normaliseGroups } from "./reference.ts";

export * from "./_gradient.ts";
export type { GroupNormActivation, GroupNormInputs, GroupNormLayout } from "./_layout.ts";

const DEFAULT_EPSILON = 1e-5;

/** Options of {@linkcode groupNorm}. */
export interface GroupNormOptions extends GroupNormLayout, OutOption {
  /** Added to the variance; positive, 1e-5 by default. */
  readonly epsilon?: number | undefined;
}

/** What {@linkcode groupNorm} gives. */
export interface GroupNormResult {
  /** The normalised maps, f32 [N, H, W, C]. */
  readonly y: Tensor;
  /** Mean of each group of each map, f32 [N, groups]. */
  readonly mean: Tensor;
  /** 1 / sqrt(variance + epsilon) of each, f32 [N, groups]. */
  readonly inverse: Tensor;
}

/**
 * Group normalisation: `(x - mean) / sqrt(variance + epsilon) * weight + bias`, with statistics over
 * all positions of a map and the channels of a group, and where needed `u * sigmoid(u)` of that.
 *
 * f32. The variance is divided by the number of elements. Statistics are merged from blocks, as exact
 * as two reads also where the mean is large; in a fixed order, so that two runs give the same bits.
 *
 * Source: Wu and He, "Group Normalization", 2018.
 *
 * @param ctx Where it runs.
 * @param inputs The maps, weight and bias.
 * @param options Groups, epsilon, activation, where the result goes, and a forced variant.
 * @returns The normalised maps, and the statistics for the gradient.
 * @throws {ShapeError} When `x` has not four axes, no position or no channel, or another tensor does
 * not fit it.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the groups do not divide the channels, epsilon is not positive, the
 * activation does not exist, or the forced variant does not exist or does not take so large a group.
 *
 * @example Two groups of two channels
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { groupNorm } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 5, 20, 40]), [1, 1, 1, 4]);
 * const weight = host.upload(new Float32Array([1, 1, 1, 2]), [4]);
 * const bias = host.upload(new Float32Array([0, 0, 0, 3]), [4]);
 * const { y, mean } = groupNorm(host, { x, weight, bias }, { groups: 2 });
 * assertAlmostEquals(y.data[0]!, -1, 1e-5);
 * assertAlmostEquals(y.data[3]!, 5, 1e-5);
 * assertAlmostEquals(mean.data[1]!, 30, 1e-5);
 * ```
 */
export function groupNorm(
  ctx: Context,
  inputs: GroupNormInputs,
  options: GroupNormOptions,
): GroupNormResult {
  const kernel = "groupNorm";
  const { x, weight, bias } = inputs;
  const { epsilon: given = DEFAULT_EPSILON, out, variant } = options;
  const { maps, silu } = requireGroups(inputs, { ...options, kernel });
  const epsilon = requirePositive(given, { kernel, name: "epsilon" });
  const y = outputTensor(ctx, x.shape, { kernel, out });
  const mean = ctx.empty([maps.n, maps.groups], "f32", { label: "group means" });
  const inverse = ctx.empty([maps.n, maps.groups], "f32", { label: "inverse deviations" });
  if (isGpu(ctx)) {
    groupNormOnGpu(ctx, { x, weight, bias, y, mean, inverse }, { maps, epsilon, silu, variant });
    return { y, mean, inverse };
  }
  const found = groupStatistics(hostFloats(x), maps, epsilon);
  normaliseGroups(hostFloats(x), hostFloats(y), {
    ...maps,
    ...found,
    weight: hostFloats(weight),
    bias: hostFloats(bias),
    silu,
  });
  hostFloats(mean).set(found.mean);
  hostFloats(inverse).set(found.inverse);
  return { y, mean, inverse };
}

/** A group normalisation, for {@linkcode groupNormFlops} and {@linkcode groupNormBytes}. */
export interface GroupNormShape {
  /** The maps, [N, H, W, C]. */
  readonly shape: Shape;
  /** Which function; `forward` by default. */
  readonly pass?: "forward" | "gradient";
  /** Whether the activation is fused. */
  readonly activation?: GroupNormActivation;
}

const FLOPS_EACH = { forward: 11, gradient: 11 } as const;
const SILU_FLOPS_EACH = { forward: 4, gradient: 20 } as const;
const WORDS_EACH = { forward: 3, gradient: 5 } as const;

/**
 * Floating-point operations of a group normalisation: per element seven for the statistics and four
 * for the result; for its gradient five for the sums and six for the result. An activation adds four,
 * to the gradient twice ten, an exponential and a division counted as one.
 *
 * @param shape The maps, which function, and the activation.
 * @returns The number of operations.
 *
 * @example A small map
 * ```ts
 * import { groupNormFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(groupNormFlops({ shape: [1, 2, 2, 10] }), 440);
 * ```
 */
export function groupNormFlops(
  { shape, pass = "forward", activation }: GroupNormShape,
): number {
  const each = FLOPS_EACH[pass] + (activation === "silu" ? SILU_FLOPS_EACH[pass] : 0);
  return each * sizeOf(shape);
}

/**
 * Bytes that a group normalisation must move, the channels' numbers left out: two reads and one write
 * of the maps, since the statistics come before the result; for its gradient two reads of input and
 * incoming gradient and one write.
 *
 * @param shape The maps, and which function.
 * @returns The number of bytes.
 *
 * @example A small map
 * ```ts
 * import { groupNormBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(groupNormBytes({ shape: [1, 2, 2, 10] }), 480);
 * ```
 */
export function groupNormBytes({ shape, pass = "forward" }: GroupNormShape): number {
  return 4 * WORDS_EACH[pass] * sizeOf(shape);
}
