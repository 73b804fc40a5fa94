/**
 * How large images are: in bytes and in pixels, from their headers where these say it.
 *
 * @module
 */

import type { ImageSize } from "../kernels/preprocess/spec.ts";
import { headerSize } from "./_image_format.ts";
import { ioReason, readFully } from "./_io_error.ts";
import { ImageError } from "./image.ts";
import type { ImageSet } from "./images.ts";

export type { ImageSize };

/** Bytes that are read of a file before the whole of it is. */
const HEAD_BYTES = 64 * 1024;

/** How large an image is. */
export interface MeasuredImage extends ImageSize {
  /** Bytes of its file; of its pixels where it has no file. */
  readonly bytes: number;
}

/**
 * Width and height of a JPEG, PNG or WebP image as its header names them; nothing is decoded.
 *
 * @param bytes The beginning of the file, or all of it.
 * @returns The size in pixels; undefined when the header is damaged or not among these bytes.
 *
 * @example A PNG says it in its first bytes
 * ```ts
 * import { encodePng, imageSize } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const png = await encodePng({ width: 3, height: 2, data: new Uint8Array(18) });
 * assertEquals(imageSize(png.subarray(0, 40)), { width: 3, height: 2 });
 * ```
 */
export function imageSize(bytes: Uint8Array): ImageSize | undefined {
  return headerSize(bytes);
}

/**
 * How large an image of a set is. Its header is read; it is decoded only where that says nothing.
 *
 * @param images The set.
 * @param index The image's place in it.
 * @returns Bytes of the file, and width and height in pixels.
 * @throws {ImageError} If the file is missing or no image.
 *
 * @example A file
 * ```ts
 * import { encodePng, measureImage, openImages } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const png = await encodePng({ width: 3, height: 2, data: new Uint8Array(18) });
 * await Deno.writeFile(`${folder}/a.png`, png);
 * const measured = await measureImage(await openImages(folder), 0);
 * assertEquals(measured, { bytes: png.length, width: 3, height: 2 });
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function measureImage(images: ImageSet, index: number): Promise<MeasuredImage> {
  const { name, path, bytes, image } = await images.item(index);
  if (image !== undefined) {
    return { bytes: image.data.length, width: image.width, height: image.height };
  }
  const found = path === undefined
    ? { bytes: bytes?.length ?? 0, size: headerSize(bytes ?? new Uint8Array()) }
    : await measureFile(name, path);
  const { width, height } = found.size ?? await images.read(index);
  return { bytes: found.bytes, width, height };
}

/** Bytes of a file, and the size that its beginning names, or all of it when that is not enough. */
async function measureFile(
  name: string,
  path: string,
): Promise<{ readonly bytes: number; readonly size: ImageSize | undefined }> {
  try {
    using file = await Deno.open(path);
    const { size: bytes } = await file.stat();
    const head = new Uint8Array(Math.min(bytes, HEAD_BYTES));
    const read = await readFully(file, head, 0);
    const size = headerSize(head.subarray(0, read));
    if (size !== undefined || bytes <= head.length) return { bytes, size };
    // A long profile or a preview may lie before the frame.
    return { bytes, size: headerSize(await Deno.readFile(path)) };
  } catch (error) {
    throw new ImageError(name, ioReason(error));
  }
}
