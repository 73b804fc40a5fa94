/** Small arrays for feature sets. */

import type { HostArray } from "../../data/feature_set.ts";

/** An f32 array; each element is its own index unless `value` says otherwise. */
export function f32(shape: number[], value: (i: number) => number = (i) => i): HostArray {
  const length = shape.reduce((a, b) => a * b, 1);
  return { data: Float32Array.from({ length }, (_, i) => value(i)), shape };
}

/** An i32 array of one dimension. */
export function i32(values: number[]): HostArray {
  return { data: new Int32Array(values), shape: [values.length] };
}
