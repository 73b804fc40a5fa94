/**
 * Percentiles of what fits of scores have in memory, and of the activations that they stream.
 *
 * @module
 */

import { percentile } from "../kernels/mod.ts";
import { between, ranksOf } from "../kernels/percentile/reference.ts";
import type { Tensor } from "../runtime/mod.ts";
import type { FeatureSet } from "../data/mod.ts";
import { floats, streamRows } from "./_fit.ts";
import type { LearnInput } from "./define.ts";

/**
 * A percentile in float64 with linear interpolation, as NumPy's.
 *
 * @param values The values; not changed.
 * @param q Percent, 0 to 100.
 * @returns The percentile; NaN of no values.
 */
export function percentileOf(values: Float64Array, q: number): number {
  const sorted = values.slice().sort();
  const { low, high, fraction } = ranksOf(sorted.length, q);
  return between(sorted[low] ?? NaN, sorted[high] ?? NaN, fraction);
}

/**
 * The largest of some values that does not exceed a percentile of them: what is greater than it is
 * what is greater than the percentile, and unlike the percentile it is one of the values.
 *
 * @param values The values; they are brought into another order.
 * @param q Percent, 0 to 100.
 * @returns The value.
 */
export function valueAtPercentile(
  values: Float32Array | Float64Array,
  q: number,
): number {
  return select(values, ranksOf(values.length, q).low);
}

/** The value of a rank, 0 for the smallest; reorders the values, in linear time on average. */
function select(values: Float32Array | Float64Array, rank: number): number {
  let first = 0;
  let last = values.length - 1;
  while (first < last) {
    const pivot = middleOf(values[first]!, values[(first + last) >> 1]!, values[last]!);
    let i = first;
    let j = last;
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i > j) break;
      const swapped = values[i]!;
      values[i++] = values[j]!;
      values[j--] = swapped;
    }
    if (rank <= j) last = j;
    else if (rank >= i) first = i;
    else return values[rank]!;
  }
  return values[rank]!;
}

function middleOf(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

/**
 * A percentile over all units of all images of a set, exact.
 *
 * @param input What is fitted.
 * @param q Percent, 0 to 100.
 * @param set The images; the training set by default.
 * @returns The percentile.
 */
export function activationPercentile(
  input: LearnInput,
  q: number,
  set: FeatureSet = input.train,
): Promise<number> {
  return percentile(input.context, () => activations(input, set), q);
}

/** All features; each chunk is released when the next one is asked for. */
async function* activations(input: LearnInput, set: FeatureSet): AsyncGenerator<Tensor> {
  for await (const batch of streamRows(set, ["features"], { input, stage: "percentile" })) {
    using scope = input.context.scope();
    const data = floats(batch, "features");
    yield scope.upload(data, [data.length]);
  }
}
