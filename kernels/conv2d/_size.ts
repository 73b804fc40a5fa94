/**
 * Geometry of a convolution: its checks, and all lengths in one record.
 *
 * @module
 */

import { ShapeError, type Tensor } from "../../runtime/mod.ts";
import { requireDType, requireShape } from "../_arguments.ts";

/** How a kernel moves over an image. */
export interface ConvGeometry {
  /** Pixels between neighbouring outputs, along y and x; 1 by default. */
  readonly stride?: readonly [y: number, x: number] | undefined;
  /** Rows and columns of zeros around the image; 0 by default. */
  readonly padding?:
    | readonly [top: number, left: number, bottom: number, right: number]
    | undefined;
  /** Pixels between neighbouring taps, along y and x; 1 by default. */
  readonly dilation?: readonly [y: number, x: number] | undefined;
  /** Groups of channels that do not see each other; 1 by default. */
  readonly groups?: number | undefined;
}

/** All lengths of a convolution. */
export interface ConvSize {
  /** Images, N. */
  readonly batch: number;
  /** Rows of an image, H. */
  readonly height: number;
  /** Columns of an image, W. */
  readonly width: number;
  /** Channels of an image, C. */
  readonly channels: number;
  /** Channels of the output, O. */
  readonly outputs: number;
  /** Rows of the kernel, KH. */
  readonly kernelHeight: number;
  /** Columns of the kernel, KW. */
  readonly kernelWidth: number;
  /** Rows of the output, OH. */
  readonly outHeight: number;
  /** Columns of the output, OW. */
  readonly outWidth: number;
  /** Rows between neighbouring outputs. */
  readonly strideY: number;
  /** Columns between neighbouring outputs. */
  readonly strideX: number;
  /** Rows of zeros above the image. */
  readonly top: number;
  /** Columns of zeros left of the image. */
  readonly left: number;
  /** Rows between neighbouring taps. */
  readonly dilationY: number;
  /** Columns between neighbouring taps. */
  readonly dilationX: number;
  /** Number of groups. */
  readonly groups: number;
  /** Channels of a group. */
  readonly groupChannels: number;
  /** Outputs of a group. */
  readonly groupOutputs: number;
}

/** Taps of a kernel at most: one output must keep within the loops of a software adapter. */
const MAX_TAPS = 4096;

function requireWhole(
  kernel: string,
  values: Readonly<Record<string, readonly number[]>>,
  least: number,
): void {
  for (const [name, numbers] of Object.entries(values)) {
    if (numbers.every((value) => Number.isInteger(value) && value >= least)) continue;
    throw new RangeError(
      `Cannot run ${kernel}: "${name}" must be whole numbers of at least ${least}: it is ${
        numbers.join(", ")
      }`,
    );
  }
}

/** Length of the output along one axis. */
function outputLength(
  length: number,
  kernel: number,
  axis: { stride: number; before: number; after: number; dilation: number },
): number {
  const reach = axis.dilation * (kernel - 1) + 1;
  return Math.floor((length + axis.before + axis.after - reach) / axis.stride) + 1;
}

interface Axes {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;
  readonly out: readonly [number, number];
}

function axesOf(
  name: string,
  lengths: { readonly size: readonly [number, number]; readonly kernel: readonly [number, number] },
  geometry: ConvGeometry,
): Axes {
  const { stride = [1, 1], padding = [0, 0, 0, 0], dilation = [1, 1], groups = 1 } = geometry;
  const { size, kernel } = lengths;
  requireWhole(name, { stride, dilation, kernel, size, groups: [groups] }, 1);
  requireWhole(name, { padding }, 0);
  if (kernel[0] * kernel[1] > MAX_TAPS) {
    throw new RangeError(
      `Cannot run ${name}: a kernel of ${kernel[0]} x ${kernel[1]} has more than ${MAX_TAPS} taps`,
    );
  }
  const along = (axis: 0 | 1) =>
    outputLength(size[axis], kernel[axis], {
      stride: stride[axis],
      before: padding[axis],
      after: padding[axis + 2]!,
      dilation: dilation[axis],
    });
  const out = [along(0), along(1)] as const;
  if (out[0] < 1 || out[1] < 1) {
    throw new RangeError(
      `Cannot run ${name}: a kernel of ${kernel[0]} x ${kernel[1]} with dilation ${dilation[0]}, ${
        dilation[1]
      } is larger than the padded image of ${size[0] + padding[0] + padding[2]} x ${
        size[1] + padding[1] + padding[3]
      }`,
    );
  }
  return { stride, padding, dilation, groups, out };
}

/**
 * Height and width of a convolution's output.
 *
 * @param size Height and width of the image.
 * @param kernel Height and width of the kernel.
 * @param geometry Stride, padding and dilation.
 * @returns floor((length + padding - dilation (kernel - 1) - 1) / stride) + 1 along both axes.
 * @throws {RangeError} When a number is not whole or too small, or the kernel is larger than the
 * padded image.
 *
 * @example Half the size
 * ```ts
 * import { convOutputSize } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const size = convOutputSize([32, 32], [3, 3], { stride: [2, 2], padding: [1, 1, 1, 1] });
 * assertEquals(size, [16, 16]);
 * ```
 */
export function convOutputSize(
  size: readonly [height: number, width: number],
  kernel: readonly [height: number, width: number],
  geometry: ConvGeometry = {},
): [height: number, width: number] {
  const { out } = axesOf("convOutputSize", { size, kernel }, geometry);
  return [...out];
}

/**
 * Checks lengths and geometry, and puts them into one record.
 *
 * @param name The operation's name.
 * @param lengths Images, their size and channels, outputs, and the kernel's size.
 * @param geometry Stride, padding, dilation and groups.
 * @returns The record.
 * @throws {RangeError} When they do not fit together.
 */
export function convSize(
  name: string,
  lengths: {
    readonly batch: number;
    readonly size: readonly [number, number];
    readonly channels: number;
    readonly outputs: number;
    readonly kernel: readonly [number, number];
  },
  geometry: ConvGeometry,
): ConvSize {
  const { batch, size, channels, outputs, kernel } = lengths;
  const { stride, padding, dilation, groups, out } = axesOf(name, { size, kernel }, geometry);
  if (channels < 1 || outputs < 1 || channels % groups !== 0 || outputs % groups !== 0) {
    throw new RangeError(
      `Cannot run ${name}: ${groups} groups must divide ${channels} channels and ${outputs} outputs`,
    );
  }
  return {
    batch,
    height: size[0],
    width: size[1],
    channels,
    outputs,
    kernelHeight: kernel[0],
    kernelWidth: kernel[1],
    outHeight: out[0],
    outWidth: out[1],
    strideY: stride[0],
    strideX: stride[1],
    top: padding[0],
    left: padding[1],
    dilationY: dilation[0],
    dilationX: dilation[1],
    groups,
    groupChannels: channels / groups,
    groupOutputs: outputs / groups,
  };
}

/**
 * Checks a tensor of feature maps or of a weight.
 *
 * @returns Its four lengths.
 * @throws {DTypeError} When it does not hold f32.
 * @throws {ShapeError} When it has not four axes, or an axis of another length.
 */
export function requireMaps(
  tensor: Tensor,
  expected: readonly (number | string)[],
  argument: { readonly kernel: string; readonly name: string },
): readonly [number, number, number, number] {
  requireDType(tensor, "f32", argument);
  return requireShape(tensor, expected, argument) as readonly [number, number, number, number];
}

/**
 * Checks that a gradient has the shape of a convolution's output.
 *
 * @param tensor The gradient `dY`.
 * @param size The convolution.
 * @param kernel The operation's name.
 * @throws {ShapeError} When it differs.
 */
export function requireOutputGradient(tensor: Tensor, size: ConvSize, kernel: string): void {
  const { batch, outHeight, outWidth, outputs } = size;
  const expected = [batch, outHeight, outWidth, outputs];
  if (expected.every((length, axis) => tensor.shape[axis] === length)) return;
  throw new ShapeError(kernel, "dY", {
    expected: `[${expected.join(", ")}]`,
    actual: tensor.shape,
  });
}

/** Lengths of a convolution, for {@linkcode conv2dFlops} and {@linkcode conv2dBytes}. */
export interface ConvShape extends ConvGeometry {
  /** Number of images. */
  readonly batch: number;
  /** Height and width of an image. */
  readonly size: readonly [height: number, width: number];
  /** Channels of an image. */
  readonly channels: number;
  /** Channels of the output. */
  readonly outputs: number;
  /** Height and width of the kernel. */
  readonly kernel: readonly [height: number, width: number];
}

/**
 * Floating-point operations of a convolution; those of either gradient are as many. Taps that fall
 * into the padding count too.
 *
 * @param shape Its lengths.
 * @returns 2 N OH OW O KH KW C / groups.
 *
 * @example One output of nine taps
 * ```ts
 * import { conv2dFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const shape = { batch: 1, size: [3, 3], channels: 2, outputs: 1, kernel: [3, 3] } as const;
 * assertEquals(conv2dFlops(shape), 36);
 * ```
 */
export function conv2dFlops(shape: ConvShape): number {
  const size = convSize("conv2dFlops", shape, shape);
  return 2 * size.batch * size.outHeight * size.outWidth * size.outputs * size.kernelHeight *
    size.kernelWidth * size.groupChannels;
}

/**
 * Bytes that a convolution must move at least: image, weight and output once each; either gradient
 * must move as many.
 *
 * @param shape Its lengths.
 * @returns 4 (N H W C + O KH KW C / groups + N OH OW O).
 *
 * @example One output of nine taps
 * ```ts
 * import { conv2dBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const shape = { batch: 1, size: [3, 3], channels: 2, outputs: 1, kernel: [3, 3] } as const;
 * assertEquals(conv2dBytes(shape), 148);
 * ```
 */
export function conv2dBytes(shape: ConvShape): number {
  const size = convSize("conv2dBytes", shape, shape);
  const image = size.batch * size.height * size.width * size.channels;
  const weight = size.outputs * size.kernelHeight * size.kernelWidth * size.groupChannels;
  return 4 * (image + weight + size.batch * size.outHeight * size.outWidth * size.outputs);
}

/**
 * The lengths under the names that the naive kernels give them.
 *
 * @param size The convolution.
 * @returns Values of `Params`.
 */
export function naiveParams(size: ConvSize): Record<string, number> {
  return {
    height: size.height,
    width: size.width,
    channels: size.groupChannels,
    out_height: size.outHeight,
    out_width: size.outWidth,
    outputs: size.outputs,
    group_outputs: size.groupOutputs,
    kernel_height: size.kernelHeight,
    kernel_width: size.kernelWidth,
    stride_y: size.strideY,
    stride_x: size.strideX,
    top: size.top,
    left: size.left,
    dilation_y: size.dilationY,
    dilation_x: size.dilationX,
  };
}

/** Names and types of {@linkcode naiveParams}, in the order of the kernels' `Params`. */
export const SIZE_PARAMS = {
  height: "u32",
  width: "u32",
  channels: "u32",
  out_height: "u32",
  out_width: "u32",
  outputs: "u32",
  group_outputs: "u32",
  kernel_height: "u32",
  kernel_width: "u32",
  stride_y: "u32",
  stride_x: "u32",
  top: "u32",
  left: "u32",
  dilation_y: "u32",
  dilation_x: "u32",
} as const;
