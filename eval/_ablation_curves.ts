/**
 * The values of a sweep, and the average over its sets.
 *
 * @module
 */

import { averageOf } from "./_runs.ts";
import type { AblationCurves, AblationSeries } from "./ablation.ts";

/** All values of a sweep, ascending. */
export function sweptValues(series: readonly AblationSeries[]): number[] {
  const values = series.flatMap(({ points }) => points.map(({ value }) => value));
  return [...new Set(values)].sort((a, b) => a - b);
}

/** The average over the sets, run by run, at every value that all sets have. */
export function averageCurve({ series, measures }: AblationCurves): AblationSeries {
  const at = (one: AblationSeries, value: number) =>
    one.points.find((point) => point.value === value);
  const values = sweptValues(series).filter((value) => series.every((one) => at(one, value)));
  return {
    name: "average",
    points: values.map((value) => ({
      value,
      figures: measures.map((_, m) => averageOf(series.map((one) => at(one, value)!.figures[m]!))),
    })),
  };
}
