/**
 * JPEG, PNG and WebP to RGB, as PIL's `Image.open(file).convert("RGB")` does: alpha is dropped, grey
 * and palettes are expanded, the orientation that EXIF names is ignored. 16-bit PNGs keep their high
 * bytes (where PIL clips grey ones at 255). The codecs are WebAssembly; this module is browser
 * compatible.
 *
 * @module
 */

import decodeJpegFile, { init as initJpeg } from "@jsquash/jpeg/decode.js";
import decodePngFile, { init as initPng } from "@jsquash/png/decode.js";
import decodeWebpFile, { init as initWebp } from "@jsquash/webp/decode.js";
import { type ImageFormat, jpegFault, pngFault, sniff, webpFault } from "./_image_format.ts";
import { ImageError, type RgbImage } from "./image.ts";

/** The compiled codecs, for places where they cannot be fetched from beside their package. */
export interface DecoderModules {
  /** `@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm`. */
  readonly jpeg?: WebAssembly.Module;
  /** `@jsquash/png/codec/pkg/squoosh_png_bg.wasm`. */
  readonly png?: WebAssembly.Module;
  /** `@jsquash/webp/codec/dec/webp_dec.wasm`. */
  readonly webp?: WebAssembly.Module;
}

let modules: DecoderModules = {};
let jpegReady: Promise<void> | undefined;
let webpReady: Promise<void> | undefined;
/** What the JPEG codec says while it decodes: it paints over faults and only mentions them. */
let jpegWarnings: string[] = [];
/** The last decoding that was begun: a codec has one memory, so pictures take turns. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * Gives the compiled codecs, for runtimes that cannot fetch a file from beside a package: edge
 * workers and single-file bundles. Elsewhere it need not be called. Where a bundler gives modules for
 * `.wasm` files:
 *
 * ```ts ignore
 * import jpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm";
 * import { provideDecoders } from "@oodgpu/oodgpu/data";
 *
 * provideDecoders({ jpeg });
 * ```
 *
 * @param compiled The codecs; those left out are still fetched when first needed.
 *
 * @example Nothing to give
 * ```ts
 * import { decodeImage, encodePng, provideDecoders } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * provideDecoders({});
 * const png = await encodePng({ width: 1, height: 1, data: Uint8Array.of(1, 2, 3) });
 * assertEquals([...(await decodeImage(png)).data], [1, 2, 3]);
 * ```
 */
export function provideDecoders(compiled: DecoderModules): void {
  modules = compiled;
  jpegReady = undefined;
  webpReady = undefined;
}

/** What the codecs put pixels into, for runtimes at the edge that have no `ImageData`. */
class PlainImageData {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;

  constructor(data: Uint8ClampedArray, width: number, height: number) {
    this.data = data;
    this.width = width;
    this.height = height;
  }
}

type InitEmscripten = (
  module: WebAssembly.Module | undefined,
  options: Record<string, unknown>,
) => Promise<void>;

function startJpeg(): Promise<void> {
  const options = { printErr: (line: string) => void jpegWarnings.push(line) };
  return (initJpeg as unknown as InitEmscripten)(modules.jpeg, options);
}

function startWebp(): Promise<void> {
  return (initWebp as unknown as InitEmscripten)(modules.webp, { printErr: () => {} });
}

/** What the codec's remark means for the picture; undefined for what does not change it. */
function jpegVerdict(warnings: readonly string[]): string | undefined {
  for (const line of warnings) {
    if (/premature end/i.test(line)) return "it is damaged: a part of the picture is missing";
    const extraneous = /(\d+) extraneous bytes/.exec(line);
    // A few stray bytes between segments are common and harmless; thousands are lost picture.
    if (extraneous !== null && Number(extraneous[1]) < 64) continue;
    if (/corrupt|bad huffman|inconsistent/i.test(line)) {
      return `it is damaged (${line.replace(/^corrupt jpeg data: /i, "")})`;
    }
  }
  return undefined;
}

async function decodeJpeg(bytes: Uint8Array<ArrayBuffer>): Promise<ImageData> {
  await (jpegReady ??= startJpeg());
  const warnings: string[] = [];
  jpegWarnings = warnings;
  try {
    const image = await decodeJpegFile(exactBuffer(bytes));
    const verdict = jpegVerdict(warnings);
    if (verdict !== undefined) throw new Fault(verdict);
    return image;
  } catch (error) {
    if (error instanceof Fault) throw error;
    // The codec left by exit(): its memory is in an unknown state, so the next picture gets a new
    // instance.
    jpegReady = undefined;
    throw new Fault(jpegVerdict(warnings) ?? `it is damaged (${warnings[0] ?? message(error)})`);
  }
}

async function decodePng(bytes: Uint8Array<ArrayBuffer>): Promise<ImageData> {
  const wasm = await initPng(modules.png) as unknown as WebAssembly.Exports;
  const moveStack = wasm["__wbindgen_add_to_stack_pointer"] as (by: number) => number;
  const stack = moveStack(0);
  try {
    return await decodePngFile(exactBuffer(bytes));
  } catch {
    // A trap leaves the codec's stack where it was; put it back so that faults do not add up.
    moveStack(stack - moveStack(0));
    throw new Fault("it is damaged");
  }
}

async function decodeWebp(bytes: Uint8Array<ArrayBuffer>): Promise<ImageData> {
  await (webpReady ??= startWebp());
  try {
    return await decodeWebpFile(exactBuffer(bytes));
  } catch {
    webpReady = undefined;
    throw new Fault("it is damaged");
  }
}

/** Why the picture cannot be had; `decodeImage` adds its name. */
class Fault extends Error {}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function exactBuffer(bytes: Uint8Array<ArrayBuffer>): ArrayBuffer {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  return whole ? bytes.buffer : bytes.slice().buffer;
}

const CODECS: Readonly<
  Record<ImageFormat, {
    readonly fault: (bytes: Uint8Array) => string | undefined;
    readonly decode: (bytes: Uint8Array<ArrayBuffer>) => Promise<ImageData>;
  }>
> = {
  jpeg: { fault: jpegFault, decode: decodeJpeg },
  png: { fault: pngFault, decode: decodePng },
  webp: { fault: webpFault, decode: decodeWebp },
};

/** Drops the fourth byte of each pixel. */
function dropAlpha(rgba: Uint8ClampedArray): Uint8Array<ArrayBuffer> {
  const pixels = rgba.length / 4;
  const out = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) {
    out[3 * i] = rgba[4 * i]!;
    out[3 * i + 1] = rgba[4 * i + 1]!;
    out[3 * i + 2] = rgba[4 * i + 2]!;
  }
  return out;
}

/**
 * Decodes a JPEG, PNG or WebP image; the format is told by the content, not by the name.
 *
 * @param bytes The whole file.
 * @param options `name`: what to call the image in messages.
 * @returns The image, RGB with 8 bits a channel.
 * @throws {ImageError} If the bytes are empty, cut off, damaged, or no image that can be read.
 *
 * @example A text file is refused
 * ```ts
 * import { decodeImage } from "@oodgpu/oodgpu/data";
 * import { assertRejects } from "@std/assert";
 *
 * const bytes = new TextEncoder().encode("not an image");
 * await assertRejects(() => decodeImage(bytes, { name: "a.jpg" }), Error, "it is text");
 * ```
 */
export async function decodeImage(
  bytes: Uint8Array<ArrayBuffer>,
  options: { readonly name?: string } = {},
): Promise<RgbImage> {
  const name = options.name ?? "image";
  const format = sniff(bytes);
  if (typeof format === "object") throw new ImageError(name, format.reason);
  const codec = CODECS[format];
  if (typeof ImageData === "undefined") Object.assign(globalThis, { ImageData: PlainImageData });
  const fault = codec.fault(bytes);
  if (fault !== undefined) throw new ImageError(name, fault);
  try {
    const decoding = turn.then(() => codec.decode(bytes));
    turn = decoding.catch(() => {});
    const { width, height, data } = await decoding;
    return { width, height, data: dropAlpha(data as Uint8ClampedArray) };
  } catch (error) {
    if (error instanceof Fault) throw new ImageError(name, error.message);
    throw error;
  }
}
