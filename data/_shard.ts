/** Which part of a run's images a machine takes, and the file that it writes. */

import { UserError } from "../runtime/errors.ts";

/** Which part of the images a machine takes: part `index` of `of`, from 1. */
export interface ShardOf {
  /** From 1 to `of`. */
  readonly index: number;
  /** How many parts there are. */
  readonly of: number;
}

/**
 * The file that a part of a run writes: `f-00002-of-00004.safetensors` for part 2 of 4 of
 * `f.safetensors`.
 *
 * @param path The whole run's file.
 * @param shard Which part.
 * @returns The part's file.
 *
 * @example Part 2 of 4
 * ```ts
 * import { shardPath } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const path = shardPath("f.safetensors", { index: 2, of: 4 });
 * assertEquals(path, "f-00002-of-00004.safetensors");
 * ```
 */
export function shardPath(path: string, shard: ShardOf): string {
  const stem = path.replace(/\.safetensors$/, "");
  const five = (n: number) => String(n).padStart(5, "0");
  return `${stem}-${five(shard.index)}-of-${five(shard.of)}.safetensors`;
}

/**
 * The images that a part of a run takes.
 *
 * @param count How many images there are.
 * @param shard Which part; all images when left out.
 * @returns The first image and the one after the last.
 * @throws {UserError} If there is no such part.
 *
 * @example The second half
 * ```ts
 * import { shardRange } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(shardRange(9, { index: 2, of: 2 }), { start: 4, end: 9 });
 * ```
 */
export function shardRange(count: number, shard?: ShardOf): { start: number; end: number } {
  if (shard === undefined) return { start: 0, end: count };
  const { index, of } = shard;
  if (!Number.isInteger(of) || !Number.isInteger(index) || index < 1 || index > of) {
    throw new UserError(
      `Cannot take shard ${index}/${of}: a number from 1 to the number of shards was expected`,
    );
  }
  return { start: Math.floor((index - 1) * count / of), end: Math.floor(index * count / of) };
}
