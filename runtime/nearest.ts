/**
 * The nearest known name to a mistyped one, for "did you mean" in errors.
 *
 * @module
 */

/**
 * The candidate that a mistyped word most likely means. Inserted, missing and wrong letters and
 * swapped neighbours each count as one mistake; upper and lower case are the same. A third of the
 * word's letters may be wrong, and always one, as long as something is right.
 *
 * @param word What was written.
 * @param candidates What could have been meant.
 * @returns The nearest candidate, the first of equals, or undefined when none is near.
 *
 * @example Suggest an option
 * ```ts
 * import { nearestName } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(nearestName("Enegry", ["energy", "entropy"]), "energy");
 * assertEquals(nearestName("knn", ["energy", "entropy"]), undefined);
 * ```
 */
export function nearestName(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    const nothingIsRight = distance === Math.max(word.length, candidate.length);
    if (distance < bestDistance && !nothingIsRight) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Optimal string alignment distance: insertions, deletions, substitutions, swaps of neighbours. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const differs = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + differs);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
