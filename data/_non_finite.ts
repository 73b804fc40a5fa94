/** Finding numbers that are none. */

import type { HostArray } from "./feature_set.ts";

/** The index of the first NaN or infinity, -1 if there is none. */
function firstNonFinite(data: Float32Array): number {
  // v - v is 0 for a finite number and NaN otherwise: one sum tells of the whole array, and it
  // runs several times faster than a test of each element.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! - data[i]!;
  return sum === 0 ? -1 : data.findIndex((value) => !Number.isFinite(value));
}

/** The first NaN or infinity of an array that has rows, and its row; undefined if there is none. */
export function findNonFinite(
  { data, shape }: HostArray,
): { readonly what: "a NaN" | "an infinity"; readonly row: number } | undefined {
  if (data instanceof Int32Array) return undefined;
  const index = firstNonFinite(data);
  if (index < 0) return undefined;
  return {
    what: Number.isNaN(data[index]) ? "a NaN" : "an infinity",
    row: Math.floor(index / (data.length / (shape[0] ?? 1))),
  };
}
