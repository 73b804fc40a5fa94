/**
 * The gradient of a convolution's weight.
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
import { hostFloats } from "../_arguments.ts";
import { type OutOption, outputOf } from "../_out.ts";
import { packed, quadsOf } from "../_pack.ts";
import { type ProductOptions, productVariant, REGISTER_LANES } from "../_products.ts";
import { unrolled } from "../_unroll.ts";
import { convSide, type RowSlices, sliceRows, weightTile, windowOf } from "./_plan.ts";
import {
  type ConvGeometry,
  type ConvSize,
  convSize,
  naiveParams,
  requireMaps,
  requireOutputGradient,
  SIZE_PARAMS,
} from "./_size.ts";
import { conv2dWeightGradientReference } from "./reference.ts";
import addSource from "./conv2d_add_slices.wgsl" with { type: "text" };
import naiveSource from "./conv2d_weight_gradient_naive.wgsl" with { type: "text" };
import registerSource from "./conv2d_weight_gradient_register.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "conv2d_weight_gradient_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write"],
  params: { ...SIZE_PARAMS, pixels: "u32", slice_pixels: "u32", slices: "u32" },
};

const registerKernel = unrolled({
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

const ADD_SLICES: Kernel = {
  name: "conv2d_add_slices",
  wgsl: addSource,
  bindings: ["read", "read_write"],
  params: { count: "u32", slices: "u32", rows: "u32", channels: "u32", padded: "u32" },
};

/** Tiles at work at once that keep a few cores busy. */
const BUSY_TILES = 128;

/** Longest run of pixels between two cuts. */
const SEGMENT_COLUMNS = 256;

/** Tensors of {@linkcode conv2dWeightGradient}. */
export interface Conv2dWeightGradientInputs {
  /** The convolution's images, f32 [N, H, W, C]. */
  readonly x: Tensor;
  /** Gradient of the output, f32 [N, OH, OW, O]. */
  readonly dY: Tensor;
}

/** Options of {@linkcode conv2dWeightGradient}. */
export interface Conv2dWeightGradientOptions
  extends ConvGeometry, OutOption, Pick<ProductOptions, "variant" | "side"> {
  /** Height and width of the kernel. */
  readonly kernel: readonly [height: number, width: number];
}

/**
 * The gradient of the weight of `conv2d`, for the gradient of its output.
 *
 * dWeight[o, ky, kx, c] is the sum over all images and outputs of dY[n, oy, ox, o] times the pixel
 * that the tap saw. The pixels are summed in f32 in slices, and the slices added in their order: two
 * runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs Images, and gradient of the output.
 * @param options The convolution's geometry, size of the kernel, where to write, and a forced
 * variant.
 * @returns f32 [O, KH, KW, C / groups]; `out` when it is given.
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the geometry is impossible, or a forced variant does not exist.
 *
 * @example Two taps that saw two pixels each
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { conv2dWeightGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3]), [1, 1, 3, 1]);
 * const dY = host.upload(new Float32Array([1, 10]), [1, 1, 2, 1]);
 * const dWeight = conv2dWeightGradient(host, { x, dY }, { kernel: [1, 2] });
 * assertEquals([...dWeight.data], [21, 32]);
 * ```
 */
export function conv2dWeightGradient(
  ctx: Context,
  inputs: Conv2dWeightGradientInputs,
  options: Conv2dWeightGradientOptions,
): Tensor {
  const kernel = "conv2dWeightGradient";
  const { x, dY } = inputs;
  const [batch, height, width, channels] = requireMaps(x, ["N", "H", "W", "C"], {
    kernel,
    name: "x",
  });
  const [, , , outputs] = requireMaps(dY, ["N", "OH", "OW", "O"], { kernel, name: "dY" });
  const size = convSize(kernel, {
    batch,
    size: [height, width],
    channels,
    outputs,
    kernel: options.kernel,
  }, options);
  requireOutputGradient(dY, size, kernel);
  const shape = [outputs, size.kernelHeight, size.kernelWidth, size.groupChannels];
  const dWeight = outputOf(ctx, options.out, { kernel, name: "out", shape });
  if (isGpu(ctx)) {
    runOnGpu(ctx, { ...inputs, dWeight }, { ...options, size });
    return dWeight;
  }
  const host = { x: hostFloats(x), dY: hostFloats(dY) };
  hostFloats(dWeight).set(conv2dWeightGradientReference(host, size));
  return dWeight;
}

type Tensors = Conv2dWeightGradientInputs & { readonly dWeight: Tensor };

function runOnGpu(
  ctx: GpuContext,
  tensors: Tensors,
  options: Conv2dWeightGradientOptions & { readonly size: ConvSize },
): void {
  const { size } = options;
  const variant = productVariant(ctx, "conv2dWeightGradient", options);
  const whole = size.groupOutputs % 4 === 0 && (size.groups === 1 || size.groupChannels % 4 === 0);
  if (variant === "naive" || (size.groups > 1 && !whole)) {
    runNaive(ctx, tensors, size);
  } else {
    runRegister(ctx, tensors, options);
  }
}

/** Lets a kernel write all slices, then adds them; one slice without padding is the result itself. */
function inSlices(
  ctx: GpuContext,
  dWeight: Tensor,
  parts: { readonly slices: number; readonly rows: number; readonly padded: number },
  record: (target: Tensor) => void,
): void {
  const { slices, rows, padded } = parts;
  const channels = dWeight.shape[3]!;
  if (slices === 1 && rows * padded === dWeight.size) {
    record(dWeight);
    return;
  }
  using target = ctx.empty([slices, rows, padded], "f32", { label: "slices" });
  record(target);
  ctx.dispatch(ADD_SLICES, {
    buffers: [target, dWeight],
    params: { count: dWeight.size, slices, rows, channels, padded },
    workgroups: gridFor(dWeight.size, 64),
  });
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

function runRegister(
  ctx: GpuContext,
  tensors: Tensors,
  options: Conv2dWeightGradientOptions & { readonly size: ConvSize },
): void {
  const size = flattened(options.size);
  const { kernelHeight, kernelWidth, groups } = size;
  const taps = kernelHeight * kernelWidth;
  using scope = ctx.scope();
  const { batch, height, width, outHeight, outWidth } = size;
  const x = packed(scope, tensors.x, {
    rows: batch * height * width * groups,
    k: size.groupChannels,
  });
  const dY = packed(scope, tensors.dY, {
    rows: batch * outHeight * outWidth * groups,
    k: size.groupOutputs,
  });
  const quads = quadsOf(size.groupChannels);
  const groupQuads = quadsOf(size.groupOutputs);
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
  inSlices(ctx, tensors.dWeight, parts, (target) => {
    ctx.dispatch(kernel, {
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

function runNaive(ctx: GpuContext, { x, dY, dWeight }: Tensors, size: ConvSize): void {
  const pixels = size.batch * size.outHeight * size.outWidth;
  const { slices, sliceRows: slicePixels } = sliceRows({
    rows: pixels,
    rowTurns: 0,
    rowPixels: 1,
    tiles: dWeight.size,
    size: dWeight.size,
    busy: BUSY_TILES,
  });
  const rows = dWeight.size / size.groupChannels;
  inSlices(ctx, dWeight, { slices, rows, padded: size.groupChannels }, (target) => {
    ctx.dispatch(NAIVE, {
      buffers: [x, dY, target],
      params: { ...naiveParams(size), pixels, slice_pixels: slicePixels, slices },
      workgroups: gridFor(slices * dWeight.size, 64),
    });
  });
}
