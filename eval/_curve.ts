/**
 * One descending sweep over the distinct scores of two sets: everything that depends on ranks
 * alone is a function of its two columns of counts.
 *
 * @module
 */

import { checkScores, type ScoreOrigin, type Scores } from "./scores.ts";

/**
 * Counts at each distinct score, from the highest down: how many positives and negatives score at
 * least that much. The arrays may be longer than `size`; the rest is scratch.
 */
export interface Curve {
  /** Number of distinct scores. */
  size: number;
  /** The distinct scores, descending. */
  readonly values: Float64Array;
  /** Positives at or above each score; the last one is their total. */
  readonly positives: Float64Array;
  /** Negatives at or above each score; the last one is their total. */
  readonly negatives: Float64Array;
}

/** Makes a curve with room for `capacity` distinct scores. */
export function emptyCurve(capacity: number): Curve {
  return {
    size: 0,
    values: new Float64Array(capacity),
    positives: new Float64Array(capacity),
    negatives: new Float64Array(capacity),
  };
}

/** The curve of two sets of finite scores; neither array is changed. */
export function curveOf(positive: Scores, negative: Scores): Curve {
  return mergeSorted(positive.slice().sort(), negative.slice().sort());
}

/** The curve of an ID and an OOD set whose scores were not checked yet; ID is positive. */
export function checkedCurve(id: Scores, ood: Scores, { method, set }: ScoreOrigin): Curve {
  const named = method === undefined ? {} : { method };
  checkScores(id, { ...named, set: "id" });
  checkScores(ood, { ...named, set: set ?? "ood" });
  return curveOf(id, ood);
}

/** The curve of two ascending arrays. */
export function mergeSorted(positive: Scores, negative: Scores): Curve {
  const curve = emptyCurve(positive.length + negative.length);
  let p = positive.length - 1;
  let n = negative.length - 1;
  let size = 0;
  while (p >= 0 || n >= 0) {
    const value = Math.max(p >= 0 ? positive[p]! : -Infinity, n >= 0 ? negative[n]! : -Infinity);
    while (p >= 0 && positive[p]! === value) p--;
    while (n >= 0 && negative[n]! === value) n--;
    curve.values[size] = value;
    curve.positives[size] = positive.length - 1 - p;
    curve.negatives[size] = negative.length - 1 - n;
    size++;
  }
  curve.size = size;
  return curve;
}

/** Positives in all. */
export function positiveCount(curve: Curve): number {
  return curve.positives[curve.size - 1]!;
}

/** Negatives in all. */
export function negativeCount(curve: Curve): number {
  return curve.negatives[curve.size - 1]!;
}

/** The same data with the two classes' roles and the sign of the scores swapped. */
export function flip(curve: Curve): Curve {
  const { size } = curve;
  const flipped = emptyCurve(size);
  const positives = positiveCount(curve);
  const negatives = negativeCount(curve);
  for (let i = 0; i < size; i++) {
    const group = size - 1 - i;
    flipped.values[i] = -curve.values[group]!;
    flipped.positives[i] = negatives - (group > 0 ? curve.negatives[group - 1]! : 0);
    flipped.negatives[i] = positives - (group > 0 ? curve.positives[group - 1]! : 0);
  }
  flipped.size = size;
  return flipped;
}
