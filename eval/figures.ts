// deno-lint-ignore-file camelcase -- the names are those of the result files
/**
 * The figures of a results table and their intervals.
 *
 * @module
 */

/** The five figures of a results table, as fractions in 0..1. */
export interface Metrics {
  /** Area under the ROC curve; a tie between an ID and an OOD score counts half. */
  readonly auroc: number;
  /** False-positive rate at 95 %, under the convention. */
  readonly fpr95: number;
  /** The same rule with the roles of ID and OOD swapped. */
  readonly fpr95_reverse: number;
  /** Area under the precision-recall curve with ID positive. */
  readonly aupr_in: number;
  /** Area under the precision-recall curve with OOD positive. */
  readonly aupr_out: number;
}

/** The key of one of the five figures. */
export type Figure = keyof Metrics;

/** The keys of the five figures, in the order of a table. */
export const FIGURES: readonly Figure[] = [
  "auroc",
  "fpr95",
  "fpr95_reverse",
  "aupr_in",
  "aupr_out",
];

/** Lower and upper bound. */
export type Interval = readonly [lower: number, upper: number];

/** One interval for each figure, with what is needed to make them again. */
export interface Intervals {
  /** The share of replicates that each interval holds, for example 0.95. */
  readonly level: number;
  /** How many times both sets were resampled. */
  readonly replicates: number;
  /** Of the area under the ROC curve. */
  readonly auroc: Interval;
  /** Of the false-positive rate at 95 %. */
  readonly fpr95: Interval;
  /** Of the false-positive rate with the classes' roles swapped. */
  readonly fpr95_reverse: Interval;
  /** Of the area under the precision-recall curve with ID positive. */
  readonly aupr_in: Interval;
  /** Of the area under the precision-recall curve with OOD positive. */
  readonly aupr_out: Interval;
}
