/**
 * Records convolutions on a GPU, for the forward direction and for the gradient of the images.
 *
 * @module
 */

import { type GpuContext, gridFor, type Tensor } from "../../runtime/mod.ts";
import { quadsOf } from "../_pack.ts";
import { REGISTER_LANES, type RegisterSide } from "../_products.ts";
import { unrolled } from "../_unroll.ts";
import {
  channelChunks,
  convSide,
  flattened,
  type Gather,
  type GatherTile,
  gatherTile,
} from "./_plan.ts";
import registerSource from "./conv2d_register.wgsl" with { type: "text" };

const registerKernel = unrolled({
  name: "conv2d_register",
  wgsl: registerSource,
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: {
    height: "u32",
    width: "u32",
    pixel_quads: "u32",
    quads: "u32",
    quad_begin: "u32",
    quad_end: "u32",
    taps_y: "u32",
    taps_x: "u32",
    origin_y: "i32",
    origin_x: "i32",
    stride_y: "u32",
    stride_x: "u32",
    dilation_y: "u32",
    dilation_x: "u32",
    weight_height: "u32",
    weight_width: "u32",
    weight_y: "u32",
    weight_x: "u32",
    weight_step_y: "u32",
    weight_step_x: "u32",
    rows: "u32",
    image_rows: "u32",
    columns: "u32",
    target_height: "u32",
    target_width: "u32",
    target_y: "u32",
    target_x: "u32",
    target_step_y: "u32",
    target_step_x: "u32",
    outputs: "u32",
    group_outputs: "u32",
    group_tiles: "u32",
    channel_tiles: "u32",
    column_tiles: "u32",
    tiles: "u32",
    has_bias: "u32",
    relu: "u32",
  },
});

/** Tensors of a gathering convolution. */
export interface GatherTensors {
  /** f32 [N, H, W, groups * 4 * quads]. */
  readonly x: Tensor;
  /** f32 [O, WH, WW, 4 * quads]. */
  readonly weight: Tensor;
  /** f32 [O]. */
  readonly bias?: Tensor | undefined;
  /** f32 [N, YH, YW, O]. */
  readonly y: Tensor;
}

/** How a gathering convolution runs. */
export interface GatherOptions {
  /** Whether negative results become zero. */
  readonly relu?: boolean;
  /** Forces the size of the register tile. */
  readonly side?: RegisterSide | undefined;
  /** Forces the register tile itself. */
  readonly tile?: GatherTile;
}

/** Floating-point operations of a gathering convolution. */
function gatherFlops(gather: Gather): number {
  return 2 * gather.batch * gather.y.count * gather.x.count * gather.groups * gather.outputs *
    gather.channels * gather.y.taps * gather.x.taps;
}

/** Scalars that say where sources, taps and targets lie; the same for all kernels. */
function placesOf(gather: Gather): Record<string, number> {
  const { x, y } = gather;
  const none = x.taps * y.taps === 0;
  return {
    height: y.source,
    width: x.source,
    taps_y: none ? 0 : y.taps,
    taps_x: x.taps,
    origin_y: y.origin,
    origin_x: x.origin,
    stride_y: y.stride,
    stride_x: x.stride,
    dilation_y: y.dilation,
    dilation_x: x.dilation,
    weight_height: y.weight,
    weight_width: x.weight,
    weight_y: y.weightFirst,
    weight_x: x.weightFirst,
    weight_step_y: y.weightStep,
    weight_step_x: x.weightStep,
    rows: gather.batch * y.count,
    image_rows: y.count,
    columns: x.count,
    target_height: y.target,
    target_width: x.target,
    target_y: y.targetFirst,
    target_x: x.targetFirst,
    target_step_y: y.targetStep,
    target_step_x: x.targetStep,
    outputs: gather.groups * gather.outputs,
    group_outputs: gather.outputs,
  };
}

/**
 * Records a convolution with register tiles. Channels are padded to whole vec4 by the caller.
 *
 * @param ctx Where to record.
 * @param tensors The tensors.
 * @param gather What to compute.
 * @param options Activation, and a forced tile.
 */
export function gatherRegister(
  ctx: GpuContext,
  tensors: GatherTensors,
  gather: Gather,
  options: GatherOptions = {},
): void {
  const work = flattened(gather);
  const { x, y } = work;
  if (work.batch * x.count * y.count === 0) return;
  const side = convSide(gatherFlops(work), options.side);
  const tile = options.tile ?? gatherTile(work, side);
  const wide = work.outputs % 4 === 0;
  const quads = quadsOf(work.channels);
  const rowTiles = Math.ceil(work.batch * y.count / tile.rows);
  const columnTiles = Math.ceil(x.count / tile.columns);
  const groupTiles = Math.ceil(work.outputs / tile.channels);
  const channelTiles = work.groups * groupTiles;
  const tiles = rowTiles * columnTiles * channelTiles;
  const { bias = tensors.x, y: target } = tensors;
  using spare = ctx.empty([4], "f32", { label: "unused binding" });
  const chunks = channelChunks(quads, y.taps * (x.taps + 1));
  chunks.forEach(([begin, end], position) => {
    const kernel = registerKernel({
      ROWS: tile.rows,
      COLUMNS: tile.columns,
      CHANNELS: tile.channels,
      PIXELS: tile.rows * tile.columns,
      QUADS: tile.channels / 4,
      WIDE: wide ? 1 : 0,
      ACCUMULATE: position === 0 ? 0 : 1,
    });
    ctx.dispatch(kernel, {
      buffers: [tensors.x, tensors.weight, bias, wide ? target : spare, wide ? spare : target],
      params: {
        ...placesOf(work),
        pixel_quads: work.groups * quads,
        quads,
        quad_begin: begin,
        quad_end: end,
        group_tiles: groupTiles,
        channel_tiles: channelTiles,
        column_tiles: columnTiles,
        tiles,
        has_bias: tensors.bias !== undefined && position === 0 ? 1 : 0,
        relu: options.relu && position === chunks.length - 1 ? 1 : 0,
      },
      workgroups: gridFor(tiles, REGISTER_LANES),
    });
  });
}
