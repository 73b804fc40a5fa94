/**
 * Global average pooling.
 *
 * @module
 */

import { type Context, isGpu, type Shape, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireMatrix } from "../_arguments.ts";
import { dispatchMaps, requireMaps } from "../_maps.ts";
import { pointwiseKernel, type PointwiseOptions } from "../_pointwise.ts";
import { spatialSum } from "../_spatial_sum.ts";
import { globalAverage, globalAverageGradient } from "./reference.ts";
import spreadSource from "./spread_map.wgsl" with { type: "text" };

const SPREAD = /* @__PURE__ */ pointwiseKernel({
  name: "spread_map",
  wgsl: spreadSource,
  bindings: ["read", "read_write"],
  params: { items: "u32", channels: "u32", positions: "u32", factor: "f32" },
});

/** Options of {@linkcode globalAveragePoolGradient}. */
export interface GlobalAveragePoolGradientOptions extends PointwiseOptions {
  /** Height and width of the maps. */
  readonly size: readonly [height: number, width: number];
}

/**
 * The mean of every channel of every map.
 *
 * f32 [N, H, W, C] to f32 [N, C]. Sums in f32 in two passes without atomics; two runs give the same
 * bits.
 *
 * @param ctx Where it runs.
 * @param inputs The maps `x`, channels last, with at least one position.
 * @param options Where the result goes, and a forced variant.
 * @returns The means, f32 [N, C].
 * @throws {DTypeError} When `x` or `out` does not hold f32.
 * @throws {ShapeError} When `x` has not four axes or no position, or `out` is not [N, C].
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Two positions of two channels
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { globalAveragePool } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 10, 3, 30]), [1, 1, 2, 2]);
 * assertEquals([...globalAveragePool(host, { x }).data], [2, 20]);
 * ```
 */
export function globalAveragePool(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: PointwiseOptions = {},
): Tensor {
  const kernel = "globalAveragePool";
  const { n, height, width, channels } = requireMaps(x, { kernel, name: "x" });
  const positions = height * width;
  if (positions === 0) {
    throw new ShapeError(kernel, "x", { expected: "[N, H, W, C] with H W >= 1", actual: x.shape });
  }
  const output = outputTensor(ctx, [n, channels], { kernel, out: options.out });
  if (!isGpu(ctx)) {
    globalAverage(hostFloats(x), hostFloats(output), { positions, channels });
    return output;
  }
  const { variant } = options;
  const sum = { maps: n, rows: positions, channels, a: x, factor: 1 / positions, output };
  spatialSum(ctx, { ...sum, operation: kernel, variant });
  return output;
}

/**
 * The gradient of {@linkcode globalAveragePool}: every position gets its channel's gradient over their
 * number.
 *
 * @param ctx Where it runs.
 * @param inputs Gradient of the means, f32 [N, C].
 * @param options Size of the maps, where the result goes, and a forced variant.
 * @returns The gradient of the maps, f32 [N, H, W, C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When `dY` has not two axes, or `out` is not [N, H, W, C].
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Two positions share
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { globalAveragePoolGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([4, 8]), [1, 2]);
 * const dX = globalAveragePoolGradient(host, { dY }, { size: [1, 2] });
 * assertEquals([...dX.data], [2, 4, 2, 4]);
 * ```
 */
export function globalAveragePoolGradient(
  ctx: Context,
  { dY }: { readonly dY: Tensor },
  options: GlobalAveragePoolGradientOptions,
): Tensor {
  const operation = "globalAveragePoolGradient";
  const [n, channels] = requireMatrix(dY, { kernel: operation, name: "dY" });
  const [height, width] = options.size;
  const positions = height * width;
  const shape: Shape = [n, height, width, channels];
  const output = outputTensor(ctx, shape, { kernel: operation, out: options.out });
  if (!isGpu(ctx)) {
    globalAverageGradient(hostFloats(dY), hostFloats(output), { positions, channels });
    return output;
  }
  dispatchMaps(ctx, {
    operation,
    kernel: SPREAD,
    buffers: [dY, output],
    channels,
    params: { positions, factor: 1 / positions },
    variant: options.variant,
  });
  return output;
}
