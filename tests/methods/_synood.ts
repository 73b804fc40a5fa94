/**
 * Small label sets and image features for tests of SynOOD.
 *
 * @module
 */

import { memoryFeatures } from "../../data/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type ImageFeatures, loadImageFeatures } from "../../methods/synood/images.ts";
import type { LabelSet } from "../../methods/synood/label_set.ts";

/** Width of features. */
export const WIDTH = 8;
/** In-distribution labels. */
export const CLASSES = 3;
/** Negative labels. */
export const NEGATIVES = 11;

/** Normal numbers. */
export function normals(count: number, seed: number): Float32Array<ArrayBuffer> {
  const rng = new Rng(seed);
  return Float32Array.from({ length: count }, () => rng.normal());
}

/** Rows of length one. */
export function unitRows(
  rows: Float32Array<ArrayBuffer>,
  width: number = WIDTH,
): Float32Array<ArrayBuffer> {
  const unit = rows.slice();
  for (let begin = 0; begin < unit.length; begin += width) {
    const row = unit.subarray(begin, begin + width);
    const length = Math.hypot(...row);
    row.forEach((value, i) => row[i] = value / length);
  }
  return unit;
}

/** A label set. */
export function drawLabels(change: Partial<LabelSet> = {}): LabelSet {
  const [classes, negatives] = [
    change.ids?.length ?? CLASSES,
    change.negatives?.length ?? NEGATIVES,
  ];
  const width = change.width ?? WIDTH;
  return {
    ids: Array.from({ length: classes }, (_, k) => `class ${k}`),
    negatives: Array.from({ length: negatives }, (_, m) => `thing ${m}`),
    kinds: Array.from({ length: negatives }, () => "noun"),
    text: unitRows(normals((classes + negatives) * width, 1), width),
    width,
    logitScale: 10,
    mining: "given",
    model: "texts",
    ...change,
  };
}

/** Image features of some images. */
export interface DrawnImages {
  /** How many. */
  readonly count: number;
  /** Seed. */
  readonly seed?: number;
  /** Their labels; 0, 1, … by default. */
  readonly labels?: readonly number[];
  /** Their width. */
  readonly width?: number;
  /** What they are called. */
  readonly path?: string;
  /** What is stored with them. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Draws image features. */
export async function drawImages(
  { count, seed = 2, labels, width = WIDTH, path = "images", metadata = {} }: DrawnImages,
): Promise<ImageFeatures> {
  const classes = Int32Array.from({ length: count }, (_, n) => labels?.[n] ?? n % CLASSES);
  return await loadImageFeatures(memoryFeatures({
    "image_embed": { data: normals(count * width, seed), shape: [count, width] },
    labels: { data: classes, shape: [count] },
  }, { path, metadata }));
}
