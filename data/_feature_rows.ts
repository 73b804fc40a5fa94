/** Rows on their way to a part file: what they are, and whether they fit the run. */

import { raggedProblem } from "./_ragged_fit.ts";
import { dtypeOf, elementCount } from "./_safetensors_elements.ts";
import type { SafetensorsArray, SafetensorsDType, SafetensorsSpec } from "./_safetensors_types.ts";
import { countsKeyOf } from "./ragged.ts";

/** An image that gave no row. */
export interface SkippedImage {
  /** Its place among all images of the run. */
  readonly index: number;
  /** Its name. */
  readonly name: string;
  /** Why it was skipped. */
  readonly reason: string;
}

/** Some images' rows. */
export interface FeatureRows {
  /** How many images these are, the skipped ones included. */
  readonly images: number;
  /**
   * Arrays with a row for each image that was not skipped, in order; a ragged one, as
   * `object_tokens`, has the rows that the array of its counts says.
   */
  readonly arrays: Readonly<Record<string, SafetensorsArray>>;
  /** The images among them that gave no row; `index` counts from the run's first image. */
  readonly skipped?: readonly SkippedImage[];
}

/** Types and shapes by name. */
export type Specs = Readonly<Record<string, SafetensorsSpec>>;

/** How many of the images gave a row. */
export function keptOf({ images, skipped = [] }: FeatureRows): number {
  return images - skipped.length;
}

/** The types and shapes that arrays are stored with. */
export function specsOfArrays(
  arrays: Readonly<Record<string, SafetensorsArray>>,
  dtypes: Readonly<Record<string, SafetensorsDType>> = {},
): Record<string, SafetensorsSpec> {
  const specs: Record<string, SafetensorsSpec> = Object.create(null);
  for (const [name, { data, shape, dtype }] of Object.entries(arrays)) {
    specs[name] = { dtype: dtypes[name] ?? dtype ?? dtypeOf(data), shape };
  }
  return specs;
}

/** What blocks of rows are together: the types and rows of the first, and as many rows as all. */
export function joinSpecs(blocks: readonly Specs[]): Record<string, SafetensorsSpec> {
  const out: Record<string, SafetensorsSpec> = Object.create(null);
  for (const [name, { dtype, shape }] of Object.entries(blocks[0] ?? {})) {
    const rows = blocks.reduce((sum, specs) => sum + (specs[name]?.shape[0] ?? 0), 0);
    out[name] = { dtype, shape: [rows, ...shape.slice(1)] };
  }
  return out;
}

/** Where rows are to go. */
export interface Place {
  /** The file that is being made, for messages. */
  readonly path: string;
  /** The first of the images. */
  readonly position: number;
  /** The image after the last that there is. */
  readonly end: number;
  /** The arrays of the rows before; undefined when these are the first. */
  readonly specs: Specs | undefined;
}

function refuseRows(place: Place, why: string): never {
  throw new TypeError(`Cannot append to "${place.path}": ${why}`);
}

/** Checks that rows fit their images, their own shapes, and the rows before them. */
export function checkRows(rows: FeatureRows, place: Place): void {
  checkImages(rows, place);
  const kept = keptOf(rows);
  const entries = Object.entries(rows.arrays);
  if (kept > 0 && entries.length === 0) refuseRows(place, "it has no arrays");
  for (const [name, { data, shape }] of entries) {
    const isRagged = countsKeyOf(name) !== undefined;
    if ((!isRagged && shape[0] !== kept) || data.length !== elementCount(shape)) {
      const dimensions = shape.join(", ");
      refuseRows(place, `"${name}" has shape [${dimensions}] and ${kept} rows were expected`);
    }
  }
  checkRagged(rows, place);
  if (kept > 0) checkSameArrays(rows, place);
}

function checkRagged({ arrays }: FeatureRows, place: Place): void {
  for (const [key, { shape }] of Object.entries(arrays)) {
    const countsKey = countsKeyOf(key);
    if (countsKey === undefined) continue;
    const counts = arrays[countsKey]?.data;
    if (counts === undefined) refuseRows(place, `"${key}" needs "${countsKey}" beside it`);
    const problem = raggedProblem(key, { counts, rows: shape[0] ?? 0 });
    if (problem !== undefined) refuseRows(place, problem);
  }
}

function checkImages({ images, skipped = [] }: FeatureRows, place: Place): void {
  const { position, end } = place;
  if (!Number.isInteger(images) || images < 1 || position + images > end) {
    refuseRows(place, `${images} images from ${position} on go beyond the last, ${end - 1}`);
  }
  let last = position - 1;
  for (const { index } of skipped) {
    if (index <= last || index >= position + images) {
      refuseRows(
        place,
        `skipped image ${index} is not among the images that are appended, in order`,
      );
    }
    last = index;
  }
}

function checkSameArrays({ arrays }: FeatureRows, place: Place): void {
  const { specs } = place;
  if (specs === undefined) return;
  const names = Object.keys(specs).sort().join(", ");
  if (Object.keys(arrays).sort().join(", ") !== names) {
    refuseRows(place, `the arrays ${names} were expected`);
  }
  for (const [name, { shape }] of Object.entries(arrays)) {
    const expected = specs[name]!.shape.slice(1).join(", ");
    const actual = shape.slice(1).join(", ");
    if (actual !== expected) {
      refuseRows(place, `"${name}" has rows of [${actual}], and [${expected}] was expected`);
    }
  }
}
