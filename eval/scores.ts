/**
 * What a score array is, and the check that every metric makes before it counts anything.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";

/** Scores of one set of images under one method, in input order; higher = more in-distribution. */
export type Scores = Float32Array | Float64Array;

/** What an error message names when scores are refused. */
export interface ScoreOrigin {
  /** The method's name, for example `msp`. */
  readonly method?: string;
  /** The set's name: `id` or the name of an OOD set. */
  readonly set?: string;
}

/**
 * Refuses an empty set of scores and scores that are NaN or infinite, which no ranking can place.
 *
 * @param scores The scores, higher = more in-distribution.
 * @param origin What the message names: the method and the set.
 * @throws {UserError} If there is no score, or one is not finite; the message names its index.
 *
 * @example Refuse a NaN
 * ```ts
 * import { checkScores } from "@oodgpu/oodgpu/eval";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(
 *   () => checkScores(Float32Array.of(0.1, NaN), { method: "vim", set: "svhn" }),
 *   Error,
 *   'Cannot evaluate method "vim" on set "svhn": score 1 is NaN, and every score must be finite',
 * );
 * ```
 */
export function checkScores(scores: Scores, origin: ScoreOrigin = {}): void {
  if (scores.length === 0) {
    throw new UserError(
      `${describe(origin)}: the set has no scores, and a metric needs at least one`,
    );
  }
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (!Number.isFinite(score)) {
      throw new UserError(
        `${describe(origin)}: score ${i} is ${score}, and every score must be finite`,
      );
    }
  }
}

function describe(origin: ScoreOrigin): string {
  const method = origin.method === undefined ? "scores" : `method "${origin.method}"`;
  return `Cannot evaluate ${method}${origin.set === undefined ? "" : ` on set "${origin.set}"`}`;
}
