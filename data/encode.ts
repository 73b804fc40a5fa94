/**
 * RGB to PNG, for images that the tool makes and for thumbnails. This module is browser compatible.
 *
 * @module
 */

import encodePngFile from "@jsquash/png/encode.js";
import type { RgbImage } from "../kernels/preprocess/spec.ts";

/** The last encoding that was begun: the codec has one memory, so pictures take turns. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * Encodes an image as PNG, without loss.
 *
 * @param image The image, RGB with 8 bits a channel.
 * @returns The file's bytes.
 *
 * @example There and back
 * ```ts
 * import { decodeImage, encodePng } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const image = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 250, 128, 0) };
 * const back = await decodeImage(await encodePng(image), { name: "two pixels" });
 * assertEquals([...back.data], [...image.data]);
 * ```
 */
export async function encodePng(image: RgbImage): Promise<Uint8Array<ArrayBuffer>> {
  const { width, height } = image;
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) {
    rgba.set(image.data.subarray(3 * i, 3 * i + 3), 4 * i);
  }
  const previous = turn;
  const encoding = previous.then(() => encodePngFile(new ImageData(rgba, width, height)));
  turn = encoding.catch(() => {});
  return new Uint8Array(await encoding);
}
