/**
 * What the tests of operations on ragged rows share: lengths of lists, and their offsets.
 *
 * @module
 */

import type { Context, Tensor } from "../../runtime/mod.ts";

/** Lists packed one behind the other. */
export interface RaggedCase {
  /** Length of each list. */
  readonly lengths: readonly number[];
  /** Rows behind the last list. */
  readonly padding: number;
  /** Columns. */
  readonly columns: number;
}

/** No list, empty ones at both ends and inside, one, many short ones, a long one, padding. */
export const RAGGED_CASES: readonly RaggedCase[] = [
  { lengths: [], padding: 0, columns: 4 },
  { lengths: [], padding: 3, columns: 3 },
  { lengths: [0, 0], padding: 0, columns: 8 },
  { lengths: [1], padding: 0, columns: 1 },
  { lengths: [0, 3, 0, 0, 5, 1, 0], padding: 4, columns: 5 },
  { lengths: [7, 2, 4], padding: 0, columns: 12 },
  { lengths: [130, 0, 17, 64], padding: 37, columns: 68 },
  { lengths: Array.from({ length: 131 }, (_, i) => i % 5), padding: 1, columns: 20 },
];

/** The offsets of lists. */
export function offsetsOf(lengths: readonly number[]): Int32Array<ArrayBuffer> {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, n) => offsets[n + 1] = offsets[n]! + length);
  return offsets;
}

/** Uploads the offsets of lists. */
export function uploadOffsets(ctx: Context, lengths: readonly number[]): Tensor {
  return ctx.upload(offsetsOf(lengths), [lengths.length + 1]);
}

/** Rows of a case, padding included. */
export function rowsOf({ lengths, padding }: RaggedCase): number {
  return offsetsOf(lengths).at(-1)! + padding;
}

/** How a case is named in messages. */
export function nameOf({ lengths, padding, columns }: RaggedCase): string {
  return `${lengths.length} lists (${
    lengths.slice(0, 8)
  }), ${padding} rows behind, ${columns} wide`;
}
