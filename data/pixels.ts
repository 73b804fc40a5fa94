/**
 * Images as a network's input size wants them, in bytes: decoded and resized once, read in any
 * order by a training.
 *
 * @module
 */

import type { ImageSize, PreprocessSpec } from "../kernels/preprocess/spec.ts";
import { UserError } from "../runtime/errors.ts";
import { DecodePool, type DecodeSuccess } from "./decode_pool.ts";
import type { ImageSet } from "./images.ts";
import { RowStore, type RowStoreOptions } from "./row_store.ts";

/** How images are loaded. */
export interface LoadPixelsOptions extends Pick<RowStoreOptions, "memoryBytes" | "folder"> {
  /** Resize and crop; the rest of it is done later, when a batch is made. */
  readonly spec: PreprocessSpec;
  /** Size of the network's input, for models whose preprocessing neither resizes nor crops. */
  readonly size: ImageSize;
  /** Decode workers, as for a decode pool. */
  readonly workers?: number;
  /** Stops at the first image that cannot be read. */
  readonly strict?: boolean;
  /** Stops the loading. */
  readonly signal?: AbortSignal;
  /** Told how many images are done. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Images of one size in bytes. */
export interface PixelSet extends Disposable {
  /** Number of images. */
  readonly count: number;
  /** Rows of an image. */
  readonly height: number;
  /** Pixels in a row. */
  readonly width: number;
  /** u8 [height, width, 3] a row: red, green and blue of a pixel side by side. */
  readonly rows: RowStore;
  /** Where each image came from in the set. */
  readonly origin: Uint32Array<ArrayBuffer>;
  /** Images that could not be read. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Decodes, resizes and crops a set of images to bytes, on several threads.
 *
 * @param images The set.
 * @param options The size, and what to do with images that cannot be read.
 * @returns The pixels; those that cannot be read are left out and listed.
 * @throws {UserError} When no image can be read, or they come out in another size than the
 * network's.
 * @throws {ImageError} With `strict`, at the first image that cannot be read.
 *
 * @example One picture
 * ```ts
 * import { loadPixels } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const image = { width: 2, height: 1, data: new Uint8Array([1, 2, 3, 4, 5, 6]) };
 * using pixels = await loadPixels({
 *   path: "memory", count: 1, names: ["a"], labels: new Int32Array(1), classNames: [],
 *   skippedFiles: 0,
 *   item: () => Promise.resolve({ name: "a", image }),
 *   read: () => Promise.resolve(image),
 * }, {
 *   spec: {
 *     interpolation: "bilinear", channels: "BGR", range: 1, mean: [0, 0, 0], scale: [1, 1, 1],
 *     layout: "NCHW",
 *   },
 *   size: { width: 2, height: 1 },
 *   workers: 0,
 * });
 * assertEquals([...pixels.rows.gather([0])], [1, 2, 3, 4, 5, 6]);
 * ```
 */
export async function loadPixels(
  images: ImageSet,
  options: LoadPixelsOptions,
): Promise<PixelSet> {
  const { size, strict = false, signal, workers, memoryBytes, folder, onProgress } = options;
  const rows = RowStore.open({
    rows: images.count,
    rowBytes: size.width * size.height * 3,
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(folder === undefined ? {} : { folder }),
  });
  const origin: number[] = [];
  const skipped: { name: string; reason: string }[] = [];
  try {
    using pool = new DecodePool(workers === undefined ? {} : { workers });
    const items = async function* () {
      for (let i = 0; i < images.count; i++) yield await images.item(i);
    };
    for await (const result of pool.map(items(), { preprocess: rawBytes(options.spec) })) {
      signal?.throwIfAborted();
      if (result.error === undefined) {
        rows.write(origin.length, bytesOf(result, size));
        origin.push(result.index);
      } else if (strict) {
        throw result.error;
      } else {
        skipped.push({ name: result.name, reason: result.error.reason });
      }
      onProgress?.(origin.length + skipped.length, images.count);
    }
    if (origin.length === 0) {
      throw new UserError(`Cannot use "${images.path}": none of its images can be read`);
    }
  } catch (error) {
    rows[Symbol.dispose]();
    throw error;
  }
  return {
    count: origin.length,
    height: size.height,
    width: size.width,
    rows,
    origin: Uint32Array.from(origin),
    skipped,
    [Symbol.dispose]: () => rows[Symbol.dispose](),
  };
}

/** The same resize and crop, but the values of the pixels as they are. */
function rawBytes(spec: PreprocessSpec): PreprocessSpec {
  return { ...spec, channels: "RGB", range: 255, mean: [0, 0, 0], scale: [1, 1, 1] };
}

/** From planes of whole numbers to bytes of pixels. */
function bytesOf({ name, pixels }: DecodeSuccess, size: ImageSize): Uint8Array {
  const plane = size.width * size.height;
  if (pixels!.length !== 3 * plane) {
    throw new UserError(
      `Cannot use the image "${name}": it gives ${pixels!.length / 3} pixels and the model takes ` +
        `${size.width} x ${size.height}; name a resize or a crop in the model's sidecar file`,
    );
  }
  const bytes = new Uint8Array(3 * plane);
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) bytes[3 * i + c] = Math.round(pixels![c * plane + i]!);
  }
  return bytes;
}
