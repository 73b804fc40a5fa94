/**
 * A figure over several runs: its mean and deviation, and how they are written.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { percent } from "./_report_text.ts";
import type { AblationFigure, AblationMeasure } from "./ablation.ts";

/** A figure's mean over its runs. */
export interface RunMean {
  /** The mean, 0 to 1. */
  readonly mean: number;
  /** The deviation with n - 1 below; `null` for a single run. */
  readonly deviation: number | null;
  /** How many runs there are. */
  readonly runs: number;
}

/** The runs of a figure as a list; empty when it is missing. */
export function runsOf(figure: AblationFigure): readonly number[] {
  const runs = figure === null ? [] : typeof figure === "number" ? [figure] : figure;
  const odd = runs.find((run) => !Number.isFinite(run));
  if (odd !== undefined) throw new UserError(`Cannot show a figure of ${odd}: it must be finite`);
  return runs;
}

/** Mean and deviation of a figure; `null` when it is missing. */
export function meanOf(figure: AblationFigure): RunMean | null {
  const runs = runsOf(figure);
  if (runs.length === 0) return null;
  const mean = runs.reduce((a, b) => a + b, 0) / runs.length;
  if (runs.length === 1) return { mean, deviation: null, runs: 1 };
  const squares = runs.reduce((sum, run) => sum + (run - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (runs.length - 1)), runs: runs.length };
}

/** The mean over several figures run by run, so that its deviation is that of the mean. */
export function averageOf(figures: readonly AblationFigure[]): AblationFigure {
  const lists = figures.map(runsOf);
  if (lists.length === 0 || lists.some(({ length }) => length === 0)) return null;
  const { length } = lists[0]!;
  if (lists.some((list) => list.length !== length)) {
    return figures.reduce((sum: number, one) => sum + meanOf(one)!.mean, 0) / figures.length;
  }
  return Array.from(
    { length },
    (_, run) => lists.reduce((sum, list) => sum + list[run]!, 0) / lists.length,
  );
}

/** The highest number of runs of any figure. */
export function mostRuns(figures: readonly AblationFigure[]): number {
  return Math.max(0, ...figures.map((figure) => runsOf(figure).length));
}

/** The best mean as it is printed, with two decimals: what prints alike is equally good. */
export function bestText(
  means: readonly (RunMean | null)[],
  { better }: AblationMeasure,
): string | null {
  const values = means.flatMap((one) => one === null ? [] : [one.mean]);
  if (values.length < 2) return null;
  return percent(better === "more" ? Math.max(...values) : Math.min(...values), 2);
}
