/**
 * Where pixels go: sizes after resize and crop, and for each output row or column the input
 * pixels that it mixes with their weights. Pure functions, shared by the kernels and the reference.
 *
 * The weights are those of PIL's 8-bit resize: support widened by the ratio (antialiasing), weights
 * normalised in float64, then rounded to 22 fractional bits, so that all sums are whole numbers and
 * every executor gives the same bytes.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { UserError } from "../../runtime/errors.ts";
import type { ImageSize, Interpolation, PreprocessSpec } from "./spec.ts";

/** Fractional bits of a weight: 32 less 8 for the pixel and 2 for overshoot. */
export const WEIGHT_BITS = 22;

/** The weight 1. */
const UNIT_WEIGHT = 1 << WEIGHT_BITS;

/** How one axis of an image is resampled. */
export interface Axis {
  /** Output pixels, after the crop. */
  readonly size: number;
  /** First input pixel that any output pixel mixes. */
  readonly first: number;
  /** Input pixels from `first` on that output pixels mix. */
  readonly span: number;
  /** Weights kept for each output pixel; the last may be unused. */
  readonly taps: number;
  /** By output pixel: the input pixel that its first weight belongs to. */
  readonly starts: Int32Array<ArrayBuffer>;
  /** By output pixel: how many weights it has; 0 in the padding. */
  readonly counts: Int32Array<ArrayBuffer>;
  /** `size * taps` weights with {@linkcode WEIGHT_BITS} fractional bits. */
  readonly weights: Int32Array<ArrayBuffer>;
  /** Whether output pixel i is input pixel i and nothing else. */
  readonly identity: boolean;
}

/** What a filter mixes from its centre to `support` and how much, at ratio 1. */
interface Filter {
  readonly support: number;
  weight(distance: number): number;
}

/** Coefficient of the bicubic filter (Keys, 1981), as PIL has it. */
const BICUBIC_A = -0.5;

const FILTERS: Readonly<Record<Exclude<Interpolation, "nearest">, Filter>> = {
  bilinear: {
    support: 1,
    weight(distance) {
      const x = Math.abs(distance);
      return x < 1 ? 1 - x : 0;
    },
  },
  bicubic: {
    support: 2,
    weight(distance) {
      const a = BICUBIC_A;
      const x = Math.abs(distance);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
};

/**
 * Size of an image after the resize, before the crop.
 *
 * @param image The image's size.
 * @param spec What is done to it.
 * @returns The size.
 */
export function resizedSize(image: ImageSize, spec: PreprocessSpec): ImageSize {
  const { resize } = spec;
  if (resize === undefined) return { width: image.width, height: image.height };
  if (!("shorter" in resize)) return resize;
  const { shorter } = resize;
  // torchvision truncates the longer side rather than rounding it.
  return image.width <= image.height
    ? { width: shorter, height: Math.trunc(shorter * image.height / image.width) }
    : { width: Math.trunc(shorter * image.width / image.height), height: shorter };
}

/**
 * Size of the model's input for an image.
 *
 * @param image The image's size.
 * @param spec What is done to it.
 * @returns The size.
 */
export function outputSize(image: ImageSize, spec: PreprocessSpec): ImageSize {
  return spec.crop ?? resizedSize(image, spec);
}

/**
 * Both axes of an image.
 *
 * @param image The image's size.
 * @param spec What is done to it.
 * @returns Columns and rows.
 */
export function axesOf(image: ImageSize, spec: PreprocessSpec): { columns: Axis; rows: Axis } {
  const resized = resizedSize(image, spec);
  const { width, height } = outputSize(image, spec);
  const { interpolation } = spec;
  return {
    columns: axis({ input: image.width, resized: resized.width, output: width, interpolation }),
    rows: axis({ input: image.height, resized: resized.height, output: height, interpolation }),
  };
}

/** What an axis depends on. */
interface AxisKey {
  readonly input: number;
  readonly resized: number;
  readonly output: number;
  readonly interpolation: Interpolation;
}

const AXES: Map<string, Axis> = new Map();

/** Axes remembered; natural photos come in a few hundred sizes, one axis takes some kilobytes. */
const MAX_AXES = 1024;

function axis(key: AxisKey): Axis {
  const name = `${key.input} ${key.resized} ${key.output} ${key.interpolation}`;
  const known = AXES.get(name);
  if (known !== undefined) return known;
  const made = makeAxis(key);
  if (AXES.size === MAX_AXES) AXES.delete(AXES.keys().next().value!);
  AXES.set(name, made);
  return made;
}

function makeAxis(key: AxisKey): Axis {
  const { input, resized, output } = key;
  const offset = cropOffset(resized, output);
  // What the crop leaves of the resized axis; only that is computed.
  const from = Math.max(0, offset);
  const kept = Math.min(resized, offset + output) - from;
  const mixes = mixesOf(key, { from, count: kept });
  const padding = from - offset;
  const starts = new Int32Array(output);
  const counts = new Int32Array(output);
  const weights = new Int32Array(output * mixes.taps);
  starts.set(mixes.starts, padding);
  counts.set(mixes.counts, padding);
  weights.set(mixes.weights, padding * mixes.taps);
  // Starts and ends never decrease along an axis.
  const first = mixes.starts[0]!;
  return {
    size: output,
    first,
    span: mixes.starts[kept - 1]! + mixes.counts[kept - 1]! - first,
    taps: mixes.taps,
    starts,
    counts,
    weights,
    identity: resized === input && output === input,
  };
}

/**
 * Where a centre crop begins: torchvision rounds a half to the even neighbour when it cuts, and
 * puts the smaller half of the padding first.
 */
function cropOffset(size: number, crop: number): number {
  const margin = size - crop;
  if (margin < 0) return -Math.floor(-margin / 2);
  const floor = Math.floor(margin / 2);
  return margin % 2 === 0 ? floor : floor + floor % 2;
}

/** A run of pixels of a resized axis. */
interface Range {
  readonly from: number;
  readonly count: number;
}

/** What a run of resized pixels mixes. */
type Mixes = Pick<Axis, "taps" | "starts" | "counts" | "weights">;

function mixesOf(key: AxisKey, range: Range): Mixes {
  if (key.resized === key.input) return singles(range, (i) => i);
  if (key.interpolation === "nearest") return nearest(key, range);
  return filtered(key, { range, filter: FILTERS[key.interpolation] });
}

/** Each pixel is one input pixel. */
function singles(range: Range, source: (i: number) => number): Mixes {
  return {
    taps: 1,
    starts: Int32Array.from({ length: range.count }, (_, i) => source(range.from + i)),
    counts: new Int32Array(range.count).fill(1),
    weights: new Int32Array(range.count).fill(UNIT_WEIGHT),
  };
}

function nearest(key: AxisKey, range: Range): Mixes {
  const step = key.input / key.resized;
  // PIL adds the step up instead of multiplying, and so does this, to round where PIL rounds.
  let position = step * 0.5;
  for (let i = 0; i < range.from; i++) position += step;
  return singles(range, () => {
    const source = Math.min(key.input - 1, Math.trunc(position));
    position += step;
    return source;
  });
}

function filtered(key: AxisKey, what: { range: Range; filter: Filter }): Mixes {
  const { filter, range } = what;
  const ratio = key.input / key.resized;
  const stretch = Math.max(ratio, 1);
  const support = filter.support * stretch;
  const taps = Math.ceil(support) * 2 + 1;
  requireTable(range.count * taps, key);
  const starts = new Int32Array(range.count);
  const counts = new Int32Array(range.count);
  const weights = new Int32Array(range.count * taps);
  const exact = new Float64Array(taps);
  for (let i = 0; i < range.count; i++) {
    const centre = (range.from + i + 0.5) * ratio;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(key.input, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let t = 0; t < count; t++) {
      exact[t] = filter.weight((t + start - centre + 0.5) * (1 / stretch));
      sum += exact[t]!;
    }
    starts[i] = start;
    counts[i] = count;
    for (let t = 0; t < count; t++) {
      const scaled = (sum === 0 ? exact[t]! : exact[t]! / sum) * UNIT_WEIGHT;
      weights[i * taps + t] = Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
  }
  return { taps, starts, counts, weights };
}

/** Most weights of one axis: 256 MiB, far beyond any photo. */
const MAX_WEIGHTS = 1 << 26;

function requireTable(weights: number, key: AxisKey): void {
  if (weights <= MAX_WEIGHTS) return;
  throw new UserError(
    `Cannot resize an image side of ${key.input} pixels to ${key.resized}: that needs ${weights} ` +
      `weights, and at most ${MAX_WEIGHTS} are supported; add a crop or resize to a smaller size`,
  );
}
