/**
 * DICE's sparse head, which two scores share.
 *
 * @module
 */

import { type CheckedHead, floats, readHead, streamRows } from "../_fit.ts";
import { percentileOf } from "../_percentile.ts";
import type { LearnInput } from "../define.ts";
import type { ParameterSpec } from "../score.ts";

/** How much of the head stays away. */
export const SPARSITY: ParameterSpec = {
  name: "sparsity",
  description: "Percentile of the contributions up to which weights count as zero",
  default: 90,
  minimum: 0,
  maximum: 100,
  search: [10, 30, 50, 70, 90],
};

/**
 * The head with zeros where a weight times the mean of its feature does not exceed a percentile of
 * all such products. Signed, in float64, interpolated linearly.
 *
 * @param input What is fitted; the mean is that of the training features.
 * @param name Which score asks.
 * @returns The head.
 */
export async function sparseHead(input: LearnInput, name: string): Promise<CheckedHead> {
  const head = await readHead(input, name);
  const { C } = head;
  const mean = new Float64Array(C);
  for await (const batch of streamRows(input.train, ["features"], { input, stage: "mean" })) {
    floats(batch, "features").forEach((value, i) => mean[i % C] = mean[i % C]! + value);
  }
  const contributions = Float64Array.from(
    head.weight,
    (value, i) => value * mean[i % C]! / input.train.count,
  );
  const bound = percentileOf(contributions, input.parameters[SPARSITY.name]!);
  const weight = head.weight.map((value, i) => contributions[i]! > bound ? value : 0);
  return { ...head, weight };
}
