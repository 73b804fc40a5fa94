/** One image from wherever it is to pixels: what a decode worker does, and the inline path too. */

import { preprocessReference } from "../kernels/preprocess/reference.ts";
import type { PreprocessSpec, RgbImage } from "../kernels/preprocess/spec.ts";
import { ioReason } from "./_io_error.ts";
import { decodeImage } from "./decode.ts";
import { ImageError } from "./image.ts";

/** An image to load: exactly one of `path`, `bytes` and `image` is there. */
export interface ImageItem {
  /** What to call it in messages and results. */
  readonly name: string;
  /** The file that it is in. */
  readonly path?: string;
  /** The file's content. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
  /** The pixels, where there is nothing to decode. */
  readonly image?: RgbImage;
}

/** What comes of an item: the image, or the model's input when preprocessing was asked for. */
export interface LoadedItem {
  readonly image?: RgbImage;
  readonly pixels?: Float32Array<ArrayBuffer>;
  readonly seconds: LoadSeconds;
}

/** How long an item took, on whichever thread. */
export interface LoadSeconds {
  /** Reading and decoding. */
  readonly decode: number;
  /** Making the model's input; 0 when that was not asked for. */
  readonly preprocess: number;
}

async function bytesOf(item: ImageItem): Promise<Uint8Array<ArrayBuffer>> {
  if (item.bytes !== undefined) return item.bytes;
  if (item.path === undefined) throw new ImageError(item.name, "it has no content");
  try {
    return await Deno.readFile(item.path);
  } catch (error) {
    throw new ImageError(item.name, ioReason(error));
  }
}

/** Reads, decodes and, if asked, preprocesses an item; fails with an `ImageError`. */
export async function loadItem(item: ImageItem, preprocess?: PreprocessSpec): Promise<LoadedItem> {
  const begin = performance.now();
  const image = item.image ?? await decodeImage(await bytesOf(item), { name: item.name });
  const decoded = performance.now();
  const decode = (decoded - begin) / 1000;
  if (preprocess === undefined) return { image, seconds: { decode, preprocess: 0 } };
  try {
    const pixels = preprocessReference(image, preprocess);
    return { pixels, seconds: { decode, preprocess: (performance.now() - decoded) / 1000 } };
  } catch (error) {
    throw new ImageError(item.name, error instanceof Error ? error.message : String(error));
  }
}
