/** Which dimensions the known arrays have, and whether arrays and shards agree in them. */

import { UserError } from "../runtime/errors.ts";
import { RAGGED_KEYS } from "./ragged.ts";

/** Arrays of which the shapes are known: a file, arrays in memory, or a set of them. */
export interface NamedShapes {
  /** What to call it in messages. */
  readonly path: string;
  /** The arrays that it has. */
  readonly keys: readonly string[];
  /** An array's dimensions; undefined when there is no such array. */
  shape(key: string): readonly number[] | undefined;
}

/** The known arrays that have a row for each image. */
export const ROW_KEYS: readonly string[] = [
  "features",
  "logits",
  "odin_logits",
  "feature_map",
  "feature_norms",
  "labels",
  "image_embed",
  "tokens",
  "tag_logits",
  "attention",
  "object_counts",
  "tag_count",
  "tag_score",
];

/** The known arrays of whole numbers; all others are f32. */
export const WHOLE_KEYS: readonly string[] = ["labels", "object_counts", "tag_count"];

// What each known array's dimensions mean; equal letters must be equal numbers within a set. P is
// the channels of the last feature map: a model may project them before its head. R is a ragged
// array's own number of rows.
const DIMENSIONS: Readonly<Record<string, readonly string[]>> = {
  "features": ["N", "C"],
  "logits": ["N", "K"],
  "odin_logits": ["N", "K"],
  "feature_map": ["N", "P", "H", "W"],
  "feature_norms": ["N", "P"],
  "labels": ["N"],
  "head.weight": ["K", "C"],
  "head.bias": ["K"],
  "image_embed": ["N", "D"],
  "text_embed": ["L", "D"],
  "tokens": ["N", "T", "E"],
  "tag_logits": ["N", "M"],
  "attention": ["N", "M", "T"],
  "object_tokens": ["R", "E"],
  "object_counts": ["N"],
  "tag_count": ["N"],
  "tag_score": ["N"],
};

const DIMENSION_NAMES: Readonly<Record<string, string>> = {
  N: "rows",
  C: "channels",
  K: "classes",
  P: "map channels",
  D: "embedding channels",
  E: "token channels",
  M: "tags",
  T: "tokens",
};

/** Whether an array is one that this project knows. */
export function isKnownKey(key: string): boolean {
  return Object.hasOwn(DIMENSIONS, key) || key === "logit_scale";
}

/** The number of rows of a source, checked over its arrays. */
export function rowsOf(source: NamedShapes): number {
  let first: string | undefined;
  let rows = 0;
  for (const key of ROW_KEYS) {
    const shape = source.shape(key);
    if (shape === undefined) continue;
    if (first === undefined) {
      first = key;
      rows = shape[0] ?? 0;
    } else if (shape[0] !== rows) {
      throw new UserError(
        `Cannot use "${source.path}": "${first}" has ${rows} rows and "${key}" has ${
          shape[0] ?? 0
        }`,
      );
    }
  }
  return rows;
}

/** Checks ranks, and that arrays agree in the numbers of channels, classes and so on. */
export function checkDimensions(source: NamedShapes): void {
  const seen = new Map<string, { key: string; size: number }>();
  for (const [key, letters] of Object.entries(DIMENSIONS)) {
    const shape = source.shape(key);
    if (shape === undefined) continue;
    if (shape.length !== letters.length) {
      throw new UserError(
        `Cannot use "${source.path}": "${key}" has shape [${shape.join(", ")}], and ` +
          `[${letters.join(", ")}] was expected`,
      );
    }
    for (const [axis, letter] of letters.entries()) {
      const size = shape[axis]!;
      const other = seen.get(letter);
      if (other === undefined) seen.set(letter, { key, size });
      else if (other.size !== size) {
        throw new UserError(
          `Cannot use "${source.path}": "${other.key}" has ${other.size} ` +
            `${DIMENSION_NAMES[letter] ?? letter} and "${key}" has ${size}`,
        );
      }
    }
  }
  if (!source.keys.some(isKnownKey)) {
    const has = source.keys.length === 0 ? "nothing" : source.keys.slice(0, 20).join(", ");
    throw new UserError(
      `Cannot use "${source.path}" as a feature file: it has ${has}, and at least one of ` +
        `${ROW_KEYS.join(", ")} was expected`,
    );
  }
}

function describeRows(shape: readonly number[] | undefined): string {
  return shape === undefined ? "lacks it" : `has rows of [${shape.slice(1).join(", ")}]`;
}

/** Checks that every shard has the same arrays, and of the same shape but for the rows. */
export function checkShards(path: string, shards: readonly NamedShapes[]): void {
  const [first] = shards;
  if (first === undefined) return;
  for (const shard of shards) {
    for (const key of [...ROW_KEYS, ...RAGGED_KEYS]) {
      const expected = describeRows(first.shape(key));
      const actual = describeRows(shard.shape(key));
      if (actual === expected) continue;
      throw new UserError(
        `Cannot use "${path}": its shards disagree about "${key}": "${first.path}" ${expected} ` +
          `and "${shard.path}" ${actual}`,
      );
    }
  }
}
