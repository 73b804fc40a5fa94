/**
 * Products element by element, also of maps with gates, and their gradients.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Shape,
  ShapeError,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import {
  dispatchFlat,
  lanesOf,
  POINTWISE_WORKGROUP,
  pointwiseKernel,
  type PointwiseOptions,
  type PointwiseVariant,
} from "../_pointwise.ts";
import { spatialSum } from "../_spatial_sum.ts";
import source from "./mul.wgsl" with { type: "text" };
import { multiply, secondFactorGradient, type Spread } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "mul",
  wgsl: source,
  bindings: ["read", "read", "read_write"],
  params: { begin: "u32", end: "u32", plane: "u32", channels: "u32" },
});

/** Tensors of {@linkcode mul}. */
export interface MulInputs {
  /** f32 of any shape. */
  readonly a: Tensor;
  /** f32 of the same shape, or [N, 1, 1, C] for `a` of [N, H, W, C]. */
  readonly b: Tensor;
}

/** Tensors of {@linkcode mulGradient}. */
export interface MulGradientInputs extends MulInputs {
  /** Gradient of the product, f32 of the shape of `a`. */
  readonly dY: Tensor;
}

/** Options of {@linkcode mulGradient}. */
export interface MulGradientOptions {
  /** Where the gradient of `a` goes. */
  readonly outA?: Tensor;
  /** Where the gradient of `b` goes. */
  readonly outB?: Tensor;
  /** Forces a variant; `vector` by default. */
  readonly variant?: PointwiseVariant;
}

/** What {@linkcode mulGradient} gives. */
export interface MulGradients {
  /** Gradient of `a`, f32 of its shape. */
  readonly dA: Tensor;
  /** Gradient of `b`, f32 of its shape. */
  readonly dB: Tensor;
}

/**
 * The product of two tensors element by element; or of maps with one factor per map and channel, as
 * in squeeze-and-excitation blocks.
 *
 * @param ctx Where it runs.
 * @param inputs The factors.
 * @param options Where the result goes, and a forced variant.
 * @returns The product, f32 of the shape of `a`.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When `b` has neither the shape of `a` nor [N, 1, 1, C].
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Gates of two channels
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { mul } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = host.upload(new Float32Array([1, 2, 3, 4]), [1, 1, 2, 2]);
 * const b = host.upload(new Float32Array([1, 0.5]), [1, 1, 1, 2]);
 * assertEquals([...mul(host, { a, b }).data], [1, 1, 3, 2]);
 * ```
 */
export function mul(ctx: Context, { a, b }: MulInputs, options: PointwiseOptions = {}): Tensor {
  const kernel = "mul";
  const spread = requireFactors({ a, b }, kernel);
  const y = outputTensor(ctx, a.shape, { kernel, out: options.out });
  product(ctx, { a, b, y }, { spread, operation: kernel, variant: options.variant });
  return y;
}

/**
 * The gradients of {@linkcode mul}: `dA = dY b` and `dB = dY a`, the latter summed over the positions
 * that one element of `b` met.
 *
 * The sum is f32 in two passes without atomics; two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The factors, and the gradient of the product.
 * @param options Where the gradients go, and a forced variant.
 * @returns The gradients of both factors.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example A gate gathers from its map
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { mulGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = host.upload(new Float32Array([1, 2, 3]), [1, 3, 1, 1]);
 * const b = host.upload(new Float32Array([5]), [1, 1, 1, 1]);
 * const dY = host.upload(new Float32Array([1, 10, 100]), [1, 3, 1, 1]);
 * const { dA, dB } = mulGradient(host, { a, b, dY });
 * assertEquals([...dA.data], [5, 50, 500]);
 * assertEquals([...dB.data], [321]);
 * ```
 */
export function mulGradient(
  ctx: Context,
  { a, b, dY }: MulGradientInputs,
  options: MulGradientOptions = {},
): MulGradients {
  const operation = "mulGradient";
  const spread = requireFactors({ a, b }, operation);
  requireDType(dY, "f32", { kernel: operation, name: "dY" });
  requireShape(dY, a.shape, { kernel: operation, name: "dY" });
  const [dA, dB] = [
    outputTensor(ctx, a.shape, { kernel: operation, name: "outA", out: options.outA }),
    outputTensor(ctx, b.shape, { kernel: operation, name: "outB", out: options.outB }),
  ];
  const how = { operation, spread, variant: options.variant };
  product(ctx, { a: dY, b, y: dA }, how);
  if (!isGpu(ctx)) {
    secondFactorGradient({ a: hostFloats(a), dY: hostFloats(dY) }, hostFloats(dB), spread);
  } else if (spread.plane === spread.channels) {
    product(ctx, { a: dY, b: a, y: dB }, how);
  } else {
    const { plane, channels } = spread;
    const maps = sizeOf(b.shape) / Math.max(1, channels);
    const sum = { maps, rows: plane / Math.max(1, channels), channels, a: dY, b: a, output: dB };
    spatialSum(ctx, { ...sum, operation, variant: options.variant });
  }
  return { dA, dB };
}

/**
 * Floating-point operations of a product: one per element; the gradients take two to three.
 *
 * @param shape The shape of `a`.
 * @returns The number of operations.
 *
 * @example Six numbers
 * ```ts
 * import { mulFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(mulFlops([2, 3]), 6);
 * ```
 */
export function mulFlops(shape: Shape): number {
  return sizeOf(shape);
}

/**
 * Bytes that a product must move: each factor read once and one write. Gradients of gates move as
 * much again, less the write.
 *
 * @param shape The shape of `a`.
 * @param second The shape of `b`, that of `a` by default.
 * @returns The number of bytes.
 *
 * @example Six numbers
 * ```ts
 * import { mulBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(mulBytes([2, 3]), 72);
 * ```
 */
export function mulBytes(shape: Shape, second: Shape = shape): number {
  return 4 * (2 * sizeOf(shape) + sizeOf(second));
}

/** Checks both factors and tells how the second spreads. */
function requireFactors({ a, b }: MulInputs, kernel: string): Spread {
  requireDType(a, "f32", { kernel, name: "a" });
  requireDType(b, "f32", { kernel, name: "b" });
  const [n, height, width, channels] = a.shape;
  const same = a.shape.length === b.shape.length && a.shape.every((l, i) => l === b.shape[i]);
  if (same) return { plane: a.size, channels: a.size };
  const gate = [n, 1, 1, channels];
  const fits = a.shape.length === 4 && b.shape.length === 4 &&
    gate.every((length, axis) => length === b.shape[axis]);
  if (fits) return { plane: height! * width! * channels!, channels: channels! };
  throw new ShapeError(kernel, "b", {
    expected: `[${a.shape.join(", ")}]${a.shape.length === 4 ? ` or [${gate.join(", ")}]` : ""}`,
    actual: b.shape,
  });
}

interface Product {
  readonly operation: string;
  readonly spread: Spread;
  readonly variant: PointwiseVariant | undefined;
}

function product(
  ctx: Context,
  { a, b, y }: MulInputs & { readonly y: Tensor },
  { operation, spread, variant }: Product,
): void {
  if (!isGpu(ctx)) {
    multiply({ a: hostFloats(a), b: hostFloats(b) }, hostFloats(y), spread);
  } else if (spread.plane === spread.channels) {
    const run = { operation, kernel: KERNEL, buffers: [a, b, y], count: a.size, variant };
    dispatchFlat(ctx, { ...run, params: { plane: 1, channels: 1 } });
  } else {
    gated(ctx, { a, b, y }, { operation, spread, variant });
  }
}

function gated(
  ctx: GpuContext,
  { a, b, y }: MulInputs & { readonly y: Tensor },
  { operation, spread, variant }: Product,
): void {
  const { plane, channels } = spread;
  const lanes = lanesOf(ctx, { operation, variant, channels: [channels] });
  const end = a.size / lanes;
  ctx.dispatch(KERNEL(lanes, { BROADCAST: 1 }), {
    buffers: [a, b, y],
    params: { begin: 0, end, plane: plane / lanes, channels: channels / lanes },
    workgroups: gridFor(end, POINTWISE_WORKGROUP),
  });
}
