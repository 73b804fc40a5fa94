/**
 * Maps plus one number for each map and channel, such as the embedding of a time step, and the
 * gradient.
 *
 * @module
 */

import { type Context, isGpu, type Shape, sizeOf, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireMatrix } from "../_arguments.ts";
import { dispatchMaps, requireMaps } from "../_maps.ts";
import { pointwiseKernel, type PointwiseOptions } from "../_pointwise.ts";
import { spatialSum } from "../_spatial_sum.ts";
import source from "./add_channels.wgsl" with { type: "text" };
import { addChannelsGradientReference, addChannelsReference } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "add_channels",
  wgsl: source,
  bindings: ["read", "read", "read_write"],
  params: { items: "u32", channels: "u32", positions: "u32" },
});

/** Tensors of {@linkcode addChannels}. */
export interface AddChannelsInputs {
  /** f32 [N, H, W, C]. */
  readonly x: Tensor;
  /** f32 [N, C]. */
  readonly v: Tensor;
}

/**
 * Maps plus one number for each map and channel, `y[n, h, w, c] = x[n, h, w, c] + v[n, c]`.
 *
 * @param ctx Where it runs.
 * @param inputs The maps, and the numbers.
 * @param options Where the result goes, and a forced variant.
 * @returns The sum, f32 [N, H, W, C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When `x` has not four axes, or another tensor does not fit it.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Two positions of two channels
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { addChannels } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 4]), [1, 1, 2, 2]);
 * const v = host.upload(new Float32Array([10, 20]), [1, 2]);
 * assertEquals([...addChannels(host, { x, v }).data], [11, 22, 13, 24]);
 * ```
 */
export function addChannels(
  ctx: Context,
  { x, v }: AddChannelsInputs,
  options: PointwiseOptions = {},
): Tensor {
  const kernel = "addChannels";
  const { n, height, width, channels } = requireMaps(x, { kernel, name: "x" });
  requireMatrix(v, { kernel, name: "v", rows: n, columns: channels });
  const y = outputTensor(ctx, x.shape, { kernel, out: options.out });
  const positions = height * width;
  if (!isGpu(ctx)) {
    const inputs = { x: hostFloats(x), v: hostFloats(v) };
    addChannelsReference(inputs, hostFloats(y), { positions, channels });
    return y;
  }
  dispatchMaps(ctx, {
    operation: kernel,
    kernel: KERNEL,
    buffers: [x, v, y],
    channels,
    params: { positions },
    variant: options.variant,
  });
  return y;
}

/**
 * The gradient of the numbers of {@linkcode addChannels}: sums over the positions. That of the maps
 * is the gradient that comes in.
 *
 * Sums in f32 in two passes without atomics; two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs Gradient of the sum, f32 [N, H, W, C].
 * @param options Where the result goes, and a forced variant.
 * @returns The gradient of `v`, f32 [N, C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When `dY` has not four axes, or `out` is not [N, C].
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Two positions of two channels
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { addChannelsGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([1, 2, 3, 4]), [1, 1, 2, 2]);
 * assertEquals([...addChannelsGradient(host, { dY }).data], [4, 6]);
 * ```
 */
export function addChannelsGradient(
  ctx: Context,
  { dY }: { readonly dY: Tensor },
  options: PointwiseOptions = {},
): Tensor {
  const operation = "addChannelsGradient";
  const { n, height, width, channels } = requireMaps(dY, { kernel: operation, name: "dY" });
  const output = outputTensor(ctx, [n, channels], { kernel: operation, out: options.out });
  const positions = height * width;
  if (!isGpu(ctx)) {
    addChannelsGradientReference(hostFloats(dY), hostFloats(output), { positions, channels });
    return output;
  }
  const { variant } = options;
  spatialSum(ctx, { operation, variant, maps: n, rows: positions, channels, a: dY, output });
  return output;
}

/**
 * Floating-point operations of a sum of maps with their channels' numbers: one per element; the
 * gradient takes as many.
 *
 * @param shape The shape of `x`.
 * @returns The number of operations.
 *
 * @example Twelve numbers
 * ```ts
 * import { addChannelsFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(addChannelsFlops([1, 2, 2, 3]), 12);
 * ```
 */
export function addChannelsFlops(shape: Shape): number {
  return sizeOf(shape);
}

/**
 * Bytes that a sum of maps with their channels' numbers must move: both read once, one write. The
 * gradient moves half as much.
 *
 * @param shape The shape of `x`.
 * @returns The number of bytes.
 *
 * @example Twelve numbers
 * ```ts
 * import { addChannelsBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(addChannelsBytes([1, 2, 2, 3]), 108);
 * ```
 */
export function addChannelsBytes(shape: Shape): number {
  return 8 * sizeOf(shape) + 4 * shape[0]! * shape[3]!;
}
