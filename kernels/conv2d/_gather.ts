/**
 * Records convolutions on a GPU, for the forward direction and for the gradient of the images.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { quadsOf } from "../_pack.ts";
import {
  blockColumns,
  type BlockName,
  blockRows,
  type ProductVariant,
  REGISTER_LANES,
  type RegisterSide,
} from "../_products.ts";
import { unrolled } from "../_unroll.ts";
import {
  channelChunks,
  convBlock,
  convSide,
  flattened,
  type Gather,
  gatherTile,
  sharedTaps,
  windowOf,
} from "./_plan.ts";
import registerSource from "./conv2d_register.wgsl" with { type: "text" };
import tiledSource from "./conv2d_tiled.wgsl" with { type: "text" };
import depthwiseSource from "./depthwise.wgsl" with { type: "text" };
import turnSource from "./depthwise_turn_weight.wgsl" with { type: "text" };

const SOURCE_PARAMS = { height: "u32", width: "u32" } as const;

const PLACE_PARAMS = {
  taps_y: "u32",
  taps_x: "u32",
  origin_y: "i32",
  origin_x: "i32",
  stride_y: "u32",
  stride_x: "u32",
  dilation_y: "u32",
  dilation_x: "u32",
} as const;

const TARGET_PARAMS = {
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
} as const;

const registerKernel = /* @__PURE__ */ unrolled({
  name: "conv2d_register",
  wgsl: registerSource,
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: {
    ...SOURCE_PARAMS,
    pixel_quads: "u32",
    quads: "u32",
    quad_begin: "u32",
    quad_end: "u32",
    ...PLACE_PARAMS,
    ...TARGET_PARAMS,
    group_outputs: "u32",
    group_tiles: "u32",
    channel_tiles: "u32",
    column_tiles: "u32",
    tiles: "u32",
    has_bias: "u32",
    relu: "u32",
  },
});

const tiledKernel = /* @__PURE__ */ unrolled({
  name: "conv2d_tiled",
  wgsl: tiledSource,
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: {
    ...SOURCE_PARAMS,
    pixel_quads: "u32",
    quads: "u32",
    step_begin: "u32",
    step_end: "u32",
    ...PLACE_PARAMS,
    ...TARGET_PARAMS,
    group_outputs: "u32",
    row_tiles: "u32",
    column_tiles: "u32",
    tiles: "u32",
    has_bias: "u32",
    relu: "u32",
  },
});

const depthwiseKernel = /* @__PURE__ */ unrolled({
  name: "depthwise",
  wgsl: depthwiseSource,
  bindings: ["read", "read", "read", "read", "read_write", "read_write"],
  params: {
    ...SOURCE_PARAMS,
    channels: "u32",
    ...PLACE_PARAMS,
    place: "u32",
    ...TARGET_PARAMS,
    terms: "u32",
    up: "u32",
    down: "u32",
    quads: "u32",
    column_tiles: "u32",
    items: "u32",
    has_bias: "u32",
    relu: "u32",
  },
});

const TURN: Kernel = {
  name: "depthwise_turn_weight",
  wgsl: turnSource,
  bindings: ["read", "read_write"],
  params: {
    count: "u32",
    taps: "u32",
    terms: "u32",
    outputs: "u32",
    padded: "u32",
    mirrored: "u32",
  },
};

/** Pixels of an invocation of the depthwise kernel, on maps that are wide enough. */
const DEPTHWISE_COLUMNS = 8;

/** Vec4 of x, over all taps, that one dispatch of the tiled kernel takes. */
const CHUNK_QUADS = 8192;

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
  /** Forces the workgroup's tile. */
  readonly block?: BlockName | undefined;
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

/** Binds y as vec4 or as scalars, and any buffer where the other one goes. */
function bound(ctx: GpuContext, y: Tensor, wide: boolean): [y4: Tensor, y1: Tensor] {
  const spare = ctx.empty([4], "f32", { label: "unused binding" });
  return wide ? [y, spare] : [spare, y];
}

/**
 * Records a convolution with register tiles or, for `tiled`, with tiles in workgroup memory.
 * Channels are padded to whole vec4 by the caller.
 *
 * @param ctx Where to record; a scope, which ends after that.
 * @param tensors The tensors.
 * @param gather What to compute.
 * @param options Variant, activation, and a forced tile.
 */
export function gatherDense(
  ctx: GpuContext,
  tensors: GatherTensors,
  gather: Gather,
  options: GatherOptions & { readonly variant: Exclude<ProductVariant, "naive"> },
): void {
  const work = flattened(gather);
  if (work.batch * work.x.count * work.y.count === 0) return;
  const record = options.variant === "tiled" ? gatherTiled : gatherRegister;
  record(ctx, tensors, work, options);
}

function gatherRegister(
  ctx: GpuContext,
  tensors: GatherTensors,
  work: Gather,
  options: GatherOptions,
): void {
  const { x, y } = work;
  const side = convSide(gatherFlops(work), options.side);
  const tile = gatherTile(work, side);
  const wide = work.outputs % 4 === 0;
  const quads = quadsOf(work.channels);
  const rowTiles = Math.ceil(work.batch * y.count / tile.rows);
  const columnTiles = Math.ceil(x.count / tile.columns);
  const groupTiles = Math.ceil(work.outputs / tile.channels);
  const channelTiles = work.groups * groupTiles;
  const tiles = rowTiles * columnTiles * channelTiles;
  const { bias = tensors.x } = tensors;
  const targets = bound(ctx, tensors.y, wide);
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
      buffers: [tensors.x, tensors.weight, bias, ...targets],
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

function gatherTiled(
  ctx: GpuContext,
  tensors: GatherTensors,
  work: Gather,
  options: GatherOptions,
): void {
  const { x, y } = work;
  const wide = work.outputs % 4 === 0;
  const quads = quadsOf(work.channels);
  const size = {
    rows: work.batch * y.count * x.count,
    columns: work.outputs,
    batches: work.groups,
  };
  const tile = convBlock(size, { ...options, limits: ctx.gpu.device.limits });
  const rowTiles = Math.ceil(size.rows / blockRows(tile));
  const columnTiles = Math.ceil(size.columns / blockColumns(tile));
  const tiles = work.groups * rowTiles * columnTiles;
  const steps = y.taps * x.taps * quads;
  const { bias = tensors.x } = tensors;
  const targets = bound(ctx, tensors.y, wide);
  for (let begin = 0; begin === 0 || begin < steps; begin += CHUNK_QUADS) {
    const last = begin + CHUNK_QUADS >= steps;
    ctx.dispatch(tiledKernel({ ...tile, WIDE: wide ? 1 : 0, ACCUMULATE: begin === 0 ? 0 : 1 }), {
      buffers: [tensors.x, tensors.weight, bias, ...targets],
      params: {
        ...placesOf(work),
        pixel_quads: work.groups * quads,
        quads,
        step_begin: begin,
        step_end: last ? steps : begin + CHUNK_QUADS,
        row_tiles: rowTiles,
        column_tiles: columnTiles,
        tiles,
        has_bias: tensors.bias !== undefined && begin === 0 ? 1 : 0,
        relu: options.relu && last ? 1 : 0,
      },
      workgroups: gridFor(tiles, 1),
    });
  }
}

/**
 * Records depthwise convolutions, whose groups have one channel each: forward when the groups read
 * one channel, the gradient of the images when they write one.
 *
 * @param ctx Where to record; a scope, which ends after that.
 * @param tensors The tensors, the weight as it is: [O, KH, KW, 1].
 * @param gathers What to compute.
 * @param options Activation, and whether the weight is mirrored: for the gradient of the images.
 */
export function gatherDepthwise(
  ctx: GpuContext,
  tensors: GatherTensors,
  gathers: readonly Gather[],
  options: GatherOptions & { readonly mirrored: boolean },
): void {
  const { groups, channels: terms, outputs: down } = gathers[0]!;
  const outputs = groups * down;
  const taps = gathers[0]!.y.weight * gathers[0]!.x.weight;
  const quads = quadsOf(outputs);
  const weight = ctx.empty([taps, terms, 4 * quads], "f32", { label: "turned weight" });
  ctx.dispatch(TURN, {
    buffers: [tensors.weight, weight],
    params: {
      count: weight.size,
      taps,
      terms,
      outputs,
      padded: 4 * quads,
      mirrored: options.mirrored ? 1 : 0,
    },
    workgroups: gridFor(weight.size, 64),
  });
  const vector = terms * down === 1 && outputs % 4 === 0;
  const { bias = tensors.x } = tensors;
  const targets = bound(ctx, tensors.y, vector);
  const workgroup = ctx.gpu.adapter.isSoftware ? REGISTER_LANES : 64;
  for (const gather of gathers) {
    const { x, y } = gather;
    const shared = sharedTaps(Math.max(1, x.taps))[0]!;
    const columns = x.count > 4 ? DEPTHWISE_COLUMNS : 4;
    const window = windowOf(columns, shared, x);
    const columnTiles = Math.ceil(x.count / columns);
    const items = gather.batch * y.count * columnTiles * quads;
    const kernel = depthwiseKernel({
      COLUMNS: columns,
      TAPS: shared,
      WINDOW: window.length,
      PIXEL_STEP: window.pixelStep,
      TAP_STEP: window.tapStep,
      VECTOR: vector ? 1 : 0,
    });
    ctx.dispatch(kernel, {
      buffers: [tensors.x, tensors.x, weight, bias, ...targets],
      params: {
        ...placesOf(gather),
        channels: groups * terms,
        place: window.place,
        outputs,
        terms,
        up: terms,
        down,
        quads,
        column_tiles: columnTiles,
        items,
        has_bias: tensors.bias === undefined ? 0 : 1,
        relu: options.relu ? 1 : 0,
      },
      workgroups: gridFor(items, workgroup),
      overrides: { WORKGROUP: workgroup },
    });
  }
}
