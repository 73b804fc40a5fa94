/**
 * From scores to decisions: a threshold at a chosen acceptance of in-distribution images, how sure
 * it is, and p-values.
 *
 * @module
 */

import { UserError } from "../runtime/mod.ts";
import { clopperPearson } from "./numerics/mod.ts";

/** A threshold and what it rests on. */
export interface Calibration {
  /** Scores at or above it count as in-distribution. */
  readonly threshold: number;
  /** The share of in-distribution images that was to be accepted. */
  readonly acceptance: number;
  /** The share of the calibration images that is accepted; ties can make it larger. */
  readonly accepted: number;
  /** Where the share of accepted in-distribution images lies with 95 % confidence. */
  readonly interval: readonly [low: number, high: number];
  /** Number of calibration images. */
  readonly count: number;
  /** Their scores, ascending; every n-th one of a very large set. */
  readonly scores: Float32Array<ArrayBuffer>;
}

/** Scores kept for p-values: 400 kB. */
const MAX_KEPT = 100_000;

/**
 * Finds the threshold that accepts a share of in-distribution images: the largest score that at
 * least that share reaches.
 *
 * The interval is Clopper and Pearson's. It speaks of images like those given; take images that
 * nothing was fitted to.
 *
 * @param scores Scores of in-distribution images, higher = more in-distribution.
 * @param options `acceptance`: the share to accept, above 0 and at most 1; default 0.95.
 * @returns The threshold and what it rests on.
 * @throws {UserError} When there are no scores, one is not finite, or the share is out of range.
 *
 * @example Nine of ten
 * ```ts
 * import { calibrate } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const scores = Float32Array.from({ length: 10 }, (_, i) => i);
 * const calibration = calibrate(scores, { acceptance: 0.9 });
 * assertEquals(calibration.threshold, 1);
 * assertEquals(calibration.accepted, 0.9);
 * ```
 */
export function calibrate(
  scores: ArrayLike<number>,
  options: { readonly acceptance?: number } = {},
): Calibration {
  const { acceptance = 0.95 } = options;
  if (!(acceptance > 0 && acceptance <= 1)) {
    throw new UserError(
      `Cannot calibrate to accept ${acceptance}: a share above 0 and at most 1 was expected, such ` +
        "as 0.95",
    );
  }
  const sorted = Float32Array.from(scores).sort();
  const count = sorted.length;
  if (count === 0) throw new UserError("Cannot calibrate: there are no scores");
  if (!sorted.every(Number.isFinite)) {
    throw new UserError("Cannot calibrate: a score is NaN or infinite");
  }
  // The small addend undoes the rounding of products such as 0.05 * 20.
  const dropped = Math.min(count - 1, Math.floor((1 - acceptance) * count + 1e-9));
  const threshold = sorted[dropped]!;
  const passing = count - sorted.indexOf(threshold);
  return {
    threshold,
    acceptance,
    accepted: passing / count,
    interval: clopperPearson(passing, count),
    count,
    scores: thinned(sorted),
  };
}

/** Evenly spaced order statistics of a very large set. */
function thinned(sorted: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  if (sorted.length <= MAX_KEPT) return sorted;
  const step = (sorted.length - 1) / (MAX_KEPT - 1);
  return Float32Array.from({ length: MAX_KEPT }, (_, i) => sorted[Math.round(i * step)]!);
}

/**
 * The conformal p-value of a score: among the calibration images and this one, the share that
 * scores no higher. Small values speak against the image being in-distribution; for an
 * in-distribution image it is at most p with probability p.
 *
 * @param calibration The calibration.
 * @param score The score.
 * @returns Above 0, at most 1.
 *
 * @example Below all of nine
 * ```ts
 * import { calibrate, pValue } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const calibration = calibrate(Float32Array.from({ length: 9 }, (_, i) => i));
 * assertEquals(pValue(calibration, -1), 0.1);
 * ```
 */
export function pValue(calibration: Calibration, score: number): number {
  const { scores, count } = calibration;
  const atMost = scores.length === count
    ? countAtMost(scores, score)
    : countAtMost(scores, score) / scores.length * count;
  return (1 + atMost) / (count + 1);
}

/** How many of ascending values are at most a bound. */
function countAtMost(ascending: Float32Array, bound: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
