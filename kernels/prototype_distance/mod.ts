/**
 * The nearest of a set of centres: largest cosine, smallest squared distance, smallest relative
 * entropy. The rows x centres matrix is never written.
 *
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { cosineMax } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([0, 3]), [1, 2]);
 * const centres = host.upload(new Float32Array([1, 0, 0, 1]), [2, 2]);
 * const { value, index } = cosineMax(host, { features, centres });
 * assertEquals(await host.read(value, index), [new Float32Array([1]), new Uint32Array([1])]);
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
import { packed, quadsOf } from "../_pack.ts";
import { type ProductOptions, type ProductVariant, productVariant } from "../_products.ts";
import {
  naiveSegment,
  requireRowProductLength,
  rowProduct,
  type RowProductKind,
  type RowStates,
} from "../_row_product.ts";
import { unrolled } from "../_unroll.ts";
import { nearestReference, type PrototypeKind, type PrototypeSize } from "./reference.ts";
import finishSource from "./prototype_finish.wgsl" with { type: "text" };
import naiveSource from "./prototype_naive.wgsl" with { type: "text" };
import prepareSource from "./prototype_prepare.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "prototype_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write", "read_write"],
  params: {
    rows: "u32",
    columns: "u32",
    k: "u32",
    segments: "u32",
    segment: "u32",
    epsilon: "f32",
  },
};

const PREPARE: Kernel = /* @__PURE__ */ unrolled({
  name: "prototype_prepare",
  wgsl: prepareSource,
  bindings: ["read", "read_write"],
  params: { columns: "u32", k: "u32", quads: "u32", epsilon: "f32" },
})({});

const FINISH: Kernel = {
  name: "prototype_finish",
  wgsl: finishSource,
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: { rows: "u32", quads: "u32", segments: "u32" },
};

const KIND_OVERRIDE: Readonly<Record<PrototypeKind, number>> = { cosine: 0, euclidean: 1, kl: 2 };

const TERM_OF_KIND: Readonly<Record<PrototypeKind, RowProductKind["term"]>> = {
  cosine: "product",
  euclidean: "squaredDifference",
  kl: "relativeEntropy",
};

/** What the nearest-centre operations compare. */
export interface PrototypeInputs {
  /** f32 [N, C]. */
  readonly features: Tensor;
  /** f32 [K, C], K at least 1. */
  readonly centres: Tensor;
}

/** What the nearest-centre operations find. */
export interface Nearest {
  /** f32 [N]: the largest cosine, or the smallest distance. */
  readonly value: Tensor;
  /** u32 [N]: the lowest centre that has it. */
  readonly index: Tensor;
}

/** Options of {@linkcode klMin}. */
export interface KlMinOptions extends ProductOptions {
  /** Least probability whose logarithm is taken; 1e-10 by default. */
  readonly epsilon?: number;
}

/** Lengths of a search, for {@linkcode prototypeFlops} and {@linkcode prototypeBytes}. */
export interface PrototypeShape {
  /** Rows, N. */
  readonly rows: number;
  /** Centres, K. */
  readonly centres: number;
  /** Channels, C. */
  readonly channels: number;
}

/**
 * Floating-point operations of {@linkcode cosineMax}; the others do half as many again.
 *
 * @param shape Its lengths.
 * @returns 2 N K C.
 *
 * @example A small search
 * ```ts
 * import { prototypeFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(prototypeFlops({ rows: 2, centres: 3, channels: 4 }), 48);
 * ```
 */
export function prototypeFlops(shape: PrototypeShape): number {
  return 2 * shape.rows * shape.centres * shape.channels;
}

/**
 * Bytes that a search must move at least: operands read once, a value and an index written.
 *
 * @param shape Its lengths.
 * @returns 4 (N C + K C + 2 N).
 *
 * @example A small search
 * ```ts
 * import { prototypeBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(prototypeBytes({ rows: 2, centres: 3, channels: 4 }), 96);
 * ```
 */
export function prototypeBytes(shape: PrototypeShape): number {
  const { rows, centres, channels } = shape;
  return 4 * (rows * channels + centres * channels + 2 * rows);
}

/**
 * The largest cosine between each row and a set of centres, max_j x.y_j / (|x| |y_j|).
 *
 * Neither side needs to be normalised; norms below 1e-12 count as 1e-12, so a row of zeros has
 * cosine 0. f32 sums in the order of C; ties go to the lowest centre; bit-equal from run to run.
 *
 * @param ctx Where to run.
 * @param inputs Features and centres.
 * @param options A forced variant.
 * @returns Cosines f32 [N] and centres u32 [N].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an input does not hold f32.
 * @throws {RangeError} When there is no centre, or a forced variant does not exist.
 *
 * @example The direction counts, not the length
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { cosineMax } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([3, 4]), [1, 2]);
 * const centres = host.upload(new Float32Array([10, 0, 0, 1]), [2, 2]);
 * const [value] = await host.read(cosineMax(host, { features, centres }).value);
 * assertAlmostEquals(value![0]!, 0.8, 1e-6);
 * ```
 */
export function cosineMax(
  ctx: Context,
  inputs: PrototypeInputs,
  options: ProductOptions = {},
): Nearest {
  return nearest(ctx, inputs, { ...options, kind: "cosine", operation: "cosineMax", epsilon: 0 });
}

/**
 * The smallest squared Euclidean distance between each row and a set of centres, taken as the sum
 * of squared differences: nothing cancels, near centres keep their digits.
 *
 * f32 sums in the order of C; ties go to the lowest centre; bit-equal from run to run.
 *
 * @param ctx Where to run.
 * @param inputs Features and centres.
 * @param options A forced variant.
 * @returns Squared distances f32 [N] and centres u32 [N].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an input does not hold f32.
 * @throws {RangeError} When there is no centre, or a forced variant does not exist.
 *
 * @example Squared, not rooted
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { euclideanMin } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([3, 4]), [1, 2]);
 * const centres = host.upload(new Float32Array([9, 9, 0, 0]), [2, 2]);
 * const { value, index } = euclideanMin(host, { features, centres });
 * assertEquals(await host.read(value, index), [new Float32Array([25]), new Uint32Array([1])]);
 * ```
 */
export function euclideanMin(
  ctx: Context,
  inputs: PrototypeInputs,
  options: ProductOptions = {},
): Nearest {
  const operation = "euclideanMin";
  return nearest(ctx, inputs, { ...options, kind: "euclidean", operation, epsilon: 0 });
}

/**
 * The smallest relative entropy of each row to a set of centres, min_j KL(p || q_j) with
 * KL(p || q) = sum_c p_c (log max(p_c, e) - log max(q_c, e)), in nats. Rows and centres are
 * distributions: softmax has been applied already.
 *
 * f32 sums in the order of C; ties go to the lowest centre; bit-equal from run to run.
 *
 * @param ctx Where to run.
 * @param inputs Distributions p [N, C] as features, and q [K, C] as centres.
 * @param options Epsilon e, and a forced variant.
 * @returns Relative entropies f32 [N] and centres u32 [N].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an input does not hold f32.
 * @throws {RangeError} When there is no centre, epsilon is not positive, or a forced variant does
 * not exist.
 *
 * @example A distribution is at 0 from itself
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { klMin } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([0.25, 0.75]), [1, 2]);
 * const centres = host.upload(new Float32Array([0.5, 0.5, 0.25, 0.75]), [2, 2]);
 * const { value, index } = klMin(host, { features, centres });
 * assertEquals(await host.read(value, index), [new Float32Array([0]), new Uint32Array([1])]);
 * ```
 */
export function klMin(ctx: Context, inputs: PrototypeInputs, options: KlMinOptions = {}): Nearest {
  const { epsilon = 1e-10 } = options;
  if (!(epsilon > 0)) {
    throw new RangeError(`Cannot run klMin: epsilon must be positive: it is ${epsilon}`);
  }
  return nearest(ctx, inputs, { ...options, kind: "kl", operation: "klMin", epsilon });
}

interface Search extends ProductOptions {
  readonly kind: PrototypeKind;
  readonly operation: string;
  readonly epsilon: number;
}

function nearest(ctx: Context, inputs: PrototypeInputs, search: Search): Nearest {
  const { operation: kernel } = search;
  const [rows, channels] = requireMatrix(inputs.features, { kernel, name: "features" });
  const [centres] = requireMatrix(inputs.centres, { kernel, name: "centres", columns: channels });
  if (centres === 0) throw new RangeError(`Cannot run ${kernel}: there are no centres`);
  const size = { rows, centres, channels };
  if (isGpu(ctx)) return onGpu(ctx, inputs, { ...search, ...size });
  const found = nearestReference(
    { x: hostFloats(inputs.features), y: hostFloats(inputs.centres) },
    size,
    search,
  );
  return {
    value: ctx.upload(found.value, [rows], { label: kernel }),
    index: ctx.upload(found.index, [rows], { label: kernel }),
  };
}

function onGpu(ctx: GpuContext, inputs: PrototypeInputs, search: Search & PrototypeSize): Nearest {
  const { rows, channels, operation } = search;
  requireRowProductLength(operation, channels);
  const variant = productVariant(ctx, operation, search);
  const value = ctx.empty([rows], "f32", { label: operation });
  const index = ctx.empty([rows], "u32", { label: operation });
  if (rows === 0) return { value, index };
  using scope = ctx.scope();
  const x = packed(scope, inputs.features, { rows, k: channels });
  const states = variant === "naive"
    ? runNaive(scope, inputs, search)
    : runFused(scope, { x, centres: inputs.centres }, { ...search, variant });
  scope.dispatch(FINISH, {
    buffers: [x, states.first, states.second, value, index],
    params: { rows, quads: quadsOf(channels), segments: states.segments },
    overrides: { KIND: KIND_OVERRIDE[search.kind] },
    workgroups: gridFor(rows, 8),
  });
  return { value, index };
}

function runNaive(
  ctx: GpuContext,
  inputs: PrototypeInputs,
  search: Search & PrototypeSize,
): RowStates {
  const { rows, centres, channels, epsilon } = search;
  const segment = naiveSegment(channels);
  const segments = Math.ceil(centres / segment);
  const first = ctx.empty([segments, rows], "f32", { label: "row states" });
  const second = ctx.empty([segments, rows], "u32", { label: "row states" });
  ctx.dispatch(NAIVE, {
    buffers: [inputs.features, inputs.centres, first, second],
    params: { rows, columns: centres, k: channels, segments, segment, epsilon },
    overrides: { KIND: KIND_OVERRIDE[search.kind] },
    workgroups: gridFor(segments * rows, 64),
  });
  return { first, second, segments };
}

function runFused(
  ctx: GpuContext,
  inputs: { readonly x: Tensor; readonly centres: Tensor },
  search: Search & PrototypeSize & { readonly variant: Exclude<ProductVariant, "naive"> },
): RowStates {
  const { rows, centres, channels, epsilon } = search;
  const quads = quadsOf(channels);
  const y = ctx.empty([centres, 4 * quads], "f32", { label: "prepared centres" });
  ctx.dispatch(PREPARE, {
    buffers: [inputs.centres, y],
    params: { columns: centres, k: channels, quads, epsilon },
    overrides: { KIND: KIND_OVERRIDE[search.kind] },
    workgroups: gridFor(centres, 8),
  });
  return rowProduct(ctx, { x: inputs.x, y }, {
    variant: search.variant,
    term: TERM_OF_KIND[search.kind],
    load: "plain",
    state: "largest",
    rows,
    columns: centres,
    k: channels,
    epsilon,
    side: search.side,
  });
}
