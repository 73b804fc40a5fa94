/**
 * How far the figures of a table would move with other images of the same kind: percentile
 * bootstrap over both sets, and DeLong's closed form for the AUROC.
 *
 * @module
 */

import { checkedCurve, type Curve, negativeCount, positiveCount } from "./_curve.ts";
import { intervalsOf, RankedScores, replicate, type Replicates } from "./_replicates.ts";
import { CONVENTIONS } from "./conventions.ts";
import type { Intervals } from "./figures.ts";
import type { AuprOptions, MetricOptions } from "./metrics.ts";
import { checkScores, type Scores } from "./scores.ts";

/** Options of {@linkcode bootstrapIntervals}. */
export interface BootstrapOptions extends AuprOptions {
  /**
   * How many times to resample.
   *
   * @default {500}
   */
  replicates?: number;
  /**
   * The share of replicates that the interval holds, between 0 and 1.
   *
   * @default {0.95}
   */
  level?: number;
  /**
   * The generator's seed. Together with `set` it fixes every draw.
   *
   * @default {0}
   */
  seed?: number;
}

/**
 * Percentile bootstrap intervals, stratified: each replicate draws as many ID images and as many
 * OOD images as there are, with replacement. Draws depend only on the seed, the set's name and the
 * two counts, so methods that share a set are compared on the same replicates. One replicate costs
 * O(n): the scores are sorted once, and a replicate only changes how often each one counts.
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options Replicates, level, seed, convention, and the set's name.
 * @returns An interval for each figure, as fractions.
 * @throws {UserError} If a set is empty, a score is not finite, or an option is out of range.
 *
 * @example The interval holds the figure
 * ```ts
 * import { auroc, bootstrapIntervals } from "@oodgpu/oodgpu/eval";
 * import { assert } from "@std/assert";
 *
 * const id = Float32Array.from({ length: 200 }, (_, i) => Math.sin(i) + 1);
 * const ood = Float32Array.from({ length: 100 }, (_, i) => Math.cos(i));
 * const [lower, upper] = bootstrapIntervals(id, ood, { replicates: 200, seed: 1 }).auroc;
 * assert(lower < auroc(id, ood) && auroc(id, ood) < upper);
 * ```
 */
export function bootstrapIntervals(
  id: Scores,
  ood: Scores,
  options: BootstrapOptions = {},
): Intervals {
  const { convention = "default", replicates = 500, level = 0.95, seed = 0, set = "" } = options;
  const { aupr = CONVENTIONS[convention].aupr } = options;
  const named = options.method === undefined ? {} : { method: options.method };
  checkScores(id, { ...named, set: "id" });
  checkScores(ood, { ...named, set: set || "ood" });
  const [[replicated]] = replicate([new RankedScores(id)], [{
    name: set,
    methods: [new RankedScores(ood)],
  }], { convention, aupr, replicates, level, seed }) as [[Replicates]];
  return intervalsOf(replicated, level);
}

/** An AUROC with DeLong's standard error. */
export interface DeLong {
  /** Area under the ROC curve. */
  readonly auroc: number;
  /** Its standard error; `NaN` when a set has a single score. */
  readonly standardError: number;
}

/**
 * The AUROC and its standard error in closed form, from the variance of the placements of each
 * score in the other set.
 *
 * Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), 837-845.
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options Names for error messages.
 * @returns The area and its standard error.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example Twice the standard error on either side
 * ```ts
 * import { delong } from "@oodgpu/oodgpu/eval";
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 *
 * const { auroc, standardError } = delong(Float32Array.of(3, 1), Float32Array.of(2, 0));
 * assertEquals(auroc, 0.75);
 * assertAlmostEquals(standardError, Math.sqrt(0.125));
 * ```
 */
export function delong(id: Scores, ood: Scores, options: MetricOptions = {}): DeLong {
  const curve = checkedCurve(id, ood, options);
  const idCount = positiveCount(curve);
  const oodCount = negativeCount(curve);
  const pairs = curvePairs(curve);
  const area = pairs / (idCount * oodCount);
  let idSquares = 0;
  let oodSquares = 0;
  let idAbove = 0;
  let oodAbove = 0;
  for (let i = 0; i < curve.size; i++) {
    const idHere = curve.positives[i]! - idAbove;
    const oodHere = curve.negatives[i]! - oodAbove;
    const idPlacement = (oodCount - oodAbove - oodHere / 2) / oodCount;
    const oodPlacement = (idAbove + idHere / 2) / idCount;
    idSquares += idHere * (idPlacement - area) ** 2;
    oodSquares += oodHere * (oodPlacement - area) ** 2;
    idAbove += idHere;
    oodAbove += oodHere;
  }
  const variance = idSquares / (idCount - 1) / idCount + oodSquares / (oodCount - 1) / oodCount;
  return { auroc: area, standardError: Math.sqrt(variance) };
}

function curvePairs(curve: Curve): number {
  let pairs = 0;
  let positives = 0;
  let negatives = 0;
  for (let i = 0; i < curve.size; i++) {
    pairs += (curve.negatives[i]! - negatives) * (positives + curve.positives[i]!) / 2;
    positives = curve.positives[i]!;
    negatives = curve.negatives[i]!;
  }
  return pairs;
}
