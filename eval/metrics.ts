/**
 * The field's metrics, exact and in float64, under every convention that is in use.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import {
  areaUnderRoc,
  balancedDetectionError,
  curveMetrics,
  falsePositiveRate,
  totalDetectionError,
} from "./_areas.ts";
import { checkedCurve, type Curve, flip } from "./_curve.ts";
import { type AuprRule, type Convention, CONVENTIONS } from "./conventions.ts";
import type { Metrics } from "./figures.ts";
import type { Scores } from "./scores.ts";

/** Which convention a metric follows, and how its errors name the scores. */
export interface MetricOptions {
  /**
   * Whose rule to follow.
   *
   * @default {"default"}
   */
  convention?: Convention;
  /** The method's name, for error messages. */
  method?: string;
  /** The OOD set's name, for error messages. */
  set?: string;
}

/** Options of {@linkcode auprIn}, {@linkcode auprOut} and {@linkcode computeMetrics}. */
export interface AuprOptions extends MetricOptions {
  /** How the area is taken; the convention's own rule when not given. */
  aupr?: AuprRule;
}

/**
 * Area under the ROC curve: the chance that an ID image scores higher than an OOD image, a tie
 * counting half. Exact by ranks in O(n log n) with float64 counts; the legacy conventions add in
 * their own order and differ in the last bits only.
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options The convention, and names for error messages.
 * @returns The area, 0 to 1.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example Ties count half
 * ```ts
 * import { auroc } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(auroc(Float32Array.of(3, 2, 1), Float32Array.of(1, 0)), 5.5 / 6);
 * ```
 */
export function auroc(id: Scores, ood: Scores, options: MetricOptions = {}): number {
  const { convention = "default" } = options;
  return areaUnderRoc(oriented(checkedCurve(id, ood, options), convention), convention);
}

/**
 * FPR95 under a convention; by default the share of OOD images that are accepted at the highest
 * threshold that accepts at least 95 % of the in-distribution images: `FPR95(OOD|ID95)`.
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options The convention, and names for error messages.
 * @returns The rate, 0 to 1.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example Two conventions on the same tied scores
 * ```ts
 * import { fpr95 } from "@oodgpu/oodgpu/eval";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const id = Float64Array.of(0.9, 0.8, 0.8, 0.6, 0.5, 0.3);
 * const ood = Float64Array.of(0.8, 0.5, 0.4, 0.3, 0.1);
 * assertAlmostEquals(fpr95(id, ood), 0.8);
 * assertAlmostEquals(fpr95(id, ood, { convention: "tagood" }), 0.74);
 * ```
 */
export function fpr95(id: Scores, ood: Scores, options: MetricOptions = {}): number {
  const { convention = "default" } = options;
  return falsePositiveRate(oriented(checkedCurve(id, ood, options), convention), convention);
}

/**
 * FPR95 with the roles of ID and OOD swapped; by default the share of in-distribution images that
 * are rejected once at least 95 % of the OOD images are: `FPR95(ID|OOD95)`.
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options The convention, and names for error messages.
 * @returns The rate, 0 to 1.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example What a deployment pays for catching OOD images
 * ```ts
 * import { fpr95Reverse } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(fpr95Reverse(Float32Array.of(4, 3, 1, 0), Float32Array.of(2, 1)), 0.5);
 * ```
 */
export function fpr95Reverse(id: Scores, ood: Scores, options: MetricOptions = {}): number {
  const { convention = "default" } = options;
  return falsePositiveRate(flip(oriented(checkedCurve(id, ood, options), convention)), convention);
}

/**
 * Area under the precision-recall curve with ID positive. It depends on the ratio of ID to OOD
 * images, so it compares only between tables with the same sets.
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options The convention, the rule for the area, and names for error messages.
 * @returns The area, 0 to 1.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example The trapezoid is optimistic under ties
 * ```ts
 * import { auprIn } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * const constant = new Float32Array(4);
 * assertEquals(auprIn(constant, constant), 0.5);
 * assertEquals(auprIn(constant, constant, { aupr: "trapezoid" }), 0.75);
 * ```
 */
export function auprIn(id: Scores, ood: Scores, options: AuprOptions = {}): number {
  return computeMetrics(id, ood, options).aupr_in;
}

/**
 * Area under the precision-recall curve with OOD positive; see {@linkcode auprIn}.
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options The convention, the rule for the area, and names for error messages.
 * @returns The area, 0 to 1.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example Perfect separation
 * ```ts
 * import { auprOut } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(auprOut(Float32Array.of(3, 2), Float32Array.of(1, 0)), 1);
 * ```
 */
export function auprOut(id: Scores, ood: Scores, options: AuprOptions = {}): number {
  return computeMetrics(id, ood, options).aupr_out;
}

/**
 * AUROC, FPR95 both ways and AUPR both ways from one sort.
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options The convention, the rule for AUPR, and names for error messages.
 * @returns The five figures.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example All five
 * ```ts
 * import { computeMetrics } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(computeMetrics(Float32Array.of(2), Float32Array.of(1)), {
 *   auroc: 1,
 *   fpr95: 0,
 *   fpr95_reverse: 0,
 *   aupr_in: 1,
 *   aupr_out: 1,
 * });
 * ```
 */
export function computeMetrics(id: Scores, ood: Scores, options: AuprOptions = {}): Metrics {
  const { convention = "default", aupr = CONVENTIONS[convention].aupr } = options;
  return curveMetrics(checkedCurve(id, ood, options), convention, { aupr });
}

/**
 * The smallest share of all images that one threshold gets wrong, as the SynOOD code's `DTERR`;
 * it depends on the ratio of ID to OOD images.
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options Names for error messages.
 * @returns The share, 0 to 1.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example One mistake in four
 * ```ts
 * import { detectionError } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(detectionError(Float32Array.of(4, 3, 1), Float32Array.of(2)), 0.25);
 * ```
 */
export function detectionError(id: Scores, ood: Scores, options: MetricOptions = {}): number {
  return totalDetectionError(checkedCurve(id, ood, options));
}

/**
 * The smallest mean of the two error rates that one threshold reaches: min ½ (FNR + FPR).
 *
 * @param id Scores of the in-distribution set, higher = more in-distribution.
 * @param ood Scores of the OOD set.
 * @param options Names for error messages.
 * @returns The mean rate, 0 to 0.5.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example A constant detector is wrong half of the time
 * ```ts
 * import { balancedError } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(balancedError(new Float32Array(9), new Float32Array(3)), 0.5);
 * ```
 */
export function balancedError(id: Scores, ood: Scores, options: MetricOptions = {}): number {
  return balancedDetectionError(checkedCurve(id, ood, options));
}

/**
 * The share of all scores whose exact value occurs in the ID set and in the OOD set. A large one
 * means that the score saturates, and that conventions will disagree.
 *
 * @param id Scores of the in-distribution set.
 * @param ood Scores of the OOD set.
 * @param options Names for error messages.
 * @returns The share, 0 to 1.
 * @throws {UserError} If a set is empty or a score is not finite.
 *
 * @example Three of five scores are tied across the sets
 * ```ts
 * import { tieMass } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(tieMass(Float32Array.of(1, 1, 0.5), Float32Array.of(1, 0.2)), 0.6);
 * ```
 */
export function tieMass(id: Scores, ood: Scores, options: MetricOptions = {}): number {
  return tieMassOf(checkedCurve(id, ood, options));
}

/** {@linkcode tieMass} of a curve. */
function tieMassOf(curve: Curve): number {
  let tied = 0;
  let positives = 0;
  let negatives = 0;
  for (let i = 0; i < curve.size; i++) {
    const id = curve.positives[i]! - positives;
    const ood = curve.negatives[i]! - negatives;
    if (id > 0 && ood > 0) tied += id + ood;
    positives += id;
    negatives += ood;
  }
  return tied / (positives + negatives);
}

/**
 * The share of labelled images whose predicted class is right.
 *
 * @param predictions The predicted class of each image.
 * @param labels The true class of each image; a negative label means unknown and is left out.
 * @returns The share, 0 to 1, or `null` when no image has a label.
 * @throws {UserError} If the two lengths differ.
 *
 * @example An unknown label does not count
 * ```ts
 * import { idAccuracy } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(idAccuracy([1, 0, 2], [1, 1, -1]), 0.5);
 * assertEquals(idAccuracy([1], [-1]), null);
 * ```
 */
export function idAccuracy(
  predictions: ArrayLike<number>,
  labels: ArrayLike<number>,
): number | null {
  if (predictions.length !== labels.length) {
    throw new UserError(
      `Cannot compute the ID accuracy: there are ${predictions.length} predictions and ${labels.length} labels, and both must be as many as the images`,
    );
  }
  let known = 0;
  let right = 0;
  for (let i = 0; i < labels.length; i++) {
    if (labels[i]! < 0) continue;
    known++;
    if (labels[i]! === predictions[i]!) right++;
  }
  return known === 0 ? null : right / known;
}

/** The curve whose positive class is the convention's. */
function oriented(curve: Curve, convention: Convention): Curve {
  return CONVENTIONS[convention].positive === "ood" ? flip(curve) : curve;
}
