/**
 * What an image is, and what a model wants done to it before it sees it.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { UserError } from "../../runtime/errors.ts";

/** An image of three 8-bit channels: row-major, red, green and blue of a pixel side by side. */
export interface RgbImage {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** `width * height * 3` bytes. */
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** A size in pixels. */
export interface ImageSize {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** A resize that keeps the aspect ratio: the shorter side becomes `shorter` pixels. */
export interface ShorterSide {
  /** Length of the shorter side afterwards, in pixels. */
  readonly shorter: number;
}

/** How a resize computes pixels; all as PIL does them, the smooth ones antialiased. */
export type Interpolation = "bilinear" | "bicubic" | "nearest";

/** Order of the colour planes in a model's input. */
export type ChannelOrder = "RGB" | "BGR";

/**
 * The way from an RGB8 image to a model's input: resize, centre crop, then for each channel
 * `(value / 255 * range - mean) / scale`, as planes (NCHW).
 */
export interface PreprocessSpec {
  /** Size after the resize; without it, images keep their size. */
  readonly resize?: ShorterSide | ImageSize;
  /** Size of the centre crop; an image that is smaller is padded with black. Without it, no crop. */
  readonly crop?: ImageSize;
  /** How the resize computes pixels. */
  readonly interpolation: Interpolation;
  /** Order of the colour planes. */
  readonly channels: ChannelOrder;
  /** Value of a white pixel before mean and scale. */
  readonly range: 1 | 255;
  /** Subtracted from each plane, in the order of `channels`. */
  readonly mean: readonly [number, number, number];
  /** Divides each plane ("std"), in the order of `channels`. */
  readonly scale: readonly [number, number, number];
  /** Layout of the model's input. */
  readonly layout: "NCHW";
}

const SPEC_KEYS: readonly string[] = [
  "resize",
  "crop",
  "interpolation",
  "channels",
  "range",
  "mean",
  "scale",
  "layout",
];

/** Longest side that a resize or a crop may ask for. */
const MAX_SIDE = 16384;

/**
 * Checks a preprocessing description from outside, such as a model's sidecar file.
 *
 * @param value What was read.
 * @param options `source` names where it came from, for the messages.
 * @returns The same description, typed.
 * @throws {UserError} When a key is missing, unknown or has a value that makes no sense.
 *
 * @example A sidecar's preprocessing
 * ```ts
 * import { validatePreprocessSpec } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const spec = validatePreprocessSpec({
 *   resize: { shorter: 256 },
 *   crop: { width: 224, height: 224 },
 *   interpolation: "bilinear",
 *   channels: "RGB",
 *   range: 1,
 *   mean: [0.485, 0.456, 0.406],
 *   scale: [0.229, 0.224, 0.225],
 *   layout: "NCHW",
 * });
 * assertEquals(spec.range, 1);
 * assertThrows(() => validatePreprocessSpec({ ...spec, scale: [1, 0, 1] }));
 * ```
 */
export function validatePreprocessSpec(
  value: unknown,
  options: { readonly source?: string } = {},
): PreprocessSpec {
  const source = options.source ?? "preprocessing";
  const fail = (key: string, expected: string, found: unknown): never => {
    throw new UserError(
      `Cannot use ${source}: "${key}" must be ${expected}: it is ${JSON.stringify(found)}`,
    );
  };
  if (!isRecord(value)) {
    throw new UserError(
      `Cannot use ${source}: it must be an object: it is ${JSON.stringify(value)}`,
    );
  }
  const unknown = Object.keys(value).find((key) => !SPEC_KEYS.includes(key));
  if (unknown !== undefined) {
    throw new UserError(
      `Cannot use ${source}: "${unknown}" is unknown: expected ${SPEC_KEYS.join(", ")}`,
    );
  }
  const { resize, crop, interpolation, channels, range, mean, scale, layout } = value;
  if (resize !== undefined && !isSize(resize) && !isShorter(resize)) {
    fail("resize", `{"shorter": pixels} or {"width": pixels, "height": pixels}`, resize);
  }
  if (crop !== undefined && !isSize(crop)) {
    fail("crop", `{"width": pixels, "height": pixels}`, crop);
  }
  if (interpolation !== "bilinear" && interpolation !== "bicubic" && interpolation !== "nearest") {
    fail("interpolation", `"bilinear", "bicubic" or "nearest"`, interpolation);
  }
  if (channels !== "RGB" && channels !== "BGR") fail("channels", `"RGB" or "BGR"`, channels);
  if (range !== 1 && range !== 255) fail("range", "1 or 255", range);
  if (!isTriple(mean)) fail("mean", "three numbers", mean);
  if (!isTriple(scale) || scale.some((divisor) => Math.fround(divisor) === 0)) {
    fail("scale", "three numbers other than 0", scale);
  }
  if (layout !== "NCHW") fail("layout", `"NCHW"`, layout);
  return value as unknown as PreprocessSpec;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSide(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_SIDE;
}

function isSize(value: unknown): boolean {
  return isRecord(value) && Object.keys(value).length === 2 && isSide(value.width) &&
    isSide(value.height);
}

function isShorter(value: unknown): boolean {
  return isRecord(value) && Object.keys(value).length === 1 && isSide(value.shorter);
}

function isTriple(value: unknown): value is [number, number, number] {
  return Array.isArray(value) && value.length === 3 && value.every(Number.isFinite);
}
