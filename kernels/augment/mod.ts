/**
 * Augmentation of image batches: bytes in, a network's input out.
 *
 * @module
 */

import { type Context, gridFor, isGpu, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import type { OutOption } from "../_out.ts";
import type { PreprocessSpec } from "../preprocess/spec.ts";
import { augmentReference } from "./reference.ts";
import source from "./augment.wgsl" with { type: "text" };
import naiveSource from "./augment_naive.wgsl" with { type: "text" };

const LAYOUT: Omit<Kernel, "name" | "wgsl"> = {
  bindings: ["read", "read", "read_write"],
  params: {
    count: "u32",
    rows: "u32",
    columns: "u32",
    factor0: "f32",
    factor1: "f32",
    factor2: "f32",
    summand0: "f32",
    summand1: "f32",
    summand2: "f32",
  },
};

const NAIVE: Kernel = { ...LAYOUT, name: "augment_naive", wgsl: naiveSource };
const QUADS: Kernel = { ...LAYOUT, name: "augment", wgsl: source };

const SOFTWARE_WORKGROUP = 8;
const GPU_WORKGROUP = 64;

/** Kernels of {@linkcode augment}: a pixel per invocation, the baseline, or four. */
export type AugmentVariant = "naive" | "quads";

/** Tensors of {@linkcode augment}. */
export interface AugmentInputs {
  /** Bytes of RGB pixels [N, H, W, 3], tightly packed, four to a word: u32 [ceil(N H W 3 / 4)]. */
  readonly pixels: Tensor;
  /** For each image: dy, dx, and whether to flip (not 0), i32 [N, 3]. */
  readonly draws: Tensor;
}

/** Options of {@linkcode augment}. */
export interface AugmentOptions extends OutOption {
  /** Rows of an image. */
  readonly height: number;
  /** Columns of an image. */
  readonly width: number;
  /** What the network wants: channel order, range, mean and scale. */
  readonly spec: Pick<PreprocessSpec, "channels" | "range" | "mean" | "scale">;
  /** Forces a variant; `quads` where the width is a multiple of four by default. */
  readonly variant?: AugmentVariant;
}

/** Sizes of a batch, for {@linkcode augmentFlops} and {@linkcode augmentBytes}. */
export interface AugmentShape {
  /** Number of images. */
  readonly images: number;
  /** Rows of an image. */
  readonly height: number;
  /** Columns of an image. */
  readonly width: number;
}

/**
 * Shifts, flips and normalises images: a crop at (dy, dx) of the image padded with black, mirrored
 * where drawn, then `(value / 255 * range - mean) / scale` for each channel.
 *
 * `output[n, i, j] = image[n, i + dy, j + dx]`, with `W - 1 - j` for `j` in a mirrored image; 0 beyond
 * the image. One dispatch; the draws come from the caller, so that a replayed step can change them.
 *
 * @param ctx Where it runs.
 * @param inputs The images' bytes, and the draws.
 * @param options Size, normalisation, where the result goes, and a forced variant.
 * @returns f32 [N, H, W, 3], channels last, in the order of `spec.channels`.
 * @throws {ShapeError} When `draws` is not [N, 3], `pixels` has not as many words as N images take, or
 * `out` has another shape.
 * @throws {DTypeError} When `pixels` does not hold u32, or `draws` i32.
 * @throws {RangeError} When a size is no positive whole number, or the forced variant does not exist
 * or does not take the width.
 *
 * @example Two pixels, mirrored
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { augment } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 0, 0]);
 * const pixels = host.upload(new Uint32Array(bytes.buffer), [2]);
 * const draws = host.upload(new Int32Array([0, 0, 1]), [1, 3]);
 * const spec = { channels: "RGB", range: 255, mean: [0, 0, 0], scale: [1, 1, 1] } as const;
 * const x = augment(host, { pixels, draws }, { height: 1, width: 2, spec });
 * assertEquals([...x.data], [4, 5, 6, 1, 2, 3]);
 * ```
 */
export function augment(ctx: Context, inputs: AugmentInputs, options: AugmentOptions): Tensor {
  const kernel = "augment";
  const { pixels, draws } = inputs;
  const { height, width, spec } = options;
  for (const [name, value] of Object.entries({ height, width })) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new RangeError(
        `Cannot run ${kernel}: "${name}" must be a whole number of at least 1: it is ${value}`,
      );
    }
  }
  requireDType(draws, "i32", { kernel, name: "draws" });
  const [images] = requireShape(draws, ["N", 3], { kernel, name: "draws" }) as [number, number];
  requireDType(pixels, "u32", { kernel, name: "pixels" });
  const words = Math.ceil(images * height * width * 3 / 4);
  requireShape(pixels, [words], { kernel, name: "pixels" });
  const shape = [images, height, width, 3];
  const output = outputTensor(ctx, shape, { kernel, out: options.out });
  if (!isGpu(ctx)) {
    const { data } = pixels;
    augmentReference(
      {
        bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
        draws: draws.data as Int32Array,
      },
      hostFloats(output),
      {
        height,
        width,
        colours: spec.channels === "BGR" ? [2, 1, 0] : [0, 1, 2],
        valueOf: (byte, channel) =>
          (byte / 255 * spec.range - spec.mean[channel]!) / spec.scale[channel]!,
      },
    );
    return output;
  }
  const variant = options.variant ?? ctx.gpu.variants[kernel] ??
    (width % 4 === 0 ? "quads" : "naive");
  const naive = variant === "naive";
  if (!naive && (variant !== "quads" || width % 4 !== 0)) {
    throw new RangeError(
      `Cannot run ${kernel}: the variant "${variant}" must be naive, or quads for a width of whole ` +
        `fours: it is ${width}`,
    );
  }
  const workgroup = ctx.gpu.adapter.isSoftware ? SOFTWARE_WORKGROUP : GPU_WORKGROUP;
  const count = images * height * width / (naive ? 1 : 4);
  const factors = spec.scale.map((scale) => spec.range / (255 * scale));
  const summands = spec.mean.map((mean, channel) => -mean / spec.scale[channel]!);
  ctx.dispatch(naive ? NAIVE : QUADS, {
    buffers: [pixels, draws, output],
    params: {
      count,
      rows: height,
      columns: width,
      factor0: factors[0]!,
      factor1: factors[1]!,
      factor2: factors[2]!,
      summand0: summands[0]!,
      summand1: summands[1]!,
      summand2: summands[2]!,
    },
    workgroups: gridFor(count, naive ? 64 : workgroup),
    overrides: { BGR: spec.channels === "BGR" ? 1 : 0, ...(naive ? {} : { WORKGROUP: workgroup }) },
  });
  return output;
}

/**
 * Floating-point operations of {@linkcode augment}: a product and a sum per element.
 *
 * @param shape The batch.
 * @returns The number of operations.
 *
 * @example One small image
 * ```ts
 * import { augmentFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(augmentFlops({ images: 1, height: 2, width: 2 }), 24);
 * ```
 */
export function augmentFlops({ images, height, width }: AugmentShape): number {
  return 6 * images * height * width;
}

/**
 * Bytes that {@linkcode augment} must move: three bytes of a pixel in, three numbers out.
 *
 * @param shape The batch.
 * @returns The number of bytes.
 *
 * @example One small image
 * ```ts
 * import { augmentBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(augmentBytes({ images: 1, height: 2, width: 2 }), 60);
 * ```
 */
export function augmentBytes({ images, height, width }: AugmentShape): number {
  return 15 * images * height * width;
}
