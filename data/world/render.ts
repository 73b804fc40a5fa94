/**
 * Scenes to pixels: as a tensor for training, or as images to encode.
 *
 * @module
 */

import type { RgbImage } from "../../kernels/preprocess/spec.ts";
import { renderWorld } from "../../kernels/render_world/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";
import type { Scene } from "./scene.ts";

/** Options of a rendering. */
export interface RenderOptions {
  /** Pixels of a side; 64 by default. */
  readonly size?: number;
}

/**
 * Renders scenes where they are needed: nothing is read back.
 *
 * @param ctx Where to run.
 * @param scenes The scenes.
 * @param options The size.
 * @returns f32 `[N, size, size, 3]`, 0 to 1.
 * @throws {RangeError} When the size is no whole number from 1 to 4096.
 *
 * @example Two scenes
 * ```ts
 * import { renderScenes, worldScenes } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const images = renderScenes(host, worldScenes("train", { seed: 1, count: 2 }), { size: 8 });
 * assertEquals(images.shape, [2, 8, 8, 3]);
 * ```
 */
export function renderScenes(
  ctx: Context,
  scenes: readonly Scene[],
  options: RenderOptions = {},
): Tensor {
  return renderWorld(ctx, scenes.map(({ drawing }) => drawing), options);
}

/** Pixels of one dispatch and one readback. */
const MAX_PIXELS = 1 << 21;

/**
 * Renders scenes to images of 8 bits a channel.
 *
 * @param ctx Where to run.
 * @param scenes The scenes.
 * @param options The size.
 * @returns An image for each scene, in order.
 * @throws {RangeError} When the size is no whole number from 1 to 4096.
 *
 * @example One image
 * ```ts
 * import { renderImages, worldScenes } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const [image] = await renderImages(host, worldScenes("val", { seed: 1, count: 1 }), { size: 8 });
 * assertEquals([image!.width, image!.height, image!.data.length], [8, 8, 192]);
 * ```
 */
export async function renderImages(
  ctx: Context,
  scenes: readonly Scene[],
  options: RenderOptions = {},
): Promise<RgbImage[]> {
  const { size = 64 } = options;
  const images: RgbImage[] = [];
  const batch = Math.max(1, Math.floor(MAX_PIXELS / (size * size)));
  for (let begin = 0; begin < scenes.length; begin += batch) {
    using scope = ctx.scope();
    const drawings = scenes.slice(begin, begin + batch).map(({ drawing }) => drawing);
    const [pixels] = await scope.read(renderWorld(scope, drawings, { size, format: "rgba8" }));
    for (let i = 0; i < drawings.length; i++) {
      images.push(imageOf(pixels!.subarray(i * size * size, (i + 1) * size * size), size));
    }
  }
  return images;
}

function imageOf(pixels: ArrayLike<number>, size: number): RgbImage {
  const data = new Uint8Array(3 * size * size);
  for (let i = 0; i < pixels.length; i++) {
    const rgba = pixels[i]!;
    data[3 * i] = rgba & 255;
    data[3 * i + 1] = rgba >>> 8 & 255;
    data[3 * i + 2] = rgba >>> 16 & 255;
  }
  return { width: size, height: size, data };
}

/**
 * Puts images of one size side by side, in rows.
 *
 * @param images The images; places that are left over stay dark.
 * @param columns Images in a row.
 * @returns One image.
 * @throws {RangeError} When there is no image, or one has another size than the first.
 *
 * @example Three images in two rows
 * ```ts
 * import { contactSheet } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const image = { width: 4, height: 4, data: new Uint8Array(48) };
 * const sheet = contactSheet([image, image, image], 2);
 * assertEquals([sheet.width, sheet.height], [10, 10]);
 * ```
 */
export function contactSheet(images: readonly RgbImage[], columns: number): RgbImage {
  const [first] = images;
  if (first === undefined) throw new RangeError("Cannot make a contact sheet of no images");
  const { width, height } = first;
  if (images.some((image) => image.width !== width || image.height !== height)) {
    throw new RangeError("Cannot make a contact sheet of images of several sizes");
  }
  const gap = 2;
  const rows = Math.ceil(images.length / columns);
  const wide = columns * (width + gap) - gap;
  const high = rows * (height + gap) - gap;
  const data = new Uint8Array(3 * wide * high).fill(24);
  for (const [i, image] of images.entries()) {
    const left = i % columns * (width + gap);
    const top = Math.floor(i / columns) * (height + gap);
    for (let y = 0; y < height; y++) {
      const row = image.data.subarray(3 * y * width, 3 * (y + 1) * width);
      data.set(row, 3 * ((top + y) * wide + left));
    }
  }
  return { width: wide, height: high, data };
}
