/**
 * The convolution.
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
import { hostFloats, outputTensor, requireVector } from "../_arguments.ts";
import type { OutOption } from "../_out.ts";
import { packed } from "../_pack.ts";
import { type ProductOptions, productVariant } from "../_products.ts";
import { gatherDense, gatherDepthwise } from "./_gather.ts";
import { channelChunks, type Gather, type GatherAxis } from "./_plan.ts";
import {
  type ConvGeometry,
  type ConvSize,
  convSize,
  naiveParams,
  requireMaps,
  SIZE_PARAMS,
} from "./_size.ts";
import { conv2dReference } from "./reference.ts";
import naiveSource from "./conv2d_naive.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "conv2d_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read", "read_write"],
  params: {
    count: "u32",
    ...SIZE_PARAMS,
    c_begin: "u32",
    c_end: "u32",
    accumulate: "u32",
    has_bias: "u32",
    relu: "u32",
  },
};

/** Tensors of {@linkcode conv2d}. */
export interface Conv2dInputs {
  /** Feature maps, f32 [N, H, W, C]. */
  readonly x: Tensor;
  /** f32 [O, KH, KW, C / groups]. */
  readonly weight: Tensor;
  /** f32 [O], added to every pixel. */
  readonly bias?: Tensor | undefined;
}

/** Options of {@linkcode conv2d}. */
export interface Conv2dOptions
  extends ConvGeometry, OutOption, Pick<ProductOptions, "variant" | "side" | "block"> {
  /** What happens to the sums: nothing by default, or `max(0, y)`. */
  readonly activation?: "none" | "relu" | undefined;
}

/**
 * The convolution (a cross-correlation, as in all networks) of feature maps, plus a bias, with an
 * optional ReLU.
 *
 * y[n, oy, ox, o] = bias[o] + sum over ky, kx, c of x[n, oy sy - top + ky dy, ox sx - left + kx dx,
 * g C / groups + c] weight[o, ky, kx, c], with zeros outside the image. Sums are taken in f32; two
 * runs give the same bits. Groups of one channel have a kernel of their own; other groups whose channels
 * are no multiple of four run on the naive one.
 *
 * @param ctx Where it runs.
 * @param inputs Feature maps, weight and bias.
 * @param options Geometry, activation, where to write, and a forced variant.
 * @returns f32 [N, OH, OW, O]; `out` when it is given.
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the geometry is impossible, or a forced variant does not exist.
 *
 * @example A sum of each pixel and its right neighbour, in a row of three
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { conv2d } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3]), [1, 1, 3, 1]);
 * const weight = host.upload(new Float32Array([1, 1]), [1, 1, 2, 1]);
 * const y = conv2d(host, { x, weight }, { padding: [0, 0, 0, 1] });
 * assertEquals(y.shape, [1, 1, 3, 1]);
 * assertEquals([...y.data], [3, 5, 3]);
 * ```
 */
export function conv2d(ctx: Context, inputs: Conv2dInputs, options: Conv2dOptions = {}): Tensor {
  const kernel = "conv2d";
  const { x, weight, bias } = inputs;
  const [batch, height, width, channels] = requireMaps(x, ["N", "H", "W", "C"], {
    kernel,
    name: "x",
  });
  const perGroup = channels / (options.groups ?? 1);
  const [outputs, kernelHeight, kernelWidth] = requireMaps(
    weight,
    ["O", "KH", "KW", Number.isInteger(perGroup) ? perGroup : "C / groups"],
    { kernel, name: "weight" },
  );
  const size = convSize(kernel, {
    batch,
    size: [height, width],
    channels,
    outputs,
    kernel: [kernelHeight, kernelWidth],
  }, options);
  if (bias !== undefined) requireVector(bias, { kernel, name: "bias", length: outputs });
  const shape = [batch, size.outHeight, size.outWidth, outputs];
  const y = outputTensor(ctx, shape, { kernel, out: options.out });
  const relu = options.activation === "relu";
  if (isGpu(ctx)) {
    runOnGpu(ctx, { ...inputs, y }, { ...options, size, relu });
    return y;
  }
  const values = conv2dReference({
    x: hostFloats(x),
    weight: hostFloats(weight),
    bias: bias && hostFloats(bias),
  }, size);
  hostFloats(y).set(relu ? values.map((value) => value < 0 ? 0 : value) : values);
  return y;
}

function runOnGpu(
  ctx: GpuContext,
  tensors: Conv2dInputs & { readonly y: Tensor },
  options: Conv2dOptions & { readonly size: ConvSize; readonly relu: boolean },
): void {
  const { size, relu } = options;
  const variant = productVariant(ctx, "conv2d", options);
  if (tensors.y.size === 0) return;
  const depthwise = size.groups > 1 && size.groupChannels === 1;
  const whole = size.groups === 1 || size.groupChannels % 4 === 0;
  if (variant === "naive" || !(whole || depthwise)) {
    runNaive(ctx, tensors, { size, relu });
    return;
  }
  using scope = ctx.scope();
  if (depthwise) {
    gatherDepthwise(scope, tensors, [gatherOf(size)], { relu, mirrored: false });
    return;
  }
  const { bias, y } = tensors;
  const taps = size.kernelHeight * size.kernelWidth;
  const pixels = size.batch * size.height * size.width;
  const x = packed(scope, tensors.x, { rows: pixels * size.groups, k: size.groupChannels });
  const weight = packed(scope, tensors.weight, {
    rows: size.outputs * taps,
    k: size.groupChannels,
  });
  gatherDense(scope, { x, weight, bias, y }, gatherOf(size), { ...options, variant, relu });
}

/** The convolution as the kernels see it. */
function gatherOf(size: ConvSize): Gather {
  const { batch, groups } = size;
  const axis = (of: {
    source: number;
    taps: number;
    before: number;
    stride: number;
    dilation: number;
    count: number;
  }): GatherAxis => ({
    source: of.source,
    taps: of.taps,
    origin: -of.before,
    stride: of.stride,
    dilation: of.dilation,
    count: of.count,
    target: of.count,
    targetFirst: 0,
    targetStep: 1,
    weight: of.taps,
    weightFirst: 0,
    weightStep: 1,
  });
  return {
    batch,
    groups,
    channels: size.groupChannels,
    outputs: size.groupOutputs,
    y: axis({
      source: size.height,
      taps: size.kernelHeight,
      before: size.top,
      stride: size.strideY,
      dilation: size.dilationY,
      count: size.outHeight,
    }),
    x: axis({
      source: size.width,
      taps: size.kernelWidth,
      before: size.left,
      stride: size.strideX,
      dilation: size.dilationX,
      count: size.outWidth,
    }),
  };
}

function runNaive(
  ctx: GpuContext,
  { x, weight, bias, y }: Conv2dInputs & { readonly y: Tensor },
  { size, relu }: { readonly size: ConvSize; readonly relu: boolean },
): void {
  const chunks = channelChunks(size.groupChannels, size.kernelHeight * (size.kernelWidth + 1));
  chunks.forEach(([begin, end], position) => {
    ctx.dispatch(NAIVE, {
      buffers: [x, weight, bias ?? x, y],
      params: {
        ...naiveParams(size),
        count: y.size,
        c_begin: begin,
        c_end: end,
        accumulate: position === 0 ? 0 : 1,
        has_bias: bias !== undefined && position === 0 ? 1 : 0,
        relu: relu && position === chunks.length - 1 ? 1 : 0,
      },
      workgroups: gridFor(y.size, 64),
    });
  });
}
