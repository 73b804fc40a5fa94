/**
 * Ragged arrays: an image has not one row but as many as its count says, and the rows of all images
 * are packed one behind the other.
 *
 * @module
 */

/** The ragged arrays that this project knows. */
export const RAGGED_KEYS: readonly string[] = ["object_tokens"];

/**
 * The array that says how many rows of a ragged array each image has.
 *
 * @param key An array's name.
 * @returns The name of its counts, i32 [N]; undefined when the array is not ragged.
 *
 * @example Tokens of objects
 * ```ts
 * import { countsKeyOf } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(countsKeyOf("object_tokens"), "object_counts");
 * assertEquals(countsKeyOf("features"), undefined);
 * ```
 */
export function countsKeyOf(key: string): string | undefined {
  return key === "object_tokens" ? "object_counts" : undefined;
}

/**
 * Where the rows of each image begin in a ragged array.
 *
 * @param counts How many rows each image has.
 * @returns N + 1 offsets: image n has the rows from `offsets[n]` to `offsets[n + 1] - 1`.
 * @throws {RangeError} If a count is negative, or the sum of all does not fit 32 bits.
 *
 * @example Three images, the second without a row
 * ```ts
 * import { raggedOffsets } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([...raggedOffsets(new Int32Array([2, 0, 3]))], [0, 2, 2, 5]);
 * ```
 */
export function raggedOffsets(counts: Int32Array): Int32Array<ArrayBuffer> {
  const offsets = new Int32Array(counts.length + 1);
  let sum = 0;
  for (const [n, count] of counts.entries()) {
    sum += count;
    offsets[n + 1] = sum;
    if (count >= 0 && offsets[n + 1] === sum) continue;
    throw new RangeError(
      count < 0
        ? `Cannot have ${count} rows, as image ${n} would`
        : `Cannot pack ${sum} rows: at most ${2 ** 31 - 1} are possible`,
    );
  }
  return offsets;
}
