/**
 * Preprocessing in plain TypeScript: the oracle of the kernels, and what decode workers run when
 * the model runs without a GPU. It gives the same bits as the kernels.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { axesOf, type Axis, outputSize, WEIGHT_BITS } from "./_geometry.ts";
import type { ImageSize, PreprocessSpec, RgbImage } from "./spec.ts";

const CHANNELS = 3;
const HALF = 1 << (WEIGHT_BITS - 1);

/**
 * Size of the model's input that preprocessing makes of an image.
 *
 * @param image The image, or its size.
 * @param spec What is done to it.
 * @returns Width and height in pixels.
 *
 * @example A crop decides alone
 * ```ts
 * import { preprocessedSize } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const size = preprocessedSize({ width: 500, height: 375 }, {
 *   resize: { shorter: 256 },
 *   interpolation: "bilinear",
 *   channels: "RGB",
 *   range: 1,
 *   mean: [0, 0, 0],
 *   scale: [1, 1, 1],
 *   layout: "NCHW",
 * });
 * assertEquals(size, { width: 341, height: 256 });
 * ```
 */
export function preprocessedSize(image: ImageSize, spec: PreprocessSpec): ImageSize {
  const { width, height } = outputSize(image, spec);
  return { width, height };
}

/**
 * Resizes, crops and pads an image as PIL and torchvision do, byte for byte.
 *
 * @param image The image.
 * @param spec What is done to it; channels, range, mean and scale play no part here.
 * @returns The model's input before normalisation, as an image.
 * @throws {RangeError} When the image lacks pixels.
 *
 * @example The mean of two columns
 * ```ts
 * import { resizeReference } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const image = { width: 2, height: 1, data: new Uint8Array([10, 20, 30, 20, 40, 60]) };
 * const half = resizeReference(image, {
 *   resize: { width: 1, height: 1 },
 *   interpolation: "bilinear",
 *   channels: "RGB",
 *   range: 1,
 *   mean: [0, 0, 0],
 *   scale: [1, 1, 1],
 *   layout: "NCHW",
 * });
 * assertEquals([...half.data], [15, 30, 45]);
 * ```
 */
export function resizeReference(image: RgbImage, spec: PreprocessSpec): RgbImage {
  requireImage(image);
  const { columns, rows } = axesOf(image, spec);
  if (columns.identity && rows.identity) return image;
  const middle = mixColumns(image, columns, rows);
  const data = mixRows(middle, columns.size, rows);
  return { width: columns.size, height: rows.size, data };
}

/**
 * One image as a model's input.
 *
 * @param image The image.
 * @param spec What is done to it.
 * @returns `[3, height, width]` planes, row-major.
 * @throws {RangeError} When the image lacks pixels.
 *
 * @example White, centred
 * ```ts
 * import { preprocessReference } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const white = { width: 1, height: 1, data: new Uint8Array([255, 255, 255]) };
 * const planes = preprocessReference(white, {
 *   interpolation: "bilinear",
 *   channels: "RGB",
 *   range: 1,
 *   mean: [0.5, 0.5, 0.5],
 *   scale: [0.5, 0.25, 1],
 *   layout: "NCHW",
 * });
 * assertEquals([...planes], [1, 2, 0.5]);
 * ```
 */
export function preprocessReference(
  image: RgbImage,
  spec: PreprocessSpec,
): Float32Array<ArrayBuffer> {
  const { data, width, height } = resizeReference(image, spec);
  const plane = width * height;
  const planes = new Float32Array(CHANNELS * plane);
  const values = normalizationTable(spec);
  for (let channel = 0; channel < CHANNELS; channel++) {
    const source = spec.channels === "RGB" ? channel : CHANNELS - 1 - channel;
    const table = values.subarray(channel * 256, channel * 256 + 256);
    const target = planes.subarray(channel * plane, (channel + 1) * plane);
    for (let i = 0; i < plane; i++) target[i] = table[data[i * CHANNELS + source]!]!;
  }
  return planes;
}

/**
 * What each byte becomes, by plane: computed in float64 and rounded once, so that every executor
 * writes the same bits.
 *
 * @param spec The description.
 * @returns `3 * 256` values in the order of the planes.
 */
export function normalizationTable(spec: PreprocessSpec): Float32Array<ArrayBuffer> {
  const table = new Float32Array(CHANNELS * 256);
  for (let channel = 0; channel < CHANNELS; channel++) {
    for (let byte = 0; byte < 256; byte++) {
      table[channel * 256 + byte] = (byte / 255 * spec.range - spec.mean[channel]!) /
        spec.scale[channel]!;
    }
  }
  return table;
}

/**
 * Checks that an image has its pixels.
 *
 * @param image The image.
 * @throws {RangeError} When sides are no whole positive numbers or the bytes do not fill them.
 */
export function requireImage(image: RgbImage): void {
  const { width, height, data } = image;
  const sides = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (sides && data.length === width * height * CHANNELS) return;
  throw new RangeError(
    `Cannot preprocess an image of ${width} x ${height} pixels: it must have ${
      width * height * CHANNELS
    } bytes and has ${data.length}`,
  );
}

/** Mixes columns of the rows that are needed: bytes `[rows.span, columns.size, 3]`. */
function mixColumns(image: RgbImage, columns: Axis, rows: Axis): Uint8Array | Uint8ClampedArray {
  const { data, width } = image;
  const stride = width * CHANNELS;
  if (columns.identity) return data.subarray(rows.first * stride);
  const { size, taps, starts, counts, weights } = columns;
  const mixed = new Uint8ClampedArray(rows.span * size * CHANNELS);
  let out = 0;
  for (let row = 0; row < rows.span; row++) {
    const base = (rows.first + row) * stride;
    for (let x = 0; x < size; x++, out += CHANNELS) {
      let byte = base + starts[x]! * CHANNELS;
      const first = x * taps;
      const end = first + counts[x]!;
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      for (let t = first; t < end; t++, byte += CHANNELS) {
        const weight = weights[t]!;
        red = (red + Math.imul(data[byte]!, weight)) | 0;
        green = (green + Math.imul(data[byte + 1]!, weight)) | 0;
        blue = (blue + Math.imul(data[byte + 2]!, weight)) | 0;
      }
      mixed[out] = red >> WEIGHT_BITS;
      mixed[out + 1] = green >> WEIGHT_BITS;
      mixed[out + 2] = blue >> WEIGHT_BITS;
    }
  }
  return mixed;
}

/** Mixes rows: from bytes `[rows.span, width, 3]` to bytes `[rows.size, width, 3]`. */
function mixRows(
  middle: Uint8Array | Uint8ClampedArray,
  width: number,
  rows: Axis,
): Uint8ClampedArray<ArrayBuffer> {
  const stride = width * CHANNELS;
  const mixed = new Uint8ClampedArray(rows.size * stride);
  const sums = new Int32Array(stride);
  for (let y = 0; y < rows.size; y++) {
    sums.fill(HALF);
    for (let t = 0; t < rows.counts[y]!; t++) {
      const weight = rows.weights[y * rows.taps + t]!;
      const from = (rows.starts[y]! - rows.first + t) * stride;
      for (let i = 0; i < stride; i++) sums[i]! += Math.imul(middle[from + i]!, weight);
    }
    const to = y * stride;
    for (let i = 0; i < stride; i++) mixed[to + i] = sums[i]! >> WEIGHT_BITS;
  }
  return mixed;
}
