/**
 * Images against the labels of a vision-language model: which share of the softmax over labels falls
 * to those of the in-distribution classes, and which label is the nearest. The rows x labels matrix
 * is never written.
 *
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { labelMass } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([0.6, 0.8]), [1, 2]);
 * const labels = host.upload(new Float32Array([1, 0, 0, 1]), [2, 2]);
 * const [share] = await host.read(labelMass(host, { x, labels }, { scale: 10, classes: 1 }));
 * assertAlmostEquals(share![0]!, 1 / (1 + Math.exp(8 - 6)), 1e-6);
 * ```
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, requireMatrix } from "../_arguments.ts";
import { packed } from "../_pack.ts";
import { type ProductOptions, productVariant } from "../_products.ts";
import {
  type ColumnParts,
  naiveSegment,
  type PartStates,
  requireRowProductLength,
  rowProduct,
} from "../_row_product.ts";
import {
  bestLabelReference,
  labelMassReference,
  type LabelSize,
  maxShareReference,
} from "./reference.ts";
import bestSource from "./best_label_finish.wgsl" with { type: "text" };
import massSource from "./label_mass_finish.wgsl" with { type: "text" };
import naiveSource from "./label_mass_naive.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "label_mass_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write", "read_write"],
  params: {
    rows: "u32",
    k: "u32",
    first_columns: "u32",
    part_columns: "u32",
    first_segments: "u32",
    part_segments: "u32",
    segments: "u32",
    segment: "u32",
    scale: "f32",
  },
};

const SHARES: Kernel = {
  name: "label_mass_finish",
  wgsl: massSource,
  bindings: ["read", "read", "read_write"],
  params: { rows: "u32", first_segments: "u32", part_segments: "u32", parts: "u32" },
};

const BEST: Kernel = {
  name: "best_label_finish",
  wgsl: bestSource,
  bindings: ["read", "read", "read_write", "read_write"],
  params: { rows: "u32", segments: "u32" },
};

/** What the label operations compare. */
export interface LabelInputs {
  /** f32 [N, D]: image features of unit length. */
  readonly x: Tensor;
  /** f32 [L, D]: text features of unit length, L at least 1. */
  readonly labels: Tensor;
}

/** Options of {@linkcode bestLabel}. */
export interface LabelOptions extends ProductOptions {
  /**
   * Whether the `register` variant copies its operands into panels for a larger tile; by default for
   * products so large that it pays.
   */
  readonly panels?: boolean;
}

/** Options of {@linkcode maxShare}. */
export interface ShareOptions extends LabelOptions {
  /** What cosines are multiplied with before the softmax: a model's logit scale, 100 say. */
  readonly scale: number;
}

/** Options of {@linkcode labelMass}. */
export interface LabelMassOptions extends ShareOptions {
  /** How many of the labels, the first ones, are those of in-distribution classes; at least 1. */
  readonly classes: number;
  /** Groups that the other labels are in, one behind the other; 1 by default, 0 for none. */
  readonly groups?: number;
  /** Labels of each group; follows from `groups` by default. */
  readonly groupSize?: number;
}

/** What {@linkcode bestLabel} finds. */
export interface BestLabel {
  /** i32 [N]: the lowest label that has the largest cosine. */
  readonly index: Tensor;
  /** f32 [N]: that cosine. */
  readonly cosine: Tensor;
}

/** Lengths, for {@linkcode labelMassFlops} and {@linkcode labelMassBytes}. */
export interface LabelMassShape {
  /** Images, N. */
  readonly rows: number;
  /** Labels of all kinds, L. */
  readonly labels: number;
  /** Length of a feature, D. */
  readonly channels: number;
}

/**
 * Floating-point operations of {@linkcode labelMass}, an exponential counted as one.
 *
 * @param shape Its lengths.
 * @returns N L (2 D + 3).
 *
 * @example A few labels
 * ```ts
 * import { labelMassFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(labelMassFlops({ rows: 2, labels: 3, channels: 4 }), 66);
 * ```
 */
export function labelMassFlops({ rows, labels, channels }: LabelMassShape): number {
  return rows * labels * (2 * channels + 3);
}

/**
 * Bytes that {@linkcode labelMass} must move at least: features read once, a value per image
 * written.
 *
 * @param shape Its lengths.
 * @returns 4 (N D + L D + N).
 *
 * @example A few labels
 * ```ts
 * import { labelMassBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(labelMassBytes({ rows: 2, labels: 3, channels: 4 }), 88);
 * ```
 */
export function labelMassBytes({ rows, labels, channels }: LabelMassShape): number {
  return 4 * (rows * channels + labels * channels + rows);
}

/**
 * The share of the in-distribution labels in a softmax over them and one group of other labels, as a
 * mean over the groups: (1 / G) sum_g S / (S + G_g), S the sum of exp(scale cos) over the first
 * `classes` labels and G_g that over group g. 1 where there is no group.
 *
 * Each sum is shifted by its own largest term until two are compared, so any scale is safe. f32 sums
 * in the order of D; bit-equal from run to run.
 *
 * Source: Jiang et al., "Negative Label Guided OOD Detection with Pretrained Vision-Language Models",
 * 2024.
 *
 * @param ctx Where to run.
 * @param inputs Image features, and text features: those of the classes, then group by group.
 * @param options Scale, classes, groups, and a forced variant.
 * @returns f32 [N].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an input does not hold f32.
 * @throws {RangeError} When classes and groups do not make up the labels, the scale is not positive,
 * or a forced variant does not exist.
 *
 * @example Two groups of one label
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { labelMass } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 0]), [1, 2]);
 * const labels = host.upload(new Float32Array([1, 0, 1, 0, 0, 1]), [3, 2]);
 * const options = { scale: Math.log(3), classes: 1, groups: 2 };
 * const [share] = await host.read(labelMass(host, { x, labels }, options));
 * assertAlmostEquals(share![0]!, (3 / (3 + 3) + 3 / (3 + 1)) / 2, 1e-6);
 * ```
 */
export function labelMass(ctx: Context, inputs: LabelInputs, options: LabelMassOptions): Tensor {
  const kernel = "labelMass";
  const size = requireLabels(inputs, kernel);
  const { rows, labels } = size;
  const { scale, classes } = options;
  requireScale(scale, kernel);
  const groups = groupsOf(labels, options);
  if (isGpu(ctx)) {
    if (groups === 0) return ctx.upload(new Float32Array(rows).fill(1), [rows], { label: kernel });
    const parts = { first: classes, size: (labels - classes) / groups };
    return shares(ctx, { ...options, ...size, inputs, kernel, groups, parts });
  }
  const value = labelMassReference(hostArrays(inputs), size, { scale, classes, groups });
  return ctx.upload(value, [rows], { label: kernel });
}

/**
 * The largest share of a softmax over labels, max_j softmax(scale cos)_j.
 *
 * Shifted by the largest cosine, so any scale is safe. f32 sums in the order of D; bit-equal from
 * run to run.
 *
 * Source: Ming et al., "Delving into Out-of-Distribution Detection with Vision-Language
 * Representations", 2022.
 *
 * @param ctx Where to run.
 * @param inputs Image features, and text features.
 * @param options Scale, and a forced variant.
 * @returns f32 [N].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an input does not hold f32.
 * @throws {RangeError} When there is no label, the scale is not positive, or a forced variant does
 * not exist.
 *
 * @example Two labels, equally near
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { maxShare } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 0]), [1, 2]);
 * const labels = host.upload(new Float32Array([0.6, 0.8, 0.6, -0.8]), [2, 2]);
 * const [share] = await host.read(maxShare(host, { x, labels }, { scale: 100 }));
 * assertEquals(share![0], 0.5);
 * ```
 */
export function maxShare(ctx: Context, inputs: LabelInputs, options: ShareOptions): Tensor {
  const kernel = "maxShare";
  const size = requireLabels(inputs, kernel);
  const { rows } = size;
  requireScale(options.scale, kernel);
  if (isGpu(ctx)) return shares(ctx, { ...options, ...size, inputs, kernel, groups: 0 });
  const value = maxShareReference(hostArrays(inputs), size, options.scale);
  return ctx.upload(value, [rows], { label: kernel });
}

/**
 * The label of the largest cosine.
 *
 * f32 sums in the order of D; ties go to the lowest label; bit-equal from run to run.
 *
 * @param ctx Where to run.
 * @param inputs Image features, and text features.
 * @param options A forced variant.
 * @returns Labels i32 [N] and cosines f32 [N].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an input does not hold f32.
 * @throws {RangeError} When there is no label, or a forced variant does not exist.
 *
 * @example The second one
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { bestLabel } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([0, 1]), [1, 2]);
 * const labels = host.upload(new Float32Array([1, 0, 0, 1]), [2, 2]);
 * const { index, cosine } = bestLabel(host, { x, labels });
 * assertEquals(await host.read(index, cosine), [new Int32Array([1]), new Float32Array([1])]);
 * ```
 */
export function bestLabel(
  ctx: Context,
  inputs: LabelInputs,
  options: LabelOptions = {},
): BestLabel {
  const kernel = "bestLabel";
  const size = requireLabels(inputs, kernel);
  const { rows } = size;
  if (!isGpu(ctx)) {
    const found = bestLabelReference(hostArrays(inputs), size);
    return {
      index: ctx.upload(found.index, [rows], { label: kernel }),
      cosine: ctx.upload(found.cosine, [rows], { label: kernel }),
    };
  }
  const index = ctx.empty([rows], "i32", { label: kernel });
  const cosine = ctx.empty([rows], "f32", { label: kernel });
  if (rows === 0) return { index, cosine };
  using scope = ctx.scope();
  const { first, second, segments } = statesOf(scope, { ...options, ...size, inputs, kernel });
  scope.dispatch(BEST, {
    buffers: [first, second, index, cosine],
    params: { rows, segments },
    workgroups: gridFor(rows, 8),
  });
  return { index, cosine };
}

function requireLabels(inputs: LabelInputs, kernel: string): LabelSize {
  const [rows, channels] = requireMatrix(inputs.x, { kernel, name: "x" });
  const [labels] = requireMatrix(inputs.labels, { kernel, name: "labels", columns: channels });
  if (labels === 0) throw new RangeError(`Cannot run ${kernel}: there are no labels`);
  return { rows, labels, channels };
}

function requireScale(scale: number, kernel: string): void {
  if (scale > 0 && scale < Infinity) return;
  throw new RangeError(`Cannot run ${kernel}: scale must be positive: it is ${scale}`);
}

/** The number of groups, 0 where there is nothing beside the classes. */
function groupsOf(labels: number, options: LabelMassOptions): number {
  const { classes, groupSize } = options;
  if (!(Number.isInteger(classes) && classes >= 1 && classes <= labels)) {
    throw new RangeError(
      `Cannot run labelMass: classes must be from 1 to the ${labels} labels: it is ${classes}`,
    );
  }
  const others = labels - classes;
  const groups = options.groups ?? (groupSize === undefined ? 1 : others / groupSize);
  if (others === 0 || groups === 0) return 0;
  const whole = Number.isInteger(groups) && groups > 0 && others % groups === 0 &&
    (groupSize === undefined || groups * groupSize === others);
  if (whole) return groups;
  throw new RangeError(
    `Cannot run labelMass: ${others} labels are no ${groups} groups of ` +
      `${groupSize ?? "one size"}`,
  );
}

function hostArrays(
  { x, labels }: LabelInputs,
): { x: Float32Array<ArrayBuffer>; labels: Float32Array<ArrayBuffer> } {
  return { x: hostFloats(x), labels: hostFloats(labels) };
}

interface Call extends LabelOptions, LabelSize {
  readonly inputs: LabelInputs;
  readonly kernel: string;
  /** Absent for the largest cosine. */
  readonly scale?: number;
  readonly parts?: ColumnParts;
}

function shares(ctx: GpuContext, call: Call & { readonly groups: number }): Tensor {
  const { rows, groups, kernel } = call;
  const value = ctx.empty([rows], "f32", { label: kernel });
  if (rows === 0) return value;
  using scope = ctx.scope();
  const { first, second, firstSegments, partSegments } = statesOf(scope, call);
  scope.dispatch(SHARES, {
    buffers: [first, second, value],
    params: {
      rows,
      first_segments: firstSegments,
      part_segments: partSegments,
      parts: groups,
    },
    overrides: { KIND: call.parts === undefined ? 1 : 0 },
    workgroups: gridFor(rows, 8),
  });
  return value;
}

function statesOf(ctx: GpuContext, call: Call): PartStates {
  const { rows, labels, channels, inputs, kernel, scale } = call;
  requireRowProductLength(kernel, channels);
  const variant = productVariant(ctx, kernel, call);
  if (variant === "naive") return runNaive(ctx, call);
  return rowProduct(ctx, {
    x: packed(ctx, inputs.x, { rows, k: channels }),
    y: packed(ctx, inputs.labels, { rows: labels, k: channels }),
  }, {
    variant,
    term: "product",
    load: "plain",
    state: scale === undefined ? "largest" : "logSumExp",
    rows,
    columns: labels,
    k: channels,
    parts: call.parts,
    panels: call.panels ?? "auto",
    scale: scale ?? 1,
    side: call.side,
  });
}

function runNaive(ctx: GpuContext, call: Call): PartStates {
  const { rows, labels, channels, inputs, scale } = call;
  const { parts = { first: labels, size: 0 } } = call;
  const segment = naiveSegment(channels);
  const firstSegments = Math.ceil(parts.first / segment);
  const partSegments = Math.ceil(parts.size / segment);
  const others = parts.size === 0 ? 0 : (labels - parts.first) / parts.size;
  const segments = firstSegments + others * partSegments;
  const first = ctx.empty([segments, rows], "f32", { label: "row states" });
  const second = ctx.empty([segments, rows], "u32", { label: "row states" });
  ctx.dispatch(NAIVE, {
    buffers: [inputs.x, inputs.labels, first, second],
    params: {
      rows,
      k: channels,
      first_columns: parts.first,
      part_columns: parts.size,
      first_segments: firstSegments,
      part_segments: partSegments,
      segments,
      segment,
      scale: scale ?? 1,
    },
    overrides: { KIND: scale === undefined ? 1 : 0 },
    workgroups: gridFor(segments * rows, 64),
  });
  return { first, second, segments, firstSegments, partSegments };
}
