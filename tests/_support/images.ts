/**
 * Small images and files of them for tests, made here byte by byte.
 *
 * @module
 */

import { crc32 } from "../../data/_image_format.ts";
import type { RgbImage } from "../../data/image.ts";

/** An image whose channels are functions of the place. */
export function makeImage(
  width: number,
  height: number,
  value: (x: number, y: number, channel: number) => number = (x, y, c) => 31 * x + 17 * y + 59 * c,
): RgbImage & { readonly data: Uint8Array<ArrayBuffer> } {
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) data[3 * (y * width + x) + c] = value(x, y, c) & 255;
    }
  }
  return { width, height, data };
}

/** How a PNG is written. */
export interface PngOptions {
  /** 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA. */
  readonly colourType: number;
  /** Bits a sample. */
  readonly bitDepth: number;
  /** Red, green and blue of each palette entry. */
  readonly palette?: Uint8Array;
}

async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A chunk of a PNG with its length and checksum. */
export function pngChunk(type: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const chunk = new Uint8Array(12 + data.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length);
  chunk.set(new TextEncoder().encode(type), 4);
  chunk.set(data, 8);
  view.setUint32(8 + data.length, crc32(chunk.subarray(4, 8 + data.length)));
  return chunk;
}

/** Arrays one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    out.set(part, end);
    end += part.length;
  }
  return out;
}

/** A PNG of rows of samples that are packed already, `ceil(bits a pixel * width / 8)` bytes a row. */
export async function encodePng(
  size: { readonly width: number; readonly height: number },
  rows: Uint8Array,
  options: PngOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const rowBytes = rows.length / size.height;
  const filtered = new Uint8Array(rows.length + size.height);
  for (let y = 0; y < size.height; y++) {
    filtered.set(rows.subarray(y * rowBytes, (y + 1) * rowBytes), y * (rowBytes + 1) + 1);
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, size.width);
  view.setUint32(4, size.height);
  header[8] = options.bitDepth;
  header[9] = options.colourType;
  return concat(
    new Uint8Array([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]),
    pngChunk("IHDR", header),
    ...(options.palette === undefined ? [] : [pngChunk("PLTE", options.palette)]),
    pngChunk("IDAT", await deflate(filtered)),
    pngChunk("IEND", new Uint8Array(0)),
  );
}

/** A PNG of an RGB image. */
export function encodeRgbPng(image: RgbImage): Promise<Uint8Array<ArrayBuffer>> {
  return encodePng(image, new Uint8Array(image.data), { colourType: 2, bitDepth: 8 });
}

/** Files to lay out in a folder, by path; folders are made as needed. */
export async function writeTree(
  root: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    const at = path.lastIndexOf("/");
    if (at > 0) await Deno.mkdir(`${root}/${path.slice(0, at)}`, { recursive: true });
    if (typeof content === "string") await Deno.writeTextFile(`${root}/${path}`, content);
    else await Deno.writeFile(`${root}/${path}`, content);
  }
}

/** A folder for one test, removed at its end. */
export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}
