/**
 * Maps resized to the nearest element, and the gradient.
 *
 * @module
 */

import {
  type Context,
  isGpu,
  type Kernel,
  type Shape,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor } from "../_arguments.ts";
import { dispatchMaps, type Maps, requireMaps } from "../_maps.ts";
import { pointwiseKernel, type PointwiseOptions } from "../_pointwise.ts";
import { resizeMaps, resizeMapsGradient } from "./reference.ts";
import forwardSource from "./resize_nearest.wgsl" with { type: "text" };
import gradientSource from "./resize_nearest_gradient.wgsl" with { type: "text" };

const LAYOUT: Omit<Kernel, "name" | "wgsl"> = {
  bindings: ["read", "read_write"],
  params: {
    items: "u32",
    channels: "u32",
    height: "u32",
    width: "u32",
    out_height: "u32",
    out_width: "u32",
  },
};
const FORWARD = /* @__PURE__ */ pointwiseKernel({
  ...LAYOUT,
  name: "resize_nearest",
  wgsl: forwardSource,
});
const GRADIENT = /* @__PURE__ */ pointwiseKernel({
  ...LAYOUT,
  name: "resize_nearest_gradient",
  wgsl: gradientSource,
});

/** A software adapter ends loops, without a word, after some 65,000 turns. */
const MOST_LENGTH = 65_535;

/** Options of {@linkcode resizeNearest} and {@linkcode resizeNearestGradient}. */
export interface ResizeNearestOptions extends PointwiseOptions {
  /** Height and width of the result: of the larger maps, or for the gradient of the maps before. */
  readonly size: readonly [height: number, width: number];
}

/**
 * Maps resized to the nearest element, `y[p, q] = x[floor(p H / H'), floor(q W / W')]`: ONNX's Resize
 * with mode nearest, coordinates asymmetric and rounding floor, for whole factors also what other
 * libraries call nearest. Positions are computed in whole numbers.
 *
 * f32 [N, H, W, C] to f32 [N, H', W', C].
 *
 * @param ctx Where it runs.
 * @param inputs The maps `x`, with at least one position.
 * @param options Size of the result, where it goes, and a forced variant.
 * @returns The resized maps.
 * @throws {DTypeError} When `x` or `out` does not hold f32.
 * @throws {ShapeError} When `x` has not four axes, or `out` has another shape.
 * @throws {RangeError} When a length is not from 1 to 65535, or the forced variant does not exist.
 *
 * @example Twice as wide
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { resizeNearest } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2]), [1, 1, 2, 1]);
 * assertEquals([...resizeNearest(host, { x }, { size: [1, 4] }).data], [1, 1, 2, 2]);
 * ```
 */
export function resizeNearest(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: ResizeNearestOptions,
): Tensor {
  const operation = "resizeNearest";
  const { size } = options;
  const maps = requireMaps(x, { kernel: operation, name: "x" });
  requireLengths([maps.height, maps.width, ...size], operation);
  const shape = [maps.n, ...size, maps.channels];
  const y = outputTensor(ctx, shape, { kernel: operation, out: options.out });
  if (!isGpu(ctx)) {
    resizeMaps(hostFloats(x), hostFloats(y), { ...maps, size });
    return y;
  }
  dispatchMaps(ctx, {
    operation,
    kernel: FORWARD,
    buffers: [x, y],
    channels: maps.channels,
    params: paramsOf(maps, size),
    variant: options.variant,
  });
  return y;
}

/**
 * The gradient of {@linkcode resizeNearest}: every element gathers what came in for its copies.
 *
 * Nothing is atomic, and two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs Gradient of the resized maps, f32 [N, H', W', C].
 * @param options Size of the maps before, where the gradient goes, and a forced variant.
 * @returns The gradient of `x`, f32 [N, H, W, C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When `dY` has not four axes, or `out` has another shape.
 * @throws {RangeError} When a length is not from 1 to 65535, or the forced variant does not exist.
 *
 * @example Copies add up
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { resizeNearestGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([1, 2, 3, 4]), [1, 1, 4, 1]);
 * assertEquals([...resizeNearestGradient(host, { dY }, { size: [1, 2] }).data], [3, 7]);
 * ```
 */
export function resizeNearestGradient(
  ctx: Context,
  { dY }: { readonly dY: Tensor },
  options: ResizeNearestOptions,
): Tensor {
  const operation = "resizeNearestGradient";
  const large = requireMaps(dY, { kernel: operation, name: "dY" });
  const size = [large.height, large.width] as const;
  const [height, width] = options.size;
  const maps = { ...large, height, width };
  requireLengths([height, width, ...size], operation);
  const shape = [maps.n, height, width, maps.channels];
  const dX = outputTensor(ctx, shape, { kernel: operation, out: options.out });
  if (!isGpu(ctx)) {
    resizeMapsGradient(hostFloats(dY), hostFloats(dX), { ...maps, size });
    return dX;
  }
  dispatchMaps(ctx, {
    operation,
    kernel: GRADIENT,
    buffers: [dY, dX],
    channels: maps.channels,
    params: paramsOf(maps, size),
    variant: options.variant,
  });
  return dX;
}

/**
 * Floating-point operations of a resizing's gradient: one for each element of the result; the resizing
 * itself only copies.
 *
 * @param shape Shape of the resized maps.
 * @returns The number of operations.
 *
 * @example Six numbers
 * ```ts
 * import { resizeNearestFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(resizeNearestFlops([1, 1, 2, 3]), 6);
 * ```
 */
export function resizeNearestFlops(shape: Shape): number {
  return sizeOf(shape);
}

/**
 * Bytes that a resizing or its gradient must move: one side read, the other one written.
 *
 * @param shape Shape of the maps.
 * @param size Height and width of the resized ones.
 * @returns The number of bytes.
 *
 * @example From one position to four
 * ```ts
 * import { resizeNearestBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(resizeNearestBytes([1, 1, 1, 3], [2, 2]), 60);
 * ```
 */
export function resizeNearestBytes(shape: Shape, size: readonly [number, number]): number {
  const [n, height, width, channels] = shape as [number, number, number, number];
  return 4 * n * channels * (height * width + size[0] * size[1]);
}

function requireLengths(lengths: readonly number[], kernel: string): void {
  for (const length of lengths) {
    if (Number.isInteger(length) && length >= 1 && length <= MOST_LENGTH) continue;
    throw new RangeError(
      `Cannot run ${kernel}: heights and widths must be from 1 to ${MOST_LENGTH}: one is ${length}`,
    );
  }
}

function paramsOf(
  { height, width }: Maps,
  size: ResizeNearestOptions["size"],
): Record<string, number> {
  return { height, width, out_height: size[0], out_width: size[1] };
}
