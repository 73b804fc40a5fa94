/**
 * Max-pooling and average-pooling.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  isGpu,
  type Shape,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import { dispatchMaps, requireMaps } from "../_maps.ts";
import { pointwiseKernel, type PointwiseOptions } from "../_pointwise.ts";
import type { Spec } from "../_unroll.ts";
import averageSource from "./average_pool2d.wgsl" with { type: "text" };
import averageGradientSource from "./average_pool2d_gradient.wgsl" with { type: "text" };
import maxSource from "./max_pool2d.wgsl" with { type: "text" };
import maxGradientSource from "./max_pool2d_gradient.wgsl" with { type: "text" };
import { type PoolGeometry, poolGeometry, type PoolWindows } from "./_geometry.ts";
import { averagePool, averagePoolGradient, maxPool, maxPoolGradient } from "./reference.ts";

export type { PoolPadding, PoolPair, PoolWindows } from "./_geometry.ts";

const SIZES = {
  items: "u32",
  channels: "u32",
  height: "u32",
  width: "u32",
  out_height: "u32",
  out_width: "u32",
} as const;
const WINDOWS = { kernel_h: "u32", kernel_w: "u32", stride_h: "u32", stride_w: "u32" } as const;
const PADDING = { top: "u32", left: "u32" } as const;
const PADDED = { padded_height: "u32", padded_width: "u32" } as const;

const MAX = /* @__PURE__ */ pointwiseKernel({
  name: "max_pool2d",
  wgsl: maxSource,
  bindings: ["read", "read_write", "read_write"],
  params: { ...SIZES, ...WINDOWS, ...PADDING },
});
const MAX_GRADIENT = /* @__PURE__ */ pointwiseKernel({
  name: "max_pool2d_gradient",
  wgsl: maxGradientSource,
  bindings: ["read", "read", "read_write"],
  params: { ...SIZES, ...PADDING },
});
const AVERAGE = /* @__PURE__ */ pointwiseKernel({
  name: "average_pool2d",
  wgsl: averageSource,
  bindings: ["read", "read_write"],
  params: { ...SIZES, ...WINDOWS, ...PADDING, ...PADDED },
});
const AVERAGE_GRADIENT = /* @__PURE__ */ pointwiseKernel({
  name: "average_pool2d_gradient",
  wgsl: averageGradientSource,
  bindings: ["read", "read_write"],
  params: { ...SIZES, ...PADDING, ...PADDED },
});

/** The maps that a pooling takes. */
export interface PoolInputs {
  /** f32 [N, H, W, C]. */
  readonly x: Tensor;
}

/** Options of {@linkcode maxPool2d} and {@linkcode maxPool2dGradient}. */
export interface MaxPool2dOptions extends PoolWindows, PointwiseOptions {}

/** Options of {@linkcode maxPool2d}. */
export interface MaxPool2dForwardOptions extends MaxPool2dOptions {
  /**
   * Where the positions of the maxima in their windows go, u32 of the result's shape; saves the
   * gradient from finding them again.
   */
  readonly outIndices?: Tensor;
}

/** Tensors of {@linkcode maxPool2dGradient}. */
export interface MaxPool2dGradientInputs extends PoolInputs {
  /** Gradient of the result, f32 [N, H', W', C]. */
  readonly dY: Tensor;
  /** What `outIndices` took in the forward run; found again from `x` when left out. */
  readonly indices?: Tensor;
}

/** Options of {@linkcode averagePool2d}. */
export interface AveragePool2dOptions extends PoolWindows, PointwiseOptions {
  /** Whether padding counts in the mean; false by default, as in ONNX. */
  readonly countIncludePad?: boolean;
}

/** Options of {@linkcode averagePool2dGradient}. */
export interface AveragePool2dGradientOptions extends AveragePool2dOptions {
  /** Height and width of the maps. */
  readonly size: readonly [height: number, width: number];
}

/**
 * The shape that a pooling gives.
 *
 * @param shape Shape of the maps, [N, H, W, C].
 * @param windows The windows.
 * @returns Shape of the result, [N, H', W', C].
 * @throws {ShapeError} When the maps have not four axes, or no window fits.
 * @throws {RangeError} When kernel, stride or padding is out of range.
 *
 * @example The first pooling of a ResNet-50
 * ```ts
 * import { pool2dShape } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const windows = { kernel: 3, stride: 2, padding: 1 };
 * assertEquals(pool2dShape([1, 112, 112, 64], windows), [1, 56, 56, 64]);
 * ```
 */
export function pool2dShape(shape: Shape, windows: PoolWindows): Shape {
  return shapeOf(poolGeometry(shape, windows, "pool2dShape"));
}

/**
 * The largest element of every window, channel by channel; padding does not count.
 *
 * f32 [N, H, W, C] to f32 [N, H', W', C]. Exact for numbers, unspecified for NaN.
 *
 * @param ctx Where it runs.
 * @param inputs The maps `x`.
 * @param options The windows, where results go, and a forced variant.
 * @returns The maxima.
 * @throws {DTypeError} When a tensor has another element type.
 * @throws {ShapeError} When `x` has not four axes, no window fits, or a result has another shape.
 * @throws {RangeError} When kernel, stride or padding is out of range, or the forced variant does not
 * exist.
 *
 * @example A window of two by two
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { maxPool2d } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 4]), [1, 2, 2, 1]);
 * assertEquals([...maxPool2d(host, { x }, { kernel: 2 }).data], [4]);
 * ```
 */
export function maxPool2d(
  ctx: Context,
  { x }: PoolInputs,
  options: MaxPool2dForwardOptions,
): Tensor {
  const kernel = "maxPool2d";
  requireMaps(x, { kernel, name: "x" });
  const geometry = poolGeometry(x.shape, options, kernel);
  const shape = shapeOf(geometry);
  const { outIndices, variant } = options;
  if (outIndices !== undefined) {
    requireDType(outIndices, "u32", { kernel, name: "outIndices" });
    requireShape(outIndices, shape, { kernel, name: "outIndices" });
  }
  const y = outputTensor(ctx, shape, { kernel, out: options.out });
  if (isGpu(ctx)) {
    dispatchMax(ctx, { x, y, taps: outIndices }, { operation: kernel, geometry, variant });
  } else {
    maxPool(hostFloats(x), { y: hostFloats(y), taps: outIndices && words(outIndices) }, geometry);
  }
  return y;
}

/**
 * The gradient of {@linkcode maxPool2d}: what comes in for a window goes to its maximum, to the first
 * one in row-major order where several are equal.
 *
 * Every input element gathers from the windows that cover it: nothing is atomic, and two runs give
 * the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The maps, the gradient of the result, and where the forward run kept them the maxima.
 * @param options As for the pooling; `out` takes the gradient.
 * @returns The gradient of `x`, f32 [N, H, W, C].
 * @throws {DTypeError} When a tensor has another element type.
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {RangeError} As for the pooling.
 *
 * @example The maximum gets it all
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { maxPool2dGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 4, 4, 2]), [1, 2, 2, 1]);
 * const dY = host.upload(new Float32Array([9]), [1, 1, 1, 1]);
 * assertEquals([...maxPool2dGradient(host, { x, dY }, { kernel: 2 }).data], [0, 9, 0, 0]);
 * ```
 */
export function maxPool2dGradient(
  ctx: Context,
  { x, dY, indices }: MaxPool2dGradientInputs,
  options: MaxPool2dOptions,
): Tensor {
  const operation = "maxPool2dGradient";
  requireMaps(x, { kernel: operation, name: "x" });
  const geometry = poolGeometry(x.shape, options, operation);
  const shape = shapeOf(geometry);
  requireDType(dY, "f32", { kernel: operation, name: "dY" });
  requireShape(dY, shape, { kernel: operation, name: "dY" });
  if (indices !== undefined) {
    requireDType(indices, "u32", { kernel: operation, name: "indices" });
    requireShape(indices, shape, { kernel: operation, name: "indices" });
  }
  const dX = outputTensor(ctx, x.shape, { kernel: operation, out: options.out });
  using scope = ctx.scope();
  const taps = indices ?? scope.empty(shape, "u32", { label: "maxima" });
  if (!isGpu(scope)) {
    if (indices === undefined) maxPool(hostFloats(x), { taps: words(taps) }, geometry);
    maxPoolGradient({ taps: words(taps), dY: hostFloats(dY) }, hostFloats(dX), geometry);
    return dX;
  }
  const { variant } = options;
  if (indices === undefined) dispatchMax(scope, { x, taps }, { operation, geometry, variant });
  dispatchMaps(scope, {
    operation,
    kernel: MAX_GRADIENT,
    spec: coverOf(geometry),
    buffers: [taps, dY, dX],
    channels: geometry.channels,
    params: paramsOf(geometry),
    variant,
  });
  return dX;
}

/**
 * The mean of every window, channel by channel.
 *
 * f32 [N, H, W, C] to f32 [N, H', W', C].
 *
 * @param ctx Where it runs.
 * @param inputs The maps `x`.
 * @param options The windows, whether padding counts, where the result goes, and a forced variant.
 * @returns The means.
 * @throws {DTypeError} When `x` or `out` does not hold f32.
 * @throws {ShapeError} When `x` has not four axes, no window fits, or `out` has another shape.
 * @throws {RangeError} When kernel, stride or padding is out of range, or the forced variant does not
 * exist.
 *
 * @example A window of two by two
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { averagePool2d } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 4]), [1, 2, 2, 1]);
 * assertEquals([...averagePool2d(host, { x }, { kernel: 2 }).data], [2.5]);
 * ```
 */
export function averagePool2d(
  ctx: Context,
  { x }: PoolInputs,
  options: AveragePool2dOptions,
): Tensor {
  const operation = "averagePool2d";
  requireMaps(x, { kernel: operation, name: "x" });
  const geometry = poolGeometry(x.shape, options, operation);
  const { countIncludePad: includePad = false, variant } = options;
  const y = outputTensor(ctx, shapeOf(geometry), { kernel: operation, out: options.out });
  if (!isGpu(ctx)) {
    averagePool(hostFloats(x), hostFloats(y), { ...geometry, includePad });
    return y;
  }
  const spec = { INCLUDE_PAD: includePad ? 1 : 0 };
  dispatchAverage(ctx, [x, y], { operation, geometry, variant, kernel: AVERAGE, spec });
  return y;
}

/**
 * The gradient of {@linkcode averagePool2d}: every input element gathers its share from the windows
 * that cover it. Nothing is atomic, and two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs Gradient of the means, f32 [N, H', W', C].
 * @param options As for the pooling, and the size of the maps; `out` takes the gradient.
 * @returns The gradient of `x`, f32 [N, H, W, C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {RangeError} As for the pooling.
 *
 * @example Four elements share
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { averagePool2dGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([8]), [1, 1, 1, 1]);
 * const dX = averagePool2dGradient(host, { dY }, { kernel: 2, size: [2, 2] });
 * assertEquals([...dX.data], [2, 2, 2, 2]);
 * ```
 */
export function averagePool2dGradient(
  ctx: Context,
  { dY }: { readonly dY: Tensor },
  options: AveragePool2dGradientOptions,
): Tensor {
  const operation = "averagePool2dGradient";
  const { n, channels } = requireMaps(dY, { kernel: operation, name: "dY" });
  const shape = [n, ...options.size, channels];
  const geometry = poolGeometry(shape, options, operation);
  requireShape(dY, shapeOf(geometry), { kernel: operation, name: "dY" });
  const { countIncludePad: includePad = false, variant } = options;
  const dX = outputTensor(ctx, shape, { kernel: operation, out: options.out });
  if (!isGpu(ctx)) {
    averagePoolGradient(hostFloats(dY), hostFloats(dX), { ...geometry, includePad });
    return dX;
  }
  const spec = { INCLUDE_PAD: includePad ? 1 : 0, ...coverOf(geometry) };
  dispatchAverage(ctx, [dY, dX], { operation, geometry, variant, kernel: AVERAGE_GRADIENT, spec });
  return dX;
}

/**
 * Floating-point operations of a pooling: one for each tap of each window.
 *
 * @param shape Shape of the maps, [N, H, W, C].
 * @param windows The windows.
 * @returns The number of operations.
 *
 * @example Four windows of four
 * ```ts
 * import { pool2dFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(pool2dFlops([1, 4, 4, 1], { kernel: 2 }), 16);
 * ```
 */
export function pool2dFlops(shape: Shape, windows: PoolWindows): number {
  const geometry = poolGeometry(shape, windows, "pool2dFlops");
  return sizeOf(shapeOf(geometry)) * geometry.kernel[0] * geometry.kernel[1];
}

/**
 * Bytes that a pooling must move: the maps read once and the result written; its gradient as many.
 *
 * @param shape Shape of the maps, [N, H, W, C].
 * @param windows The windows.
 * @returns The number of bytes.
 *
 * @example Four windows of four
 * ```ts
 * import { pool2dBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(pool2dBytes([1, 4, 4, 1], { kernel: 2 }), 80);
 * ```
 */
export function pool2dBytes(shape: Shape, windows: PoolWindows): number {
  return 4 * (sizeOf(shape) + sizeOf(pool2dShape(shape, windows)));
}

function shapeOf({ n, out, channels }: PoolGeometry): Shape {
  return [n, ...out, channels];
}

function words(tensor: Tensor): Uint32Array {
  return tensor.data as Uint32Array;
}

function paramsOf(geometry: PoolGeometry): Record<string, number> {
  const { size, out, kernel, stride, before, padded } = geometry;
  return {
    height: size[0],
    width: size[1],
    out_height: out[0],
    out_width: out[1],
    kernel_h: kernel[0],
    kernel_w: kernel[1],
    stride_h: stride[0],
    stride_w: stride[1],
    top: before[0],
    left: before[1],
    padded_height: padded[0],
    padded_width: padded[1],
  };
}

/** What the gradients' kernels have as constants, because they divide by them. */
function coverOf({ kernel, stride }: PoolGeometry): Spec {
  return {
    KERNEL_H: kernel[0],
    KERNEL_W: kernel[1],
    STRIDE_H: stride[0],
    STRIDE_W: stride[1],
    APART: kernel[0] <= stride[0] && kernel[1] <= stride[1] ? 1 : 0,
  };
}

interface PoolRun {
  readonly operation: string;
  readonly geometry: PoolGeometry;
  readonly variant: PointwiseOptions["variant"];
}

function dispatchMax(
  ctx: GpuContext,
  { x, y, taps }: PoolInputs & { readonly y?: Tensor; readonly taps?: Tensor | undefined },
  { operation, geometry, variant }: PoolRun,
): void {
  using spare = ctx.empty([4], "f32", { label: "unused binding" });
  dispatchMaps(ctx, {
    operation,
    kernel: MAX,
    spec: { VALUES: y ? 1 : 0, TAPS: taps ? 1 : 0 },
    buffers: [x, y ?? spare, taps ?? spare],
    count: sizeOf(shapeOf(geometry)),
    channels: geometry.channels,
    params: paramsOf(geometry),
    variant,
  });
}

function dispatchAverage(
  ctx: GpuContext,
  buffers: readonly Tensor[],
  run: PoolRun & { readonly kernel: typeof AVERAGE; readonly spec: Spec },
): void {
  const { operation, geometry, variant, kernel, spec } = run;
  dispatchMaps(ctx, {
    operation,
    kernel,
    spec,
    buffers,
    channels: geometry.channels,
    params: paramsOf(geometry),
    variant,
  });
}
