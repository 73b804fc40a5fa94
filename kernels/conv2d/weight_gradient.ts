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
import { hostFloats, outputTensor } from "../_arguments.ts";
import type { OutOption } from "../_out.ts";
import { type ProductOptions, productVariant } from "../_products.ts";
import { sliceRows } from "./_plan.ts";
import {
  type ConvGeometry,
  type ConvSize,
  convSize,
  naiveParams,
  requireMaps,
  requireOutputGradient,
  SIZE_PARAMS,
} from "./_size.ts";
import { inSlices } from "./_slices.ts";
import {
  depthwiseWeightGradient,
  weightGradientRegister,
  type WeightGradientTensors,
  weightGradientTiled,
} from "./_weight_kernels.ts";
import { conv2dWeightGradientReference } from "./reference.ts";
import naiveSource from "./conv2d_weight_gradient_naive.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "conv2d_weight_gradient_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write"],
  params: { ...SIZE_PARAMS, pixels: "u32", slice_pixels: "u32", slices: "u32" },
};

/** Elements and slices at work at once that keep an adapter busy. */
const NAIVE_BUSY = 4096;

/** Tensors of {@linkcode conv2dWeightGradient}. */
export interface Conv2dWeightGradientInputs {
  /** The convolution's images, f32 [N, H, W, C]. */
  readonly x: Tensor;
  /** Gradient of the output, f32 [N, OH, OW, O]. */
  readonly dY: Tensor;
}

/** Options of {@linkcode conv2dWeightGradient}. */
export interface Conv2dWeightGradientOptions
  extends ConvGeometry, OutOption, Pick<ProductOptions, "variant" | "side" | "block"> {
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
  const dWeight = outputTensor(ctx, shape, { kernel, out: options.out });
  if (isGpu(ctx)) {
    runOnGpu(ctx, { ...inputs, dWeight }, { ...options, size });
    return dWeight;
  }
  const host = { x: hostFloats(x), dY: hostFloats(dY) };
  hostFloats(dWeight).set(conv2dWeightGradientReference(host, size));
  return dWeight;
}

function runOnGpu(
  ctx: GpuContext,
  tensors: WeightGradientTensors,
  options: Conv2dWeightGradientOptions & { readonly size: ConvSize },
): void {
  const { size } = options;
  const variant = productVariant(ctx, "conv2dWeightGradient", options);
  const { groups, groupChannels, groupOutputs } = size;
  const whole = groups === 1 || (groupOutputs % 4 === 0 && groupChannels % 4 === 0);
  if (variant !== "naive" && groups > 1 && groupChannels === 1) {
    depthwiseWeightGradient(ctx, tensors, size);
  } else if (variant === "naive" || !whole) {
    runNaive(ctx, tensors, size);
  } else {
    const record = variant === "tiled" ? weightGradientTiled : weightGradientRegister;
    record(ctx, tensors, options);
  }
}

function runNaive(
  ctx: GpuContext,
  { x, dY, dWeight }: WeightGradientTensors,
  size: ConvSize,
): void {
  const pixels = size.batch * size.outHeight * size.outWidth;
  const { slices, sliceRows: slicePixels } = sliceRows({
    rows: pixels,
    rowTurns: 0,
    rowPixels: 1,
    tiles: dWeight.size,
    size: dWeight.size,
    busy: NAIVE_BUSY,
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
