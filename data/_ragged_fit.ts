/** Whether ragged arrays and their counts fit each other. */

import { UserError } from "../runtime/errors.ts";
import type { NamedShapes } from "./_feature_shapes.ts";
import { countsKeyOf, RAGGED_KEYS, raggedOffsets } from "./ragged.ts";

/** Where each image's rows begin, by ragged array. */
export type Offsets = ReadonlyMap<string, Int32Array>;

/** Why a ragged array with so many rows and its counts do not fit; undefined when they do. */
export function raggedProblem(
  key: string,
  { counts, rows }: { readonly counts: ArrayLike<number>; readonly rows: number },
): string | undefined {
  const countsKey = countsKeyOf(key)!;
  let sum = 0;
  for (let n = 0; n < counts.length; n++) {
    const count = counts[n]!;
    if (!Number.isInteger(count) || count < 0) return `"${countsKey}" has ${count} in row ${n}`;
    sum += count;
  }
  return sum === rows ? undefined : `"${countsKey}" counts ${sum} rows and "${key}" has ${rows}`;
}

/** The ragged arrays of a source, each with the array of its counts; refuses one without. */
export function raggedOf(source: NamedShapes): { key: string; countsKey: string }[] {
  const has = (key: string) => source.shape(key) !== undefined;
  return RAGGED_KEYS.filter(has).map((key) => {
    const countsKey = countsKeyOf(key)!;
    if (has(countsKey)) return { key, countsKey };
    throw new UserError(
      `Cannot use "${source.path}": it has "${key}" and no "${countsKey}", which says how many of ` +
        "its rows each image has",
    );
  });
}

/** Where each image's rows begin in a ragged array of a source; refuses counts that do not fit. */
export function offsetsIn(source: NamedShapes, key: string, counts: ArrayLike<number>): Int32Array {
  const problem = raggedProblem(key, { counts, rows: source.shape(key)![0] ?? 0 });
  if (problem !== undefined) throw new UserError(`Cannot use "${source.path}": ${problem}`);
  return raggedOffsets(Int32Array.from(counts));
}
