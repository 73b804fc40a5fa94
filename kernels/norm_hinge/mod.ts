/**
 * The local feature fine-tuning loss: the mean of `max(norm - margin, 0)` over selected locations of
 * feature maps, and its gradient.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  type Scalar,
  scalarValue,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import {
  hostFloats,
  outputTensor,
  requireDType,
  requireShape,
  requireVector,
} from "../_arguments.ts";
import { dispatchRows, rowKernels, type RowOptions, type RowShape } from "../_rows.ts";
import { normHingeGradientReference, normHingeReference } from "./reference.ts";
import gradientSource from "./norm_hinge_gradient.wgsl" with { type: "text" };
import meanSource from "./norm_hinge_mean.wgsl" with { type: "text" };
import normsSource from "./norm_hinge_norms.wgsl" with { type: "text" };
import normsNaiveSource from "./norm_hinge_norms_naive.wgsl" with { type: "text" };
import sumsSource from "./norm_hinge_sums.wgsl" with { type: "text" };

const NORMS = /* @__PURE__ */ rowKernels("norm_hinge_norms", {
  naive: normsNaiveSource,
  main: normsSource,
}, {
  inputs: 1,
  wide: false,
  params: {},
  turns: { naive: 1, main: 1 },
});

const SUMS: Kernel = {
  name: "norm_hinge_sums",
  wgsl: sumsSource,
  bindings: ["read", "read", "read_write"],
  params: { rows: "u32", count: "u32", margin: "f32" },
};

const MEAN: Kernel = {
  name: "norm_hinge_mean",
  wgsl: meanSource,
  bindings: ["read", "read_write", "read_write"],
  params: { parts: "u32" },
};

const GRADIENT: Kernel = {
  name: "norm_hinge_gradient",
  wgsl: gradientSource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: { rows: "u32", groups: "u32", lanes: "u32", margin: "f32", weight: "f32" },
};

/** How the rows are spread: invocations of a workgroup, parts, and groups of an invocation. */
const SOFTWARE = { workgroup: 8, parts: 512, tree: 8, groups: 128 };
const GPU = { workgroup: 64, parts: 16_384, tree: 256, groups: 4 };

/** Tensors of {@linkcode normHinge}. */
export interface NormHingeInputs {
  /** A map with its channels last, f32 [N, L, C] or [N, H, W, C], C at least 1. */
  readonly features: Tensor;
  /** Not 0 at selected locations, f32 [N, L] or [N, H, W]. */
  readonly mask: Tensor;
}

/** Options of {@linkcode normHinge}. */
export interface NormHingeOptions extends RowOptions {
  /** Norm up to which a location costs nothing; not negative. */
  readonly margin: number;
}

/** What {@linkcode normHinge} gives. */
export interface NormHinge {
  /** Mean hinge over the selected locations, f32 [1]; 0 when none is selected. */
  readonly loss: Tensor;
  /** Number of selected locations, f32 [1], exact below 2^24. */
  readonly count: Tensor;
  /** Norm of every location, selected or not, f32 of the mask's shape. */
  readonly norms: Tensor;
}

/** Tensors of {@linkcode normHingeGradient}. */
export interface NormHingeGradientInputs extends NormHingeInputs {
  /** Norms of {@linkcode normHinge}. */
  readonly norms: Tensor;
  /** Count of {@linkcode normHinge}. */
  readonly count: Tensor;
}

/** Options of {@linkcode normHingeGradient}. */
export interface NormHingeGradientOptions {
  /** The margin of the forward pass. */
  readonly margin: number;
  /** Factor of the loss, 1 by default. */
  readonly weight?: number | Scalar;
  /** A gradient of the features' shape, to which this one is added in place. */
  readonly addTo?: Tensor;
  /** Written instead of a new tensor; not together with `addTo`. */
  readonly out?: Tensor;
}

/**
 * The mean of `max(norm - margin, 0)` over the selected locations of a batch, the norm being the
 * Euclidean one of a location's features.
 *
 * Everything stays where it is computed, also the number of selected locations; f32, in a fixed
 * order, so that two runs give the same bits.
 *
 * Source: Ye et al., "Local Background Features Matter in Out-of-Distribution Detection", equation 6.
 *
 * @param ctx Where it runs.
 * @param inputs Features and mask.
 * @param options Margin, and a forced variant of the norms.
 * @returns Loss, count and norms.
 * @throws {ShapeError} When `features` has fewer than two axes or no channel, or `mask` does not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the margin is negative, or the forced variant does not exist.
 *
 * @example Of two locations one is selected
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { normHinge } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([3, 4, 60, 80]), [1, 2, 2]);
 * const mask = host.upload(new Float32Array([1, 0]), [1, 2]);
 * const { loss, count, norms } = normHinge(host, { features, mask }, { margin: 1 });
 * assertEquals([...loss.data, ...count.data, ...norms.data], [4, 1, 5, 100]);
 * ```
 */
export function normHinge(
  ctx: Context,
  inputs: NormHingeInputs,
  options: NormHingeOptions,
): NormHinge {
  const kernel = "normHinge";
  const { features, mask } = inputs;
  const shape = requireMap(kernel, inputs);
  const margin = requireMargin(kernel, options.margin);
  const norms = ctx.empty(mask.shape, "f32", { label: "norms" });
  const loss = ctx.empty([1], "f32", { label: "norm hinge" });
  const count = ctx.empty([1], "f32", { label: "selected locations" });
  if (!isGpu(ctx)) {
    const found = normHingeReference(hostFloats(features), hostFloats(mask), margin);
    hostFloats(norms).set(found.norms);
    hostFloats(loss)[0] = found.loss;
    hostFloats(count)[0] = found.count;
    return { loss, count, norms };
  }
  const { rows } = shape;
  const { workgroup, parts: most, tree } = layoutOf(ctx);
  dispatchRows(ctx, {
    operation: kernel,
    kernels: NORMS,
    ...shape,
    inputs: [features],
    output: norms,
    options,
  });
  const parts = Math.max(1, Math.min(rows, most));
  using sums = ctx.empty([2, parts], "f32", { label: "parts" });
  ctx.dispatch(SUMS, {
    buffers: [norms, mask, sums],
    params: { rows, count: parts, margin },
    workgroups: gridFor(parts, workgroup),
    overrides: { WORKGROUP: workgroup },
  });
  ctx.dispatch(MEAN, {
    buffers: [sums, loss, count],
    params: { parts },
    workgroups: [1],
    overrides: { WORKGROUP: tree },
  });
  return { loss, count, norms };
}

/**
 * Gradient of {@linkcode normHinge} with respect to the features, times a weight:
 * `weight / count * z / norm` at selected locations whose norm passes the margin, else 0.
 *
 * With `addTo` it is added to that gradient, so that a second loss costs no tensor and no pass of its
 * own over the map: locations without a share are neither read nor written.
 *
 * @param ctx Where it runs.
 * @param inputs Features and mask of the forward pass, and what it found.
 * @param options Margin and weight, and where the gradient goes or is added.
 * @returns The gradient, of the features' shape: `addTo`, `out` or a new tensor.
 * @throws {ShapeError} When a tensor does not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the margin is negative, or both `addTo` and `out` are given.
 *
 * @example The direction of the features, where they are selected
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { normHinge, normHingeGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([4, 0, 60, 80]), [1, 2, 2]);
 * const mask = host.upload(new Float32Array([1, 0]), [1, 2]);
 * const { count, norms } = normHinge(host, { features, mask }, { margin: 1 });
 * const inputs = { features, mask, count, norms };
 * const dFeatures = normHingeGradient(host, inputs, { margin: 1, weight: 0.5 });
 * assertEquals([...dFeatures.data], [0.5, 0, 0, 0]);
 * ```
 */
export function normHingeGradient(
  ctx: Context,
  inputs: NormHingeGradientInputs,
  options: NormHingeGradientOptions,
): Tensor {
  const kernel = "normHingeGradient";
  const { features, mask, norms, count } = inputs;
  const { weight = 1, addTo, out } = options;
  const { rows, columns } = requireMap(kernel, inputs);
  const margin = requireMargin(kernel, options.margin);
  requireDType(norms, "f32", { kernel, name: "norms" });
  requireShape(norms, mask.shape, { kernel, name: "norms" });
  requireVector(count, { kernel, name: "count", length: 1 });
  if (addTo !== undefined && out !== undefined) {
    throw new RangeError(`Cannot run ${kernel}: "addTo" and "out" cannot both be given`);
  }
  const name = addTo === undefined ? "out" : "addTo";
  const target = outputTensor(ctx, features.shape, { kernel, out: addTo ?? out, name });
  if (!isGpu(ctx)) {
    const values = hostFloats(target);
    if (addTo === undefined) values.fill(0);
    normHingeGradientReference({
      features: hostFloats(features),
      mask: hostFloats(mask),
      norms: hostFloats(norms),
      target: values,
    }, { count: hostFloats(count)[0]!, margin, weight: scalarValue(weight) });
    return target;
  }
  const { workgroup, groups: each } = layoutOf(ctx);
  const width = columns % 4 === 0 ? 4 : 1;
  const groups = columns / width;
  const lanes = Math.ceil(groups / each);
  ctx.dispatch(GRADIENT, {
    buffers: [features, mask, norms, count, target],
    params: { rows, groups, lanes, margin, weight },
    workgroups: gridFor(rows * lanes, workgroup),
    overrides: { WORKGROUP: workgroup, ADD: addTo === undefined ? 0 : 1 },
    spec: { Group: width === 4 ? "vec4<f32>" : "f32" },
  });
  return target;
}

/**
 * Floating-point operations of {@linkcode normHinge}: a product and a sum per element; its gradient
 * takes one for each element of a selected location.
 *
 * @param shape Locations and channels.
 * @returns 2 rows columns.
 *
 * @example Two locations of eight channels
 * ```ts
 * import { normHingeFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(normHingeFlops({ rows: 2, columns: 8 }), 32);
 * ```
 */
export function normHingeFlops(shape: RowShape): number {
  return 2 * shape.rows * shape.columns;
}

/**
 * Bytes that {@linkcode normHinge} must move: one read of features and mask, one write of the norms;
 * its gradient must write as much, and read the selected locations.
 *
 * @param shape Locations and channels.
 * @returns 4 rows (columns + 2).
 *
 * @example Two locations of eight channels
 * ```ts
 * import { normHingeBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(normHingeBytes({ rows: 2, columns: 8 }), 80);
 * ```
 */
export function normHingeBytes(shape: RowShape): number {
  return 4 * shape.rows * (shape.columns + 2);
}

function layoutOf(ctx: GpuContext): typeof GPU {
  return ctx.gpu.adapter.isSoftware ? SOFTWARE : GPU;
}

function requireMap(kernel: string, { features, mask }: NormHingeInputs): RowShape {
  requireDType(features, "f32", { kernel, name: "features" });
  const { shape } = features;
  const columns = shape[shape.length - 1] ?? 0;
  if (shape.length < 2 || columns === 0) {
    throw new ShapeError(kernel, "features", {
      expected: "[N, L, C] or [N, H, W, C] with at least one channel",
      actual: shape,
    });
  }
  requireDType(mask, "f32", { kernel, name: "mask" });
  requireShape(mask, shape.slice(0, -1), { kernel, name: "mask" });
  return { rows: mask.size, columns };
}

function requireMargin(kernel: string, margin: number): number {
  if (margin >= 0 && margin < Infinity) return margin;
  throw new RangeError(`Cannot run ${kernel}: "margin" must not be negative: it is ${margin}`);
}
