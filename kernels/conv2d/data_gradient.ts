/**
 * The gradient of a convolution's images.
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
import { hostFloats, outputTensor } from "../_arguments.ts";
import type { OutOption } from "../_out.ts";
import { packed, quadsOf } from "../_pack.ts";
import { type ProductOptions, productVariant } from "../_products.ts";
import { gatherDense, gatherDepthwise } from "./_gather.ts";
import { channelChunks, type Gather, type GatherAxis } from "./_plan.ts";
import {
  type ConvGeometry,
  type ConvSize,
  convSize,
  naiveParams,
  requireMaps,
  requireOutputGradient,
  SIZE_PARAMS,
} from "./_size.ts";
import { conv2dDataGradientReference } from "./reference.ts";
import naiveSource from "./conv2d_data_gradient_naive.wgsl" with { type: "text" };
import turnSource from "./conv2d_turn_weight.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "conv2d_data_gradient_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write"],
  params: { count: "u32", ...SIZE_PARAMS, o_begin: "u32", o_end: "u32", accumulate: "u32" },
};

const TURN: Kernel = {
  name: "conv2d_turn_weight",
  wgsl: turnSource,
  bindings: ["read", "read_write"],
  params: { count: "u32", taps: "u32", channels: "u32", outputs: "u32", padded: "u32" },
};

/** Tensors of {@linkcode conv2dDataGradient}. */
export interface Conv2dDataGradientInputs {
  /** Gradient of the output, f32 [N, OH, OW, O]. */
  readonly dY: Tensor;
  /** The convolution's weight, f32 [O, KH, KW, C / groups]. */
  readonly weight: Tensor;
}

/** Options of {@linkcode conv2dDataGradient}. */
export interface Conv2dDataGradientOptions
  extends ConvGeometry, OutOption, Pick<ProductOptions, "variant" | "side" | "block"> {
  /** Height and width of the images. */
  readonly size: readonly [height: number, width: number];
}

/**
 * The gradient of the images of `conv2d`, for the gradient of its output.
 *
 * dX[n, iy, ix, c] is the sum of dY[n, oy, ox, o] weight[o, ky, kx, c] over all taps and outputs
 * that saw the pixel; pixels that none saw get 0. Sums are taken in f32; two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs Gradient of the output, and the weight.
 * @param options The convolution's geometry, size of the images, where to write, and a forced
 * variant.
 * @returns f32 [N, H, W, C]; `out` when it is given.
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the geometry is impossible, or a forced variant does not exist.
 *
 * @example Every pixel but the last was seen by the first tap, every one but the first by the second
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { conv2dDataGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([1, 1]), [1, 1, 2, 1]);
 * const weight = host.upload(new Float32Array([1, 10]), [1, 1, 2, 1]);
 * const dX = conv2dDataGradient(host, { dY, weight }, { size: [1, 3] });
 * assertEquals([...dX.data], [1, 11, 10]);
 * ```
 */
export function conv2dDataGradient(
  ctx: Context,
  inputs: Conv2dDataGradientInputs,
  options: Conv2dDataGradientOptions,
): Tensor {
  const kernel = "conv2dDataGradient";
  const { dY, weight } = inputs;
  const [batch] = requireMaps(dY, ["N", "OH", "OW", "O"], { kernel, name: "dY" });
  const [outputs, kernelHeight, kernelWidth, groupChannels] = requireMaps(
    weight,
    ["O", "KH", "KW", "C / groups"],
    { kernel, name: "weight" },
  );
  const size = convSize(kernel, {
    batch,
    size: options.size,
    channels: groupChannels * (options.groups ?? 1),
    outputs,
    kernel: [kernelHeight, kernelWidth],
  }, options);
  requireOutputGradient(dY, size, kernel);
  const shape = [batch, size.height, size.width, size.channels];
  const dX = outputTensor(ctx, shape, { kernel, out: options.out });
  if (isGpu(ctx)) {
    runOnGpu(ctx, { ...inputs, dX }, { ...options, conv: size });
    return dX;
  }
  const host = { dY: hostFloats(dY), weight: hostFloats(weight) };
  hostFloats(dX).set(conv2dDataGradientReference(host, size));
  return dX;
}

function runOnGpu(
  ctx: GpuContext,
  tensors: Conv2dDataGradientInputs & { readonly dX: Tensor },
  options: Conv2dDataGradientOptions & { readonly conv: ConvSize },
): void {
  const { conv } = options;
  const variant = productVariant(ctx, "conv2dDataGradient", options);
  if (tensors.dX.size === 0) return;
  const depthwise = conv.groups > 1 && conv.groupChannels === 1;
  const whole = conv.groups === 1 || conv.groupOutputs % 4 === 0;
  if (variant === "naive" || !(whole || depthwise)) {
    runNaive(ctx, tensors, conv);
    return;
  }
  using scope = ctx.scope();
  const gathers = gathersOf(conv);
  if (depthwise) {
    const { dY: x, weight, dX: y } = tensors;
    gatherDepthwise(scope, { x, weight, y }, gathers, { mirrored: true });
    return;
  }
  const pixels = conv.batch * conv.outHeight * conv.outWidth;
  const x = packed(scope, tensors.dY, { rows: pixels * conv.groups, k: conv.groupOutputs });
  const weight = turned(scope, tensors.weight, conv);
  for (const gather of gathers) {
    gatherDense(scope, { x, weight, y: tensors.dX }, gather, { ...options, variant });
  }
}

/** The weight with inputs and outputs exchanged and its taps mirrored, [C, KH, KW, O padded]. */
function turned(ctx: GpuContext, weight: Tensor, conv: ConvSize): Tensor {
  const { kernelHeight, kernelWidth, groupChannels, groupOutputs } = conv;
  const padded = 4 * quadsOf(groupOutputs);
  const result = ctx.empty([conv.channels, kernelHeight, kernelWidth, padded], "f32", {
    label: "turned weight",
  });
  ctx.dispatch(TURN, {
    buffers: [weight, result],
    params: {
      count: result.size,
      taps: kernelHeight * kernelWidth,
      channels: groupChannels,
      outputs: groupOutputs,
      padded,
    },
    workgroups: gridFor(result.size, 64),
  });
  return result;
}

/** Lengths of one axis of a convolution. */
interface Axis {
  readonly length: number;
  readonly kernel: number;
  readonly before: number;
  readonly stride: number;
  readonly dilation: number;
  readonly out: number;
}

/**
 * One convolution of dY for each remainder of the pixels by the strides: only the taps with the
 * right remainder see a pixel, and among those that do, neighbours lie evenly.
 */
function gathersOf(conv: ConvSize): Gather[] {
  const rows = axesOf({
    length: conv.height,
    kernel: conv.kernelHeight,
    before: conv.top,
    stride: conv.strideY,
    dilation: conv.dilationY,
    out: conv.outHeight,
  });
  const columns = axesOf({
    length: conv.width,
    kernel: conv.kernelWidth,
    before: conv.left,
    stride: conv.strideX,
    dilation: conv.dilationX,
    out: conv.outWidth,
  });
  const { batch, groups } = conv;
  return rows.flatMap((y) =>
    columns.map((x) => ({
      batch,
      groups,
      channels: conv.groupOutputs,
      outputs: conv.groupChannels,
      y,
      x,
    }))
  );
}

function axesOf(axis: Axis): GatherAxis[] {
  const { length, kernel, before, stride, dilation } = axis;
  const axes: GatherAxis[] = [];
  for (let first = 0; first < Math.min(stride, length); first++) {
    const taps = Array.from({ length: kernel }, (_, tap) => tap)
      .filter((tap) => (first + before - tap * dilation) % stride === 0);
    const step = taps.length > 1 ? taps[1]! - taps[0]! : 1;
    // Mirrored, the last tap comes first.
    const last = taps.at(-1) ?? 0;
    axes.push({
      source: axis.out,
      taps: taps.length,
      origin: taps.length === 0 ? 0 : (first + before - last * dilation) / stride,
      stride: 1,
      dilation: step * dilation / stride,
      count: Math.ceil((length - first) / stride),
      target: length,
      targetFirst: first,
      targetStep: stride,
      weight: kernel,
      weightFirst: kernel - 1 - last,
      weightStep: step,
    });
  }
  return axes;
}

function runNaive(
  ctx: GpuContext,
  { dY, weight, dX }: Conv2dDataGradientInputs & { readonly dX: Tensor },
  conv: ConvSize,
): void {
  const chunks = channelChunks(conv.groupOutputs, conv.kernelHeight * (conv.kernelWidth + 1));
  chunks.forEach(([begin, end], position) => {
    ctx.dispatch(NAIVE, {
      buffers: [dY, weight, dX],
      params: {
        ...naiveParams(conv),
        count: dX.size,
        o_begin: begin,
        o_end: end,
        accumulate: position === 0 ? 0 : 1,
      },
      workgroups: gridFor(dX.size, 64),
    });
  });
}
