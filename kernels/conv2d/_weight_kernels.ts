/**
 * Records gradients of weights on a GPU.
 *
 * @module
 */

import { type GpuContext, gridFor, type Tensor } from "../../runtime/mod.ts";
import { packed, quadsOf } from "../_pack.ts";
import {
  blockColumns,
  type BlockName,
  blockRows,
  REGISTER_LANES,
  type RegisterSide,
} from "../_products.ts";
import { unrolled } from "../_unroll.ts";
import {
  convBlock,
  convSide,
  type RowSlices,
  sharedTaps,
  sliceRows,
  weightTile,
  windowOf,
} from "./_plan.ts";
import { type ConvSize, naiveParams } from "./_size.ts";
import { inSlices } from "./_slices.ts";
import registerSource from "./conv2d_weight_gradient_register.wgsl" with { type: "text" };
import tiledSource from "./conv2d_weight_gradient_tiled.wgsl" with { type: "text" };
import depthwiseSource from "./depthwise_weight_gradient.wgsl" with { type: "text" };

const registerKernel = /* @__PURE__ */ unrolled({
  name: "conv2d_weight_gradient_register",
  wgsl: registerSource,
  bindings: ["read", "read", "read_write"],
  params: {
    height: "u32",
    width: "u32",
    pixel_quads: "u32",
    quads: "u32",
    out_height: "u32",
    out_width: "u32",
    output_quads: "u32",
    group_quads: "u32",
    kernel_height: "u32",
    kernel_width: "u32",
    stride_y: "u32",
    stride_x: "u32",
    top: "u32",
    left: "u32",
    dilation_y: "u32",
    dilation_x: "u32",
    place: "u32",
    row_segments: "u32",
    segment_columns: "u32",
    segments: "u32",
    slice_segments: "u32",
    output_tiles: "u32",
    channel_tiles: "u32",
    tap_tiles: "u32",
    tiles: "u32",
    slices: "u32",
  },
});

const tiledKernel = /* @__PURE__ */ unrolled({
  name: "conv2d_weight_gradient_tiled",
  wgsl: tiledSource,
  bindings: ["read", "read", "read_write"],
  params: {
    height: "u32",
    width: "u32",
    pixel_quads: "u32",
    quads: "u32",
    out_height: "u32",
    out_width: "u32",
    output_quads: "u32",
    group_quads: "u32",
    kernel_height: "u32",
    kernel_width: "u32",
    stride_y: "u32",
    stride_x: "u32",
    top: "u32",
    left: "u32",
    dilation_y: "u32",
    dilation_x: "u32",
    pixels: "u32",
    slice_pixels: "u32",
    groups: "u32",
    row_tiles: "u32",
    column_tiles: "u32",
    tiles: "u32",
  },
});

const depthwiseKernel = /* @__PURE__ */ unrolled({
  name: "depthwise_weight_gradient",
  wgsl: depthwiseSource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: {
    height: "u32",
    width: "u32",
    channels: "u32",
    out_height: "u32",
    out_width: "u32",
    outputs: "u32",
    multiplier: "u32",
    kernel_height: "u32",
    kernel_width: "u32",
    stride_y: "u32",
    stride_x: "u32",
    top: "u32",
    left: "u32",
    dilation_y: "u32",
    dilation_x: "u32",
    place: "u32",
    row_segments: "u32",
    segment_columns: "u32",
    segments: "u32",
    slice_segments: "u32",
    tap_rows: "u32",
    tap_tiles: "u32",
    quads: "u32",
    slices: "u32",
  },
});

/** Tiles at work at once that keep a few cores busy. */
const BUSY_TILES = 128;

/** Pixels of a step of the depthwise kernel. */
const DEPTHWISE_PIXELS = 4;

/** Taps of an invocation of the depthwise kernel at most. */
const DEPTHWISE_TAPS = 25;

/** Longest run of pixels between two cuts. */
const SEGMENT_COLUMNS = 256;

/** Workgroups that keep a large GPU busy, and pixels below which a slice is not worth its own. */
const BUSY_WORKGROUPS = 512;
const LEAST_SLICE = 512;

/** Invocations that keep a large GPU busy. */
const BUSY_INVOCATIONS = 32_768;

/** Tensors of a weight gradient. */
export interface WeightGradientTensors {
  /** f32 [N, H, W, C]. */
  readonly x: Tensor;
  /** f32 [N, OH, OW, O]. */
  readonly dY: Tensor;
  /** f32 [O, KH, KW, C / groups]. */
  readonly dWeight: Tensor;
}

/** What a weight gradient computes, and how. */
export interface WeightGradientPlan {
  /** Lengths of the convolution. */
  readonly size: ConvSize;
  /** Forces the size of the register tile. */
  readonly side?: RegisterSide | undefined;
  /** Forces the workgroup's tile. */
  readonly block?: BlockName | undefined;
}

/** Both operands, their channels padded to whole vec4. */
function packedOperands(
  scope: GpuContext,
  tensors: WeightGradientTensors,
  size: ConvSize,
): { x: Tensor; dY: Tensor; quads: number; groupQuads: number } {
  const { batch, groups } = size;
  return {
    x: packed(scope, tensors.x, {
      rows: batch * size.height * size.width * groups,
      k: size.groupChannels,
    }),
    dY: packed(scope, tensors.dY, {
      rows: batch * size.outHeight * size.outWidth * groups,
      k: size.groupOutputs,
    }),
    quads: quadsOf(size.groupChannels),
    groupQuads: quadsOf(size.groupOutputs),
  };
}

/** Single taps without padding and strides see one long row of pixels. */
function flattened(size: ConvSize): ConvSize {
  const { batch, height, width, outHeight, outWidth } = size;
  const plain = size.kernelHeight * size.kernelWidth * size.strideY * size.strideX === 1 &&
    size.top === 0 && size.left === 0 && outHeight === height && outWidth === width;
  const pixels = batch * height * width;
  return plain
    ? { ...size, batch: 1, height: 1, width: pixels, outHeight: 1, outWidth: pixels }
    : size;
}

/**
 * Records a weight gradient with register tiles.
 *
 * @param ctx Where to record.
 * @param tensors The tensors.
 * @param options Lengths, and a forced tile.
 */
export function weightGradientRegister(
  ctx: GpuContext,
  tensors: WeightGradientTensors,
  options: WeightGradientPlan,
): void {
  const size = flattened(options.size);
  const { kernelHeight, kernelWidth, groups } = size;
  const taps = kernelHeight * kernelWidth;
  using scope = ctx.scope();
  const { batch, outHeight, outWidth } = size;
  const { x, dY, quads, groupQuads } = packedOperands(scope, tensors, size);
  const flops = 2 * batch * outHeight * outWidth * size.outputs * taps * size.groupChannels;
  const axis = { stride: size.strideX, dilation: size.dilationX };
  const tile = weightTile(
    { outputs: groupQuads, channels: quads, taps: kernelWidth, ...axis },
    convSide(flops, options.side),
  );
  const window = windowOf(tile.pixels, tile.taps, axis);
  const outputTiles = Math.ceil(groupQuads / tile.outputs);
  const channelTiles = Math.ceil(quads / tile.channels);
  const tapTiles = kernelWidth / tile.taps;
  const tiles = groups * outputTiles * channelTiles * tapTiles * kernelHeight;
  const rowSegments = Math.ceil(outWidth / SEGMENT_COLUMNS);
  const segments = batch * outHeight * rowSegments;
  const segmentColumns = Math.min(SEGMENT_COLUMNS, tile.pixels * Math.ceil(outWidth / tile.pixels));
  const resultRows = 4 * groups * groupQuads * taps;
  const cut: RowSlices = sliceRows({
    rows: segments,
    rowTurns: segmentColumns / tile.pixels + 1,
    rowPixels: segmentColumns,
    tiles,
    size: resultRows * 4 * quads,
    busy: BUSY_TILES,
  });
  const kernel = registerKernel({
    OUTPUTS: tile.outputs,
    CHANNELS: tile.channels,
    TAPS: tile.taps,
    PIXELS: tile.pixels,
    WINDOW: window.length,
    PIXEL_STEP: window.pixelStep,
    TAP_STEP: window.tapStep,
  });
  const parts = { slices: cut.slices, rows: resultRows, padded: 4 * quads };
  inSlices(scope, tensors.dWeight, parts, (target) => {
    scope.dispatch(kernel, {
      buffers: [x, dY, target],
      params: {
        ...naiveParams(size),
        pixel_quads: groups * quads,
        quads,
        output_quads: groups * groupQuads,
        group_quads: groupQuads,
        place: window.place,
        row_segments: rowSegments,
        segment_columns: segmentColumns,
        segments,
        slice_segments: cut.sliceRows,
        output_tiles: outputTiles,
        channel_tiles: channelTiles,
        tap_tiles: tapTiles,
        tiles,
        slices: cut.slices,
      },
      workgroups: gridFor(cut.slices * tiles, REGISTER_LANES),
    });
  });
}

/**
 * Records a weight gradient with tiles in workgroup memory.
 *
 * @param ctx Where to record.
 * @param tensors The tensors.
 * @param options Lengths, and a forced tile.
 */
export function weightGradientTiled(
  ctx: GpuContext,
  tensors: WeightGradientTensors,
  options: WeightGradientPlan,
): void {
  const { size } = options;
  const { groups } = size;
  const taps = size.kernelHeight * size.kernelWidth;
  using scope = ctx.scope();
  const { x, dY, quads, groupQuads } = packedOperands(scope, tensors, size);
  const pixels = size.batch * size.outHeight * size.outWidth;
  const product = { rows: 4 * groupQuads, columns: 4 * taps * quads };
  const tile = convBlock(
    { ...product, batches: groups * Math.ceil(pixels / LEAST_SLICE) },
    { ...options, limits: ctx.gpu.device.limits },
  );
  const rowTiles = Math.ceil(product.rows / blockRows(tile));
  const columnTiles = Math.ceil(product.columns / blockColumns(tile));
  const rows = 4 * groups * groupQuads * taps;
  const tilesOfSlice = groups * rowTiles * columnTiles;
  const { slices, sliceRows: slicePixels } = sliceRows({
    rows: pixels,
    rowTurns: 0,
    rowPixels: 1,
    tiles: tilesOfSlice,
    size: rows * 4 * quads,
    busy: Math.min(BUSY_WORKGROUPS, tilesOfSlice * Math.ceil(pixels / LEAST_SLICE)),
  });
  const tiles = slices * tilesOfSlice;
  inSlices(scope, tensors.dWeight, { slices, rows, padded: 4 * quads }, (target) => {
    scope.dispatch(tiledKernel({ ...tile }), {
      buffers: [x, dY, target],
      params: {
        ...naiveParams(size),
        pixel_quads: groups * quads,
        quads,
        output_quads: groups * groupQuads,
        group_quads: groupQuads,
        pixels,
        slice_pixels: slicePixels,
        groups,
        row_tiles: rowTiles,
        column_tiles: columnTiles,
        tiles,
      },
      workgroups: gridFor(tiles, 1),
    });
  });
}

/**
 * Records the gradient of a depthwise weight, whose groups have one channel each.
 *
 * @param ctx Where to record.
 * @param tensors The tensors.
 * @param size Lengths of the convolution.
 */
export function depthwiseWeightGradient(
  ctx: GpuContext,
  tensors: WeightGradientTensors,
  size: ConvSize,
): void {
  const { batch, kernelHeight, kernelWidth, outHeight, outWidth, outputs } = size;
  const { isSoftware } = ctx.gpu.adapter;
  const axis = { stride: size.strideX, dilation: size.dilationX };
  const shared = sharedTaps(kernelWidth)[0]!;
  const window = windowOf(DEPTHWISE_PIXELS, shared, axis);
  const tapRows = kernelHeight * shared <= DEPTHWISE_TAPS ? kernelHeight : 1;
  const tapTiles = kernelWidth / shared;
  const quads = quadsOf(outputs);
  const tiles = quads * tapTiles * kernelHeight / tapRows;
  const rowSegments = Math.ceil(outWidth / SEGMENT_COLUMNS);
  const segments = batch * outHeight * rowSegments;
  const { slices, sliceRows: sliceSegments } = sliceRows({
    rows: segments,
    rowTurns: SEGMENT_COLUMNS / DEPTHWISE_PIXELS + 1,
    rowPixels: Math.min(outWidth, SEGMENT_COLUMNS),
    tiles,
    size: tensors.dWeight.size,
    busy: isSoftware ? BUSY_TILES : BUSY_INVOCATIONS,
  });
  const vector = outputs === size.channels && outputs % 4 === 0;
  const workgroup = isSoftware ? REGISTER_LANES : 64;
  const kernel = depthwiseKernel({
    ROWS: tapRows,
    TAPS: shared,
    PIXELS: DEPTHWISE_PIXELS,
    WINDOW: window.length,
    PIXEL_STEP: window.pixelStep,
    TAP_STEP: window.tapStep,
    VECTOR: vector ? 1 : 0,
  });
  const { x, dY } = tensors;
  const rows = tensors.dWeight.size;
  inSlices(ctx, tensors.dWeight, { slices, rows, padded: 1 }, (target) => {
    ctx.dispatch(kernel, {
      buffers: [x, x, dY, dY, target],
      params: {
        ...naiveParams(size),
        channels: size.channels,
        multiplier: size.groupOutputs,
        place: window.place,
        row_segments: rowSegments,
        segment_columns: SEGMENT_COLUMNS,
        segments,
        slice_segments: sliceSegments,
        tap_rows: kernelHeight / tapRows,
        tap_tiles: tapTiles,
        quads,
        slices,
      },
      workgroups: gridFor(slices * tiles, workgroup),
      overrides: { WORKGROUP: workgroup },
    });
  });
}
