/**
 * Images to a model's input: resize as PIL does, centre crop, normalise, planes.
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
  UserError,
} from "../../runtime/mod.ts";
import { axesOf, outputSize } from "./_geometry.ts";
import {
  type Group,
  packUpload,
  planBatch,
  type PlanLimits,
  type PlanWords,
  planWords,
  type Upload,
} from "./_plan.ts";
import columnsSource from "./preprocess_columns.wgsl" with { type: "text" };
import directSource from "./preprocess_direct.wgsl" with { type: "text" };
import naiveSource from "./preprocess_naive.wgsl" with { type: "text" };
import rowsSource from "./preprocess_rows.wgsl" with { type: "text" };
import { preprocessReference, requireImage } from "./reference.ts";
import type { ImageSize, PreprocessSpec, RgbImage } from "./spec.ts";

export * from "./matrices.ts";
export { preprocessedSize, preprocessReference, resizeReference } from "./reference.ts";
export * from "./spec.ts";

/** How `preprocessImages` computes. */
export type PreprocessVariant = "passes" | "naive";

/** Options of {@linkcode preprocessImages}. */
export interface PreprocessOptions {
  /** The kernels to use; default `passes`, or what the Gpu was opened with for `preprocess`. */
  readonly variant?: PreprocessVariant;
  /** Bytes of pixels in one upload; default 32 MiB. Larger batches and images go in parts. */
  readonly uploadBytes?: number;
}

const CHANNELS = 3;
const DEFAULT_UPLOAD_BYTES = 1 << 25;
/** Uploads on the GPU at once. */
const UPLOADS_PER_GROUP = 4;
const MAX_MIDDLE_PIXELS = 1 << 24;
/** Invocations of a workgroup; lavapipe does 8 and 64 equally fast. */
const WORKGROUP = 64;

/** Mixing columns, the first resize pass. */
const COLUMNS_KERNEL: Kernel = {
  name: "preprocess_columns",
  wgsl: columnsSource,
  bindings: ["read", "read", "read_write"],
  params: { jobs: "u32", columns: "u32" },
};

/** Mixing rows, the second resize pass, then normalising. */
const ROWS_KERNEL: Kernel = {
  name: "preprocess_rows",
  wgsl: rowsSource,
  bindings: ["read", "read", "read_write"],
  params: { images: "u32", columns: "u32", rows: "u32" },
};

/** Normalising alone. */
const DIRECT_KERNEL: Kernel = {
  name: "preprocess_direct",
  wgsl: directSource,
  bindings: ["read", "read", "read_write"],
  params: { jobs: "u32", columns: "u32", rows: "u32" },
};

/** All at once. */
const NAIVE_KERNEL: Kernel = {
  name: "preprocess_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write"],
  params: { jobs: "u32", columns: "u32", rows: "u32" },
};

/**
 * A batch of images of any sizes as a model's input: resized as PIL resizes 8-bit images
 * (antialiased; to the byte), cropped as torchvision crops, normalised, in planes.
 *
 * Resizing is done in whole numbers and normalising through a table made in float64, so that GPU
 * and reference write the same bits. Only the rows and columns that the crop needs are computed; a
 * batch takes two dispatches, one where no image needs a resize.
 *
 * @param ctx Where to run.
 * @param images The batch, at least one image.
 * @param spec What is done to each.
 * @param options The variant, and how much is uploaded at a time.
 * @returns f32 `[images, 3, height, width]`.
 * @throws {RangeError} When the batch is empty or an image lacks pixels.
 * @throws {UserError} When the images come out in different sizes.
 *
 * @example Two sizes, one batch
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { preprocessImages } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const images = [[4, 6], [9, 5]].map(([width, height]) => ({
 *   width: width!,
 *   height: height!,
 *   data: new Uint8Array(width! * height! * 3),
 * }));
 * const input = preprocessImages(host, images, {
 *   resize: { shorter: 4 },
 *   crop: { width: 4, height: 4 },
 *   interpolation: "bicubic",
 *   channels: "BGR",
 *   range: 255,
 *   mean: [104, 117, 123],
 *   scale: [1, 1, 1],
 *   layout: "NCHW",
 * });
 * assertEquals(input.shape, [2, 3, 4, 4]);
 * assertEquals(input.data[0], -104);
 * ```
 */
export function preprocessImages(
  ctx: Context,
  images: readonly RgbImage[],
  spec: PreprocessSpec,
  options: PreprocessOptions = {},
): Tensor {
  const size = commonSize(images, spec);
  const shape = [images.length, CHANNELS, size.height, size.width];
  if (!isGpu(ctx)) {
    const output = ctx.empty(shape, "f32", { label: "images" });
    const plane = CHANNELS * size.height * size.width;
    images.forEach((image, i) => output.data.set(preprocessReference(image, spec), i * plane));
    return output;
  }
  const variant = variantOf(ctx, options);
  const output = ctx.empty(shape, "f32", { label: "images" });
  for (const group of planBatch(images, spec, limitsOf(variant, options))) {
    using scope = ctx.scope();
    record(scope, stage(scope, group, spec), { spec, size, output, variant });
  }
  return output;
}

/** A batch of images whose pixels are on the GPU. */
export interface StagedImages {
  /** Shape of the model's input that it gives. */
  readonly shape: readonly [number, number, number, number];
  /**
   * Preprocesses the batch; it may be asked again.
   *
   * @param ctx The same GPU, or a scope of it.
   * @returns f32 `[images, 3, height, width]`, as {@linkcode preprocessImages} gives it.
   */
  preprocess(ctx: GpuContext): Tensor;
}

/**
 * Uploads a batch to preprocess it later: for measuring the kernels without the upload, or for
 * preprocessing the same images again.
 *
 * @param ctx The GPU; it owns the uploaded pixels.
 * @param images The batch, at least one image.
 * @param spec What will be done to each.
 * @param options As for {@linkcode preprocessImages}.
 * @returns The batch on the GPU.
 * @throws {RangeError} When the batch is empty or an image lacks pixels.
 * @throws {UserError} When the images come out in different sizes.
 *
 * @example Uploaded once, preprocessed twice
 * ```ts
 * import { Gpu } from "@oodgpu/oodgpu/runtime";
 * import { stageImages } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await Gpu.open();
 * using scope = gpu.scope();
 * const image = { width: 2, height: 2, data: new Uint8Array(12).fill(7) };
 * const staged = stageImages(scope, [image], {
 *   resize: { width: 3, height: 3 },
 *   interpolation: "bicubic",
 *   channels: "RGB",
 *   range: 255,
 *   mean: [0, 0, 0],
 *   scale: [1, 1, 1],
 *   layout: "NCHW",
 * });
 * const [a, b] = await scope.read(staged.preprocess(scope), staged.preprocess(scope));
 * assertEquals(a, new Float32Array(27).fill(7));
 * assertEquals(b, a);
 * ```
 */
export function stageImages(
  ctx: GpuContext,
  images: readonly RgbImage[],
  spec: PreprocessSpec,
  options: PreprocessOptions = {},
): StagedImages {
  const { width, height } = commonSize(images, spec);
  const variant = variantOf(ctx, options);
  const groups = planBatch(images, spec, limitsOf(variant, options))
    .map((group) => stage(ctx, group, spec));
  const shape = [images.length, CHANNELS, height, width] as const;
  return {
    shape,
    preprocess(ctx) {
      const output = ctx.empty(shape, "f32", { label: "images" });
      for (const group of groups) {
        using scope = ctx.scope();
        record(scope, group, { spec, size: { width, height }, output, variant });
      }
      return output;
    },
  };
}

function variantOf(ctx: GpuContext, options: PreprocessOptions): PreprocessVariant {
  const variant = options.variant ?? ctx.gpu.variants.preprocess ?? "passes";
  if (variant === "passes" || variant === "naive") return variant;
  throw new RangeError(`Cannot run preprocess: no variant "${variant}": expected passes, naive`);
}

function limitsOf(variant: PreprocessVariant, options: PreprocessOptions): PlanLimits {
  const uploadBytes = options.uploadBytes ?? DEFAULT_UPLOAD_BYTES;
  return {
    uploadBytes,
    groupBytes: UPLOADS_PER_GROUP * uploadBytes,
    middlePixels: MAX_MIDDLE_PIXELS,
    wholeImages: variant === "naive",
  };
}

/** A part of a batch on the GPU. */
interface StagedGroup {
  /** Its cut. */
  readonly group: Group;
  /** Where the parts of the plan begin. */
  readonly words: PlanWords;
  /** The plan on the GPU. */
  readonly plan: Tensor;
  /** The pixels on the GPU, by upload. */
  readonly pixels: readonly Tensor[];
}

function stage(ctx: GpuContext, group: Group, spec: PreprocessSpec): StagedGroup {
  const words = planWords(group, spec);
  return {
    group,
    words,
    plan: uploadPadded(ctx, words.words, "preprocess plan"),
    pixels: group.uploads.map((upload) => uploadPixels(ctx, group, upload)),
  };
}

/** What the groups of a batch share. */
interface Batch {
  readonly spec: PreprocessSpec;
  readonly size: ImageSize;
  readonly output: Tensor;
  readonly variant: PreprocessVariant;
}

function record(scope: GpuContext, staged: StagedGroup, batch: Batch): void {
  const { group, words, plan } = staged;
  const { width: columns, height: rows } = batch.size;
  const { output } = batch;
  const naive = batch.variant === "naive";
  const middle = scope.empty([naive ? 0 : steps(group.middlePixels)], "u32", {
    label: "preprocess middle",
  });
  const overrides = { WORKGROUP, BGR: batch.spec.channels === "BGR" ? 1 : 0 };
  group.uploads.forEach((upload, index) => {
    const pixels = staged.pixels[index]!;
    const gridOfJobs = (jobs: Upload["direct"]) => {
      const most = jobs.reduce((most, job) => Math.max(most, job.rows), 0);
      return gridOver(columns * most, jobs.length);
    };
    if (naive) {
      scope.dispatch(NAIVE_KERNEL, {
        buffers: [pixels, plan, output],
        params: { jobs: words.resizedJobs[index]!, columns, rows },
        workgroups: gridOver(columns * rows, upload.resized.length),
        overrides,
      });
      return;
    }
    scope.dispatch(COLUMNS_KERNEL, {
      buffers: [pixels, plan, middle],
      params: { jobs: words.resizedJobs[index]!, columns },
      workgroups: gridOfJobs(upload.resized),
      overrides: { WORKGROUP },
    });
    scope.dispatch(DIRECT_KERNEL, {
      buffers: [pixels, plan, output],
      params: { jobs: words.directJobs[index]!, columns, rows },
      workgroups: gridOfJobs(upload.direct),
      overrides,
    });
  });
  if (naive) return;
  scope.dispatch(ROWS_KERNEL, {
    buffers: [middle, plan, output],
    params: { images: words.images, columns, rows },
    workgroups: gridOver(columns * rows, group.resized),
    overrides,
  });
}

function gridOver(pixels: number, z: number): [number, number, number] {
  const [x, y] = gridFor(pixels, WORKGROUP);
  return [x, y, z];
}

/** Pixels on their way to the GPU; kept, because a fresh array of this size costs a page fault per page. */
let staging: Uint32Array<ArrayBuffer> = new Uint32Array(0);

function uploadPixels(ctx: GpuContext, group: Group, upload: Upload): Tensor {
  // One more word, because the kernels load a word ahead.
  const words = steps(upload.words + 1);
  if (staging.length < words) staging = new Uint32Array(words);
  packUpload(group, upload, new Uint8Array(staging.buffer));
  return ctx.upload(staging.subarray(0, words), [words], { label: "preprocess pixels" });
}

function uploadPadded(
  ctx: GpuContext,
  words: Int32Array<ArrayBuffer>,
  label: string,
): Tensor {
  const padded = new Int32Array(steps(words.length));
  padded.set(words);
  return ctx.upload(padded, [padded.length], { label });
}

/**
 * Rounds a length up, by an eighth at most: batches of photos differ a little in size, and buffers
 * of equal size are used again.
 */
function steps(length: number): number {
  const step = 2 ** Math.max(6, Math.floor(Math.log2(Math.max(1, length))) - 3);
  return Math.ceil(length / step) * step;
}

function commonSize(images: readonly RgbImage[], spec: PreprocessSpec): ImageSize {
  const [first] = images;
  if (first === undefined) throw new RangeError("Cannot preprocess images: the batch is empty");
  const size = outputSize(first, spec);
  for (const image of images) {
    requireImage(image);
    const { width, height } = outputSize(image, spec);
    if (width === size.width && height === size.height) continue;
    throw new UserError(
      `Cannot preprocess images of different shapes into one batch: one comes out as ` +
        `${size.width} x ${size.height} pixels and another as ${width} x ${height}; ` +
        `add a crop to the preprocessing`,
    );
  }
  return size;
}

/**
 * Arithmetic of the resize and the normalisation: a multiplication and an addition for each weight
 * and colour.
 *
 * @param sizes Sizes of the images.
 * @param spec What is done to them.
 * @returns Whole-number operations.
 *
 * @example Normalising alone costs a look-up for each value
 * ```ts
 * import { preprocessFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const spec = {
 *   interpolation: "bilinear" as const,
 *   channels: "RGB" as const,
 *   range: 1 as const,
 *   mean: [0, 0, 0] as const,
 *   scale: [1, 1, 1] as const,
 *   layout: "NCHW" as const,
 * };
 * assertEquals(preprocessFlops([{ width: 2, height: 5 }], spec), 30);
 * ```
 */
export function preprocessFlops(sizes: readonly ImageSize[], spec: PreprocessSpec): number {
  let operations = 0;
  for (const size of sizes) {
    const { columns, rows } = axesOf(size, spec);
    operations += CHANNELS * columns.size * rows.size;
    if (columns.identity && rows.identity) continue;
    const mixes = rows.span * sum(columns.counts) + columns.size * sum(rows.counts);
    operations += 2 * CHANNELS * mixes;
  }
  return operations;
}

/**
 * Least traffic of preprocessing: the needed rows in, the intermediate image written and read once,
 * the planes out.
 *
 * @param sizes Sizes of the images.
 * @param spec What is done to them.
 * @returns Bytes.
 *
 * @example Three bytes in, three floats out
 * ```ts
 * import { preprocessBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const spec = {
 *   interpolation: "bilinear" as const,
 *   channels: "RGB" as const,
 *   range: 1 as const,
 *   mean: [0, 0, 0] as const,
 *   scale: [1, 1, 1] as const,
 *   layout: "NCHW" as const,
 * };
 * assertEquals(preprocessBytes([{ width: 2, height: 5 }], spec), 10 * (3 + 12));
 * ```
 */
export function preprocessBytes(sizes: readonly ImageSize[], spec: PreprocessSpec): number {
  let bytes = 0;
  for (const size of sizes) {
    const { columns, rows } = axesOf(size, spec);
    bytes += CHANNELS * (size.width * rows.span + 4 * columns.size * rows.size);
    if (!(columns.identity && rows.identity)) bytes += 2 * 4 * columns.size * rows.span;
  }
  return bytes;
}

function sum(values: Int32Array): number {
  return values.reduce((total, value) => total + value, 0);
}
