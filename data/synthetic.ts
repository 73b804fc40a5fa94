/**
 * Images that show nothing a classifier was taught: noise and textures, drawn from a seed. They are
 * the out-of-distribution sets that need no download. This module is browser compatible.
 *
 * @module
 */

import type { RgbImage } from "../kernels/preprocess/spec.ts";
import { Rng } from "../kernels/random/rng.ts";

/** The families of images. */
export type SyntheticKind =
  | "uniform"
  | "gaussian"
  | "blobs"
  | "stripes"
  | "checker"
  | "gradient"
  | "rings";

/** What to draw. */
export interface SyntheticOptions {
  /** Which family. */
  readonly kind: SyntheticKind;
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** The seed of the whole set. */
  readonly seed: number;
  /** Which image of the set: each is drawn from a stream of its own. */
  readonly index: number;
}

/**
 * The families in the order in which `syntheticSet` takes turns: `uniform` and `gaussian` noise;
 * `blobs`, noise smoothed at a random scale; and `stripes`, `checker`, `gradient` and `rings` in
 * random colours, directions and sizes.
 *
 * @example How many there are
 * ```ts
 * import { SYNTHETIC_KINDS } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(SYNTHETIC_KINDS.length, 7);
 * ```
 */
export const SYNTHETIC_KINDS: readonly SyntheticKind[] = [
  "uniform",
  "gaussian",
  "blobs",
  "stripes",
  "checker",
  "gradient",
  "rings",
];

type Colour = readonly [number, number, number];

/** A mixing factor of two colours for each pixel, 0 to 1. */
type Pattern = (x: number, y: number) => number;

function colour(rng: Rng): Colour {
  return [256 * rng.uniform(), 256 * rng.uniform(), 256 * rng.uniform()];
}

/** Two colours that differ enough for a pattern to be seen. */
function twoColours(rng: Rng): readonly [Colour, Colour] {
  const first = colour(rng);
  while (true) {
    const second = colour(rng);
    const distance = Math.hypot(...first.map((value, i) => value - second[i]!));
    if (distance >= 96) return [first, second];
  }
}

function wave(phase: number, sharp: boolean): number {
  const value = 0.5 + 0.5 * Math.sin(2 * Math.PI * phase);
  return sharp ? (value < 0.5 ? 0 : 1) : value;
}

/** A period that is seen in an image of this size: from 4 pixels to half of the shorter side. */
function period(rng: Rng, side: number): number {
  const longest = Math.max(5, side / 2);
  return 4 * (longest / 4) ** rng.uniform();
}

function direction(rng: Rng): readonly [number, number] {
  const angle = Math.PI * rng.uniform();
  return [Math.cos(angle), Math.sin(angle)];
}

/** Draws the random numbers of a pattern once, and gives its value at a pixel. */
function pattern(kind: SyntheticKind, rng: Rng, size: { width: number; height: number }): Pattern {
  const { width, height } = size;
  const side = Math.min(width, height);
  const [cos, sin] = direction(rng);
  const length = period(rng, side);
  const phase = rng.uniform();
  switch (kind) {
    case "stripes": {
      const sharp = rng.integer(2) === 1;
      return (x, y) => wave((cos * x + sin * y) / length + phase, sharp);
    }
    case "checker":
      return (x, y) => {
        const u = Math.floor((cos * x + sin * y) / length + phase);
        const v = Math.floor((cos * y - sin * x) / length + phase);
        return (u + v) & 1;
      };
    case "rings": {
      const centreX = width * rng.uniform();
      const centreY = height * rng.uniform();
      const sharp = rng.integer(2) === 1;
      return (x, y) => wave(Math.hypot(x - centreX, y - centreY) / length + phase, sharp);
    }
    default: {
      // A gradient across the whole image, from corner to corner of its direction.
      const reach = Math.abs(cos) * width + Math.abs(sin) * height;
      const begin = cos < 0 ? cos * width : 0;
      return (x, y) => (cos * x + sin * y - begin) / reach;
    }
  }
}

function paint(
  size: { width: number; height: number },
  rng: Rng,
  kind: SyntheticKind,
): Uint8Array<ArrayBuffer> {
  const { width, height } = size;
  const [first, second] = twoColours(rng);
  const at = pattern(kind, rng, size);
  const data = new Uint8ClampedArray(3 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const mix = at(x, y);
      for (let c = 0; c < 3; c++) {
        data[3 * (y * width + x) + c] = first[c]! + mix * (second[c]! - first[c]!);
      }
    }
  }
  return new Uint8Array(data.buffer);
}

/** One pass of a box filter along an axis, with the borders repeated. */
function boxBlur(
  values: Float32Array,
  axis: { count: number; stride: number; lines: number; lineStride: number },
  radius: number,
): void {
  const { count, stride, lines, lineStride } = axis;
  const line = new Float32Array(count);
  for (let l = 0; l < lines; l++) {
    const base = l * lineStride;
    for (let i = 0; i < count; i++) line[i] = values[base + i * stride]!;
    const clamped = (i: number) => line[Math.min(count - 1, Math.max(0, i))]!;
    let sum = 0;
    for (let i = -radius; i <= radius; i++) sum += clamped(i);
    for (let i = 0; i < count; i++) {
      values[base + i * stride] = sum / (2 * radius + 1);
      sum += clamped(i + radius + 1) - clamped(i - radius);
    }
  }
}

/** Noise smoothed at a random scale and spread to the full range, channel by channel. */
function blobs(rng: Rng, size: { width: number; height: number }): Uint8Array<ArrayBuffer> {
  const { width, height } = size;
  const pixels = width * height;
  const data = new Uint8ClampedArray(3 * pixels);
  const most = Math.max(1, Math.floor(Math.min(width, height) / 8));
  const radius = 1 + rng.integer(most);
  const plane = new Float32Array(pixels);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < pixels; i++) plane[i] = rng.uniform();
    // Three boxes are close to a Gaussian.
    for (let pass = 0; pass < 3; pass++) {
      boxBlur(plane, { count: width, stride: 1, lines: height, lineStride: width }, radius);
      boxBlur(plane, { count: height, stride: width, lines: width, lineStride: 1 }, radius);
    }
    let low = Infinity;
    let high = -Infinity;
    for (const value of plane) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    const scale = high > low ? 255 / (high - low) : 0;
    for (let i = 0; i < pixels; i++) data[3 * i + c] = (plane[i]! - low) * scale;
  }
  return new Uint8Array(data.buffer);
}

/** Independent values for each channel of each pixel. */
function noise(
  rng: Rng,
  size: { width: number; height: number },
  kind: "uniform" | "gaussian",
): Uint8Array<ArrayBuffer> {
  const data = new Uint8ClampedArray(3 * size.width * size.height);
  for (let i = 0; i < data.length; i++) {
    data[i] = kind === "uniform" ? Math.floor(256 * rng.uniform()) : 127.5 + 64 * rng.normal();
  }
  return new Uint8Array(data.buffer);
}

/**
 * Draws one image. The same options give the same bytes on every machine.
 *
 * `uniform` noise is even over 0 to 255; `gaussian` noise has mean 127.5 and deviation 64, clamped.
 *
 * @param options The family, the size, the seed and the place in the set.
 * @returns The image.
 * @throws {RangeError} If a size is no whole number of 1 or more, or the seed or index is out of range.
 *
 * @example The same twice
 * ```ts
 * import { syntheticImage } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const options = { kind: "stripes", width: 8, height: 8, seed: 1, index: 0 } as const;
 * assertEquals(syntheticImage(options), syntheticImage(options));
 * ```
 */
export function syntheticImage(options: SyntheticOptions): RgbImage {
  const { kind, width, height, seed, index } = options;
  if (!Number.isInteger(width) || width < 1 || !Number.isInteger(height) || height < 1) {
    throw new RangeError(`Cannot draw an image of ${width} x ${height} pixels`);
  }
  const rng = new Rng(seed, index);
  const size = { width, height };
  if (kind === "uniform" || kind === "gaussian") return { ...size, data: noise(rng, size, kind) };
  if (kind === "blobs") return { ...size, data: blobs(rng, size) };
  return { ...size, data: paint(size, rng, kind) };
}

/** A set of drawn images, as a decode pool takes it. */
export interface SyntheticSet {
  /** How many there are. */
  readonly count: number;
  /** A name for each, for example `stripes/0007`. */
  readonly names: readonly string[];
  /**
   * Draws an image.
   *
   * @param index Its place.
   * @returns Its name and its pixels.
   */
  item(index: number): { readonly name: string; readonly image: RgbImage };
}

/**
 * A set of drawn images that takes turns among families.
 *
 * @param count How many images.
 * @param options `width`, `height` and `seed`; `kinds`: the families, all of them by default.
 * @returns The set; an image is drawn when it is asked for.
 * @throws {RangeError} If `kinds` is empty.
 *
 * @example Noise only
 * ```ts
 * import { syntheticSet } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const set = syntheticSet(2, { width: 8, height: 8, seed: 1, kinds: ["uniform", "gaussian"] });
 * assertEquals(set.names, ["uniform/0000", "gaussian/0001"]);
 * assertEquals(set.item(1).image.width, 8);
 * ```
 */
export function syntheticSet(
  count: number,
  options: {
    readonly width: number;
    readonly height: number;
    readonly seed: number;
    readonly kinds?: readonly SyntheticKind[];
  },
): SyntheticSet {
  const { width, height, seed, kinds = SYNTHETIC_KINDS } = options;
  if (kinds.length === 0) throw new RangeError("Cannot draw a set of no kinds of images");
  const kindOf = (index: number) => kinds[index % kinds.length]!;
  const names = Array.from(
    { length: count },
    (_, index) => `${kindOf(index)}/${String(index).padStart(4, "0")}`,
  );
  return {
    count,
    names,
    item: (index) => ({
      name: names[index]!,
      image: syntheticImage({ kind: kindOf(index), width, height, seed, index }),
    }),
  };
}
