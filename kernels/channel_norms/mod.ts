/**
 * Lengths of the rectified channels of feature maps.
 *
 * @module
 */

import { type Context, isGpu, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, requireDType, requireShape } from "../_arguments.ts";
import { dispatchRows, rowKernels, type RowOptions, type RowShape } from "../_rows.ts";
import main from "./channel_norms.wgsl" with { type: "text" };
import naive from "./channel_norms_naive.wgsl" with { type: "text" };
import { channelNormsOfRows } from "./reference.ts";

const KERNELS = /* @__PURE__ */ rowKernels("channel_norms", { naive, main }, {
  inputs: 1,
  wide: false,
  params: {},
  turns: { naive: 1, main: 2 },
});

/** Tensors of {@linkcode channelNorms}. */
export interface ChannelNormsInputs {
  /** Feature maps, f32 [N, C, H, W] with at least one pixel. */
  readonly map: Tensor;
}

/**
 * Lengths of the rectified channels of feature maps: `sqrt(sum(max(x, 0)^2))` over the pixels of
 * each channel. FeatureNorm is their mean over the channels.
 *
 * f32 [N, C, H, W] to f32 [N, C]. Squares are summed in f32 by blocks, and overflow above 1.8e19. Two
 * runs give the same bits. Source: Yu et al., "Block selection method for using feature norm in
 * out-of-distribution detection", 2023.
 *
 * @param ctx Where it runs.
 * @param inputs The maps.
 * @param options A forced variant.
 * @returns The lengths, f32 [N, C].
 * @throws {ShapeError} When `map` has not four axes, or no pixel.
 * @throws {DTypeError} When `map` does not hold f32.
 *
 * @example Negative numbers do not count
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { channelNorms } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const map = host.upload(new Float32Array([3, 4, -12, 0]), [1, 1, 2, 2]);
 * assertEquals([...channelNorms(host, { map }).data], [5]);
 * ```
 */
export function channelNorms(
  ctx: Context,
  { map }: ChannelNormsInputs,
  options: RowOptions = {},
): Tensor {
  const argument = { kernel: "channelNorms", name: "map" };
  requireDType(map, "f32", argument);
  const shape = requireShape(map, ["images", "channels", "height", "width"], argument);
  const [images, channels, height, width] = shape as readonly [number, number, number, number];
  const rows = images * channels;
  const columns = height * width;
  if (columns === 0) {
    throw new ShapeError(argument.kernel, argument.name, {
      expected: "[images, channels, height, width] with at least one pixel",
      actual: map.shape,
    });
  }
  const output = ctx.empty([images, channels], "f32", { label: "channelNorms" });
  if (!isGpu(ctx)) {
    channelNormsOfRows(hostFloats(map), hostFloats(output), { rows, columns });
    return output;
  }
  dispatchRows(ctx, {
    operation: "channelNorms",
    kernels: KERNELS,
    rows,
    columns,
    inputs: [map],
    output,
    options,
  });
  return output;
}

/**
 * Floating-point operations of the lengths: a comparison, a product and a sum per pixel.
 *
 * @param shape Channels of all maps, and pixels of a map.
 * @returns The number of operations.
 *
 * @example Two channels of 7 by 7
 * ```ts
 * import { channelNormsFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(channelNormsFlops({ rows: 2, columns: 49 }), 294);
 * ```
 */
export function channelNormsFlops(shape: RowShape): number {
  return 3 * shape.rows * shape.columns;
}

/**
 * Bytes that the lengths must move: one read of the maps, one write per channel.
 *
 * @param shape Channels of all maps, and pixels of a map.
 * @returns The number of bytes.
 *
 * @example Two channels of 7 by 7
 * ```ts
 * import { channelNormsBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(channelNormsBytes({ rows: 2, columns: 49 }), 400);
 * ```
 */
export function channelNormsBytes(shape: RowShape): number {
  return 4 * shape.rows * (shape.columns + 1);
}
