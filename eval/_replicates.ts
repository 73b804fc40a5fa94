/**
 * Resampling by weights: the scores are ranked once, and a replicate changes only how often each
 * image counts.
 *
 * @module
 */

import { Rng } from "../kernels/random/rng.ts";
import { UserError } from "../runtime/errors.ts";
import { curveMetrics } from "./_areas.ts";
import { type Curve, curveOf, emptyCurve } from "./_curve.ts";
import { percentileOfSorted } from "./_numpy.ts";
import type { AuprRule, Convention } from "./conventions.ts";
import { type Figure, FIGURES, type Interval, type Intervals } from "./figures.ts";
import type { Scores } from "./scores.ts";

/** Scores with their indices from the highest down; made once and shared by all replicates. */
export class RankedScores {
  /** The scores in input order. */
  readonly scores: Scores;
  /** Indices into `scores`, by descending score. */
  readonly order: Uint32Array<ArrayBuffer>;

  /** @param scores Finite scores; kept, not copied. */
  constructor(scores: Scores) {
    this.scores = scores;
    this.order = Uint32Array.from(scores, (_, index) => index);
    this.order.sort((a, b) => scores[b]! - scores[a]!);
  }
}

/** One OOD set with its scores under each method, in the order of the methods. */
export interface RankedSet {
  /** The set's name: part of what fixes its draws. */
  readonly name: string;
  /** Its scores by method. */
  readonly methods: readonly RankedScores[];
}

/** How to resample. */
export interface ReplicateOptions {
  /** Whose rules to follow. */
  readonly convention: Convention;
  /** How AUPR is taken. */
  readonly aupr: AuprRule;
  /** How many times to resample. */
  readonly replicates: number;
  /** The share of replicates that the intervals hold. */
  readonly level: number;
  /** The generator's seed. */
  readonly seed: number;
  /** Called after each replicate with how many are done. */
  readonly onReplicate?: (done: number) => void;
}

/** Each figure's value in every replicate. */
export type Replicates = Readonly<Record<Figure, Float64Array<ArrayBuffer>>>;

/** Resamples the ID set and all OOD sets together; the result is indexed `[set][method]`. */
export function replicate(
  id: readonly RankedScores[],
  sets: readonly RankedSet[],
  options: ReplicateOptions,
): Replicates[][] {
  const { replicates, level, seed, convention, aupr } = options;
  if (!Number.isSafeInteger(replicates) || replicates < 1) {
    throw new UserError(
      `Cannot bootstrap: the number of replicates must be a whole number of at least 1: it is ${replicates}`,
    );
  }
  if (!(level > 0 && level < 1)) {
    throw new UserError(`Cannot bootstrap: the level must lie between 0 and 1: it is ${level}`);
  }
  const idWeights = new Uint32Array(id[0]?.scores.length ?? 0);
  const idRng = new Rng(seed, streamOf("id"));
  const prepared = sets.map((set) => {
    const count = set.methods[0]?.scores.length ?? 0;
    return {
      rng: new Rng(seed, streamOf(`ood:${set.name}`)),
      weights: new Uint32Array(count),
      curve: emptyCurve(idWeights.length + count),
      merged: set.methods.map((ood, method) => mergeOrders(id[method]!, ood)),
      replicates: set.methods.map(() => emptyReplicates(replicates)),
    };
  });
  for (let r = 0; r < replicates; r++) {
    drawWeights(idWeights, idRng);
    for (const set of prepared) {
      drawWeights(set.weights, set.rng);
      for (let method = 0; method < set.merged.length; method++) {
        reweight(set.merged[method]!, { id: idWeights, ood: set.weights, curve: set.curve });
        const figures = curveMetrics(set.curve, convention, { aupr });
        const kept = set.replicates[method]!;
        for (const figure of FIGURES) kept[figure][r] = figures[figure];
      }
    }
    options.onReplicate?.(r + 1);
  }
  return prepared.map((set) => set.replicates);
}

/** The percentile interval of each figure. */
export function intervalsOf(values: Replicates, level: number): Intervals {
  return {
    level,
    replicates: values.auroc.length,
    auroc: intervalOf(values.auroc, level),
    fpr95: intervalOf(values.fpr95, level),
    fpr95_reverse: intervalOf(values.fpr95_reverse, level),
    aupr_in: intervalOf(values.aupr_in, level),
    aupr_out: intervalOf(values.aupr_out, level),
  };
}

/** The mean over several sets, replicate by replicate: they share the draws of the ID set. */
export function meanReplicates(many: readonly Replicates[]): Replicates {
  const mean = emptyReplicates(many[0]!.auroc.length);
  for (const figure of FIGURES) {
    for (const one of many) {
      for (let r = 0; r < mean[figure].length; r++) {
        mean[figure][r]! += one[figure][r]! / many.length;
      }
    }
  }
  return mean;
}

function intervalOf(values: Float64Array, level: number): Interval {
  const sorted = values.slice().sort();
  const tail = (1 - level) / 2 * 100;
  return [percentileOfSorted(sorted, tail), percentileOfSorted(sorted, 100 - tail)];
}

function emptyReplicates(count: number): Record<Figure, Float64Array<ArrayBuffer>> {
  return {
    auroc: new Float64Array(count),
    fpr95: new Float64Array(count),
    fpr95_reverse: new Float64Array(count),
    aupr_in: new Float64Array(count),
    aupr_out: new Float64Array(count),
  };
}

/** The distinct scores from the highest down, and where each one's images end in both orders. */
interface MergedOrders {
  readonly id: RankedScores;
  readonly ood: RankedScores;
  readonly curve: Curve;
}

function mergeOrders(id: RankedScores, ood: RankedScores): MergedOrders {
  return { id, ood, curve: curveOf(id.scores, ood.scores) };
}

/** How often each image was drawn. */
function drawWeights(weights: Uint32Array<ArrayBuffer>, rng: Rng): void {
  weights.fill(0);
  for (let i = 0; i < weights.length; i++) weights[rng.integer(weights.length)]!++;
}

/** Fills `curve` with the counts of one replicate; scores that nobody drew are left out. */
function reweight(
  merged: MergedOrders,
  { id, ood, curve }: { id: Uint32Array; ood: Uint32Array; curve: Curve },
): void {
  const idOrder = merged.id.order;
  const oodOrder = merged.ood.order;
  const { size, values, positives, negatives } = merged.curve;
  let i = 0;
  let j = 0;
  let idAbove = 0;
  let oodAbove = 0;
  let kept = 0;
  for (let group = 0; group < size; group++) {
    const before = idAbove + oodAbove;
    for (const end = positives[group]!; i < end; i++) idAbove += id[idOrder[i]!]!;
    for (const end = negatives[group]!; j < end; j++) oodAbove += ood[oodOrder[j]!]!;
    if (idAbove + oodAbove === before) continue;
    curve.values[kept] = values[group]!;
    curve.positives[kept] = idAbove;
    curve.negatives[kept] = oodAbove;
    kept++;
  }
  curve.size = kept;
}

/** A name's stream of random numbers: FNV-1a over UTF-16 units, so sets do not share draws. */
function streamOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
