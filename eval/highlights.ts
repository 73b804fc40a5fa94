/**
 * What to look at first: the best method, and the images that it ranks most wrongly.
 *
 * @module
 */

import { entriesOf, type Named } from "./_named.ts";
import type { Evaluation } from "./protocol.ts";
import type { Scores } from "./scores.ts";

/** An image on the wrong side of the ranking. */
export interface ConfusingImage {
  /** The OOD set, or `null` for the ID set. */
  readonly set: string | null;
  /** Its index in the set. */
  readonly index: number;
  /** Its score. */
  readonly score: number;
  /** Share of ID images that score lower: high for confusing OOD images, low for ID images. */
  readonly rank: number;
}

/** Both lists of {@linkcode mostConfusing}. */
export interface ConfusingImages {
  /** ID images, from the lowest score up. */
  readonly id: readonly ConfusingImage[];
  /** OOD images over all sets, from the highest score down. */
  readonly ood: readonly ConfusingImage[];
}

/**
 * The images that a method ranks most wrongly: the highest-scoring OOD images and the
 * lowest-scoring ID images. Equal scores stay in input order.
 *
 * @param id Scores of the ID set under the method.
 * @param ood Scores of each OOD set under the method.
 * @param options How many to list on either side, 12 by default.
 * @returns Both lists.
 *
 * @example Find the image that looks in-distribution
 * ```ts
 * import { mostConfusing } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * const found = mostConfusing(
 *   Float32Array.of(5, 1, 4),
 *   { noise: Float32Array.of(0, 4.5) },
 *   { count: 1 },
 * );
 * assertEquals(found.ood, [{ set: "noise", index: 1, score: 4.5, rank: 2 / 3 }]);
 * assertEquals(found.id, [{ set: null, index: 1, score: 1, rank: 0 }]);
 * ```
 */
export function mostConfusing(
  id: Scores,
  ood: Named<Scores>,
  options: { readonly count?: number } = {},
): ConfusingImages {
  const { count = 12 } = options;
  const sorted = id.slice().sort();
  const describe = (set: string | null, index: number, score: number): ConfusingImage => ({
    set,
    index,
    score,
    rank: countBelow(sorted, score) / sorted.length,
  });
  const pick = (scores: Scores, sign: 1 | -1): { index: number; score: number }[] =>
    Array.from(scores, (score, index) => ({ index, score }))
      .sort((a, b) => sign * (a.score - b.score) || a.index - b.index)
      .slice(0, count);
  const outside = entriesOf(ood).flatMap(([set, scores]) =>
    pick(scores, -1).map(({ index, score }) => describe(set, index, score))
  );
  // A stable sort, so equal scores stay in the order of the sets.
  outside.sort((a, b) => b.score - a.score);
  return {
    id: pick(id, 1).map(({ index, score }) => describe(null, index, score)),
    ood: outside.slice(0, count),
  };
}

/**
 * The method with the highest AUROC averaged over all OOD sets; the first one of equals.
 *
 * @param evaluation What {@linkcode evaluate} returned.
 * @returns The method's name.
 *
 * @example Which method to look at first
 * ```ts
 * import { bestMethod, evaluate } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * const evaluation = evaluate({
 *   id: { msp: Float32Array.of(1), knn: Float32Array.of(1) },
 *   ood: { noise: { msp: Float32Array.of(2), knn: Float32Array.of(0) } },
 * }, { replicates: 0 });
 * assertEquals(bestMethod(evaluation), "knn");
 * ```
 */
export function bestMethod(evaluation: Evaluation): string {
  const averages = evaluation.averages.filter(({ group }) => group === "all");
  return averages.reduce((best, row) => row.auroc > best.auroc ? row : best).method;
}

/** How many of the ascending values are below one. */
function countBelow(sorted: Scores, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
