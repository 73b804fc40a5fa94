/**
 * The metrics as functions of a curve, one per rule; `metrics.ts` picks by convention.
 *
 * @module
 */

import { type Curve, flip, negativeCount, positiveCount } from "./_curve.ts";
import { pairwiseSum, percentileOfSorted, roundHalfEven, trapezoid } from "./_numpy.ts";
import type { AuprRule, Convention } from "./conventions.ts";
import type { Metrics } from "./figures.ts";

const LEVEL = 0.95;
// Not 1 - LEVEL, whose float64 differs from the literal that the convention multiplies with.
const REJECTED = 0.05;

/** All five in one pass for the default convention; ID is the curve's positive class. */
export function defaultMetrics(curve: Curve): Metrics {
  const { size, positives, negatives } = curve;
  const idCount = positiveCount(curve);
  const oodCount = negativeCount(curve);
  let pairs = 0;
  let precisionIn = 0;
  let precisionOut = 0;
  let fpr95 = -1;
  let reverse = 0;
  let idAbove = 0;
  let oodAbove = 0;
  for (let i = 0; i < size; i++) {
    const id = positives[i]!;
    const ood = negatives[i]!;
    pairs += (ood - oodAbove) * (idAbove + id);
    precisionIn += (id - idAbove) * (id / (id + ood));
    // What lies at or below this score, seen with OOD positive.
    const oodBelow = oodCount - oodAbove;
    const idBelow = idCount - idAbove;
    precisionOut += (ood - oodAbove) * (oodBelow / (oodBelow + idBelow));
    if (fpr95 < 0 && id / idCount >= LEVEL) fpr95 = ood / oodCount;
    if (oodBelow / oodCount >= LEVEL) reverse = idBelow / idCount;
    idAbove = id;
    oodAbove = ood;
  }
  return {
    auroc: pairs / 2 / (idCount * oodCount),
    fpr95,
    fpr95_reverse: reverse,
    aupr_in: precisionIn / idCount,
    aupr_out: precisionOut / oodCount,
  };
}

/** All five under any convention; ID is the curve's positive class. */
export function curveMetrics(
  curve: Curve,
  convention: Convention,
  { aupr }: { aupr: AuprRule },
): Metrics {
  if (convention === "default" && aupr === "average-precision") return defaultMetrics(curve);
  const flipped = flip(curve);
  const oodPositive = convention === "openood" || convention === "pytorch-ood";
  return {
    auroc: areaUnderRoc(oodPositive ? flipped : curve, convention),
    fpr95: falsePositiveRate(oodPositive ? flipped : curve, convention),
    fpr95_reverse: falsePositiveRate(oodPositive ? curve : flipped, convention),
    aupr_in: aupr === "trapezoid-dummy-ends" ? dummyEndsIn(curve) : areaUnderPr(curve, aupr),
    aupr_out: aupr === "trapezoid-dummy-ends" ? dummyEndsOut(curve) : areaUnderPr(flipped, aupr),
  };
}

/** AUROC with the convention's order of float64 operations. */
export function areaUnderRoc(curve: Curve, convention: Convention): number {
  switch (convention) {
    case "default":
    case "pytorch-ood":
      return rankArea(curve);
    case "synood": {
      const { tp, fp } = sampleCounts(curve);
      const specificity = fp.map((count) => 1 - count / fp[1]!);
      const sensitivity = tp.map((count) => count / tp[1]!);
      return -trapezoid(specificity, sensitivity);
    }
    case "openood":
    case "tagood":
    case "neglabel":
    case "ssd": {
      const { tpr, fpr } = keptRoc(curve);
      return trapezoid(tpr, fpr);
    }
    default:
      return convention satisfies never;
  }
}

/** FPR at 95 % TPR of the curve's positive class, under the convention's rule. */
export function falsePositiveRate(curve: Curve, convention: Convention): number {
  switch (convention) {
    case "default":
    case "pytorch-ood":
      return firstReached(curve);
    case "openood": {
      const { tpr, fpr } = keptRoc(curve);
      return fpr[tpr.findIndex((rate) => rate >= LEVEL)]!;
    }
    case "tagood":
      return interpolated(curve);
    case "synood":
      return strictlyAboveRank(curve);
    case "neglabel":
      return nearestRecall(curve);
    case "ssd":
      return belowPercentile(curve);
    default:
      return convention satisfies never;
  }
}

/** Area under the precision-recall curve of the curve's positive class. */
export function areaUnderPr(curve: Curve, rule: "average-precision" | "trapezoid"): number {
  // Ascending recall reversed: scikit-learn integrates from full recall down to (1, 0).
  const { size } = curve;
  const recall = new Float64Array(size + 1);
  const precision = new Float64Array(size + 1);
  const total = positiveCount(curve);
  for (let i = 0; i < size; i++) {
    const positives = curve.positives[size - 1 - i]!;
    recall[i] = positives / total;
    precision[i] = positives / (positives + curve.negatives[size - 1 - i]!);
  }
  precision[size] = 1;
  if (rule === "trapezoid") return -trapezoid(precision, recall);
  const terms = new Float64Array(size);
  for (let i = 0; i < size; i++) terms[i] = (recall[i + 1]! - recall[i]!) * precision[i]!;
  return -pairwiseSum(terms);
}

/** min over thresholds of (rejected ID + accepted OOD) / all; accepting everything is allowed. */
export function totalDetectionError(curve: Curve): number {
  const positives = positiveCount(curve);
  const negatives = negativeCount(curve);
  // Nothing accepted rejects all positives.
  let best = positives;
  for (let i = 0; i < curve.size; i++) {
    best = Math.min(best, positives - curve.positives[i]! + curve.negatives[i]!);
  }
  return best / (positives + negatives);
}

/** min over thresholds of the mean of both error rates. */
export function balancedDetectionError(curve: Curve): number {
  const positives = positiveCount(curve);
  const negatives = negativeCount(curve);
  let best = 1;
  for (let i = 0; i < curve.size; i++) {
    const missed = (positives - curve.positives[i]!) / positives;
    best = Math.min(best, missed + curve.negatives[i]! / negatives);
  }
  return best / 2;
}

/** The Mann-Whitney count over all pairs: whole numbers and halves, so exact in float64. */
function rankArea(curve: Curve): number {
  let pairs = 0;
  let positives = 0;
  let negatives = 0;
  for (let i = 0; i < curve.size; i++) {
    pairs += (curve.negatives[i]! - negatives) * (positives + curve.positives[i]!);
    positives = curve.positives[i]!;
    negatives = curve.negatives[i]!;
  }
  return pairs / 2 / (positives * negatives);
}

/** scikit-learn's ROC curve: collinear points dropped by second differences, (0, 0) in front. */
function keptRoc(curve: Curve): { tpr: Float64Array; fpr: Float64Array } {
  const { size, positives, negatives } = curve;
  const tpr = new Float64Array(size + 1);
  const fpr = new Float64Array(size + 1);
  let kept = 1;
  for (let i = 0; i < size; i++) {
    const inside = size > 2 && i > 0 && i < size - 1;
    if (inside && !bends(positives, i) && !bends(negatives, i)) continue;
    tpr[kept] = positives[i]! / positives[size - 1]!;
    fpr[kept] = negatives[i]! / negatives[size - 1]!;
    kept++;
  }
  return { tpr: tpr.subarray(0, kept), fpr: fpr.subarray(0, kept) };
}

function bends(counts: Float64Array, i: number): boolean {
  return counts[i + 1]! - counts[i]! !== counts[i]! - counts[i - 1]!;
}

function firstReached(curve: Curve): number {
  const total = positiveCount(curve);
  let i = 0;
  while (curve.positives[i]! / total < LEVEL) i++;
  return curve.negatives[i]! / negativeCount(curve);
}

function interpolated(curve: Curve): number {
  const { tpr, fpr } = keptRoc(curve);
  const right = tpr.findIndex((rate) => rate >= LEVEL);
  const left = right - 1;
  return ((LEVEL - tpr[left]!) * fpr[right]! + (tpr[right]! - LEVEL) * fpr[left]!) /
    (tpr[right]! - tpr[left]!);
}

/** Negatives strictly above the positive of ascending rank round(0.05 N). */
function strictlyAboveRank(curve: Curve): number {
  const total = positiveCount(curve);
  const rank = roundHalfEven(REJECTED * total);
  let i = 0;
  // The positive of ascending rank r is the first, from above, with at least total - r at or above.
  while (curve.positives[i]! < total - rank) i++;
  return (i > 0 ? curve.negatives[i - 1]! : 0) / negativeCount(curve);
}

function nearestRecall(curve: Curve): number {
  const total = positiveCount(curve);
  let last = 0;
  while (curve.positives[last]! < total) last++;
  let best = last;
  for (let i = last - 1; i >= 0; i--) {
    const distance = Math.abs(curve.positives[i]! / total - LEVEL);
    if (distance < Math.abs(curve.positives[best]! / total - LEVEL)) best = i;
  }
  return curve.negatives[best]! / negativeCount(curve);
}

/** Negatives whose distance (minus score) is strictly below the positives' 95th percentile. */
function belowPercentile(curve: Curve): number {
  const distances = new Float64Array(positiveCount(curve));
  let filled = 0;
  for (let i = 0; i < curve.size; i++) {
    distances.fill(-curve.values[i]!, filled, curve.positives[i]!);
    filled = curve.positives[i]!;
  }
  const limit = percentileOfSorted(distances, 95);
  let accepted = 0;
  for (let i = 0; i < curve.size && -curve.values[i]! < limit; i++) accepted = curve.negatives[i]!;
  return accepted / negativeCount(curve);
}

/**
 * One entry per sample, as the knn-ood lineage counts: after removing the l lowest samples, with
 * tied samples removed together; a dummy entry at either end.
 */
function sampleCounts(curve: Curve): { tp: Float64Array; fp: Float64Array } {
  const count = positiveCount(curve) + negativeCount(curve);
  const tp = new Float64Array(count + 3);
  const fp = new Float64Array(count + 3);
  tp.fill(positiveCount(curve), 0, 2);
  fp.fill(negativeCount(curve), 0, 2);
  let end = 2;
  for (let i = curve.size - 1; i >= 0; i--) {
    const positives = i > 0 ? curve.positives[i - 1]! : 0;
    const negatives = i > 0 ? curve.negatives[i - 1]! : 0;
    const next = count + 2 - positives - negatives;
    tp.fill(positives, end, next);
    fp.fill(negatives, end, next);
    end = next;
  }
  return { tp, fp };
}

function dummyEndsIn(curve: Curve): number {
  const { tp, fp } = sampleCounts(curve);
  // Recall falls along the samples, so the area comes out negative.
  return -areaWithDummyEnds(tp.length, {
    recall: (i) => tp[i]! / tp[0]!,
    right: (i) => tp[i]!,
    chosen: (i) => tp[i]! + fp[i]!,
    ends: [0.5, 0],
  });
}

function dummyEndsOut(curve: Curve): number {
  const { tp, fp } = sampleCounts(curve);
  return areaWithDummyEnds(tp.length, {
    recall: (i) => 1 - fp[i]! / fp[0]!,
    right: (i) => fp[0]! - fp[i]!,
    chosen: (i) => tp[0]! - tp[i]! + fp[0]! - fp[i]!,
    ends: [0, 0.5],
  });
}

/** Precision over recall; thresholds that choose nothing are left out, the ends are as given. */
function areaWithDummyEnds(
  size: number,
  { recall, right, chosen, ends }: {
    recall: (index: number) => number;
    right: (index: number) => number;
    chosen: (index: number) => number;
    ends: readonly [first: number, last: number];
  },
): number {
  const points = [{ x: recall(0), y: ends[0] }];
  for (let i = 1; i < size - 1; i++) {
    if (chosen(i) > 0) points.push({ x: recall(i), y: right(i) / chosen(i) });
  }
  points.push({ x: recall(size - 1), y: ends[1] });
  return trapezoid(
    Float64Array.from(points, ({ y }) => y),
    Float64Array.from(points, ({ x }) => x),
  );
}
