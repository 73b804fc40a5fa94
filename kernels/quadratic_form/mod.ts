/**
 * The whitened quadratic form ||(x - mean) W||^2: Mahalanobis distances, residuals outside a
 * subspace. The whitened rows are never written.
 *
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { quadraticForm } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([4, 1]), [1, 2]);
 * const mean = host.upload(new Float32Array([1, 1]), [2]);
 * const whitening = host.upload(new Float32Array([2, 0, 0, 1]), [2, 2]);
 * const [squared] = await host.read(quadraticForm(host, { x, mean, whitening }));
 * assertEquals(squared![0], 36);
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
import { hostFloats, requireMatrix, requireVector } from "../_arguments.ts";
import { packed } from "../_pack.ts";
import { type ProductOptions, type ProductVariant, productVariant } from "../_products.ts";
import {
  naiveSegment,
  requireRowProductLength,
  rowProduct,
  type RowStates,
} from "../_row_product.ts";
import { quadraticFormReference, type QuadraticFormSize } from "./reference.ts";
import finishSource from "./quadratic_form_finish.wgsl" with { type: "text" };
import naiveSource from "./quadratic_form_naive.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "quadratic_form_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read", "read_write"],
  params: { rows: "u32", columns: "u32", k: "u32", segments: "u32", segment: "u32" },
};

const FINISH: Kernel = {
  name: "quadratic_form_finish",
  wgsl: finishSource,
  bindings: ["read", "read_write"],
  params: { rows: "u32", segments: "u32" },
};

/** What {@linkcode quadraticForm} takes. */
export interface QuadraticFormInputs {
  /** f32 [N, C]. */
  readonly x: Tensor;
  /** f32 [C]. */
  readonly mean: Tensor;
  /** f32 [C, R]. */
  readonly whitening: Tensor;
}

/** Lengths of a form, for {@linkcode quadraticFormFlops} and {@linkcode quadraticFormBytes}. */
export interface QuadraticFormShape {
  /** Rows, N. */
  readonly rows: number;
  /** Channels, C. */
  readonly channels: number;
  /** Whitened channels, R. */
  readonly rank: number;
}

/**
 * Floating-point operations of {@linkcode quadraticForm}.
 *
 * @param shape Its lengths.
 * @returns 2 N R (C + 1) + N C.
 *
 * @example A small form
 * ```ts
 * import { quadraticFormFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(quadraticFormFlops({ rows: 2, channels: 3, rank: 4 }), 70);
 * ```
 */
export function quadraticFormFlops(shape: QuadraticFormShape): number {
  const { rows, channels, rank } = shape;
  return 2 * rows * rank * (channels + 1) + rows * channels;
}

/**
 * Bytes that {@linkcode quadraticForm} must move at least: inputs read once, one value per row
 * written.
 *
 * @param shape Its lengths.
 * @returns 4 (N C + C + C R + N).
 *
 * @example A small form
 * ```ts
 * import { quadraticFormBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(quadraticFormBytes({ rows: 2, channels: 3, rank: 4 }), 92);
 * ```
 */
export function quadraticFormBytes(shape: QuadraticFormShape): number {
  const { rows, channels, rank } = shape;
  return 4 * (rows * channels + channels + channels * rank + rows);
}

/**
 * ||(x - mean) W||^2 of every row.
 *
 * The mean is subtracted before the product, so nothing cancels when it is large. f32 sums in the
 * order of C, then of R; bit-equal from run to run.
 *
 * @param ctx Where to run.
 * @param inputs Rows, mean, and the whitening matrix W.
 * @param options A forced variant.
 * @returns f32 [N].
 * @throws {ShapeError} When a shape does not fit.
 * @throws {DTypeError} When an input does not hold f32.
 * @throws {RangeError} When a forced variant does not exist.
 *
 * @example The squared distance, when W is the identity
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { quadraticForm } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([3, 4]), [1, 2]);
 * const mean = host.upload(new Float32Array([0, 0]), [2]);
 * const whitening = host.upload(new Float32Array([1, 0, 0, 1]), [2, 2]);
 * const [squared] = await host.read(quadraticForm(host, { x, mean, whitening }));
 * assertEquals(squared![0], 25);
 * ```
 */
export function quadraticForm(
  ctx: Context,
  inputs: QuadraticFormInputs,
  options: ProductOptions = {},
): Tensor {
  const kernel = "quadraticForm";
  const [rows, channels] = requireMatrix(inputs.x, { kernel, name: "x" });
  requireVector(inputs.mean, { kernel, name: "mean", length: channels });
  const [, rank] = requireMatrix(inputs.whitening, { kernel, name: "whitening", rows: channels });
  const size = { rows, channels, rank };
  if (isGpu(ctx)) return onGpu(ctx, inputs, { ...options, ...size });
  const arrays = {
    x: hostFloats(inputs.x),
    mean: hostFloats(inputs.mean),
    whitening: hostFloats(inputs.whitening),
  };
  return ctx.upload(quadraticFormReference(arrays, size), [rows], { label: kernel });
}

type Call = ProductOptions & QuadraticFormSize;

function onGpu(ctx: GpuContext, inputs: QuadraticFormInputs, call: Call): Tensor {
  const { rows, channels } = call;
  requireRowProductLength("quadraticForm", channels);
  const variant = productVariant(ctx, "quadraticForm", call);
  const value = ctx.empty([rows], "f32", { label: "quadraticForm" });
  if (rows === 0) return value;
  using scope = ctx.scope();
  const { first, segments } = statesOf(scope, inputs, { ...call, variant });
  scope.dispatch(FINISH, {
    buffers: [first, value],
    params: { rows, segments },
    workgroups: gridFor(rows, 8),
  });
  return value;
}

function statesOf(
  ctx: GpuContext,
  inputs: QuadraticFormInputs,
  call: Call & { readonly variant: ProductVariant },
): Pick<RowStates, "first" | "segments"> {
  const { rows, channels, rank, variant } = call;
  // A form of rank 0 is 0 everywhere: no segment, an empty sum.
  if (rank === 0) return { first: inputs.x, segments: 0 };
  if (variant === "naive") return runNaive(ctx, inputs, call);
  const x = packed(ctx, inputs.x, { rows, k: channels });
  const y = packed(ctx, inputs.whitening, { rows: rank, k: channels, transposed: true });
  const extra = packed(ctx, inputs.mean, { rows: 1, k: channels });
  return rowProduct(ctx, { x, y, extra }, {
    variant,
    term: "product",
    load: "centred",
    state: "sumOfSquares",
    rows,
    columns: rank,
    k: channels,
    side: call.side,
  });
}

function runNaive(
  ctx: GpuContext,
  inputs: QuadraticFormInputs,
  call: Call,
): Pick<RowStates, "first" | "segments"> {
  const { rows, channels, rank } = call;
  const segment = naiveSegment(channels);
  const segments = Math.ceil(rank / segment);
  const first = ctx.empty([segments, rows], "f32", { label: "row states" });
  ctx.dispatch(NAIVE, {
    buffers: [inputs.x, inputs.mean, inputs.whitening, first],
    params: { rows, columns: rank, k: channels, segments, segment },
    workgroups: gridFor(segments * rows, 64),
  });
  return { first, segments };
}
