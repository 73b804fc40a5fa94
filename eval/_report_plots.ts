/**
 * The report's plots as SVG text. Colours and strokes come from the page's style by class, so that
 * light, dark and print share one drawing.
 *
 * @module
 */

// @ts-types="@types/d3-scale"
import { scaleLinear } from "d3-scale";
// @ts-types="@types/d3-shape"
import { area, curveStepAfter, line } from "d3-shape";
import { type Curve, curveOf, negativeCount, positiveCount } from "./_curve.ts";
import { type Markup, markup } from "./_html.ts";
import { percentileOfSorted } from "./_numpy.ts";
import type { Scores } from "./scores.ts";

/** One method's line or row in a plot. */
export interface Series {
  /** The method's name. */
  readonly name: string;
  /** Position in the palette. */
  readonly color: number;
  /** Whether it is drawn with emphasis. */
  readonly strong: boolean;
}

/** A corner of a ROC curve. */
export interface RocPoint {
  /** Share of OOD images accepted. */
  readonly fpr: number;
  /** Share of ID images accepted. */
  readonly tpr: number;
}

/** More corners than this are thinned evenly along the curve: about a pixel of error at most. */
const ROC_POINTS = 400;
const BINS = 40;

/** The ROC curve's corners with ID positive; straight runs keep their ends only. */
export function rocPoints(curve: Curve): RocPoint[] {
  const idCount = positiveCount(curve);
  const oodCount = negativeCount(curve);
  const corners: { ood: number; id: number }[] = [{ ood: 0, id: 0 }];
  for (let i = 0; i < curve.size; i++) {
    const next = { ood: curve.negatives[i]!, id: curve.positives[i]! };
    const last = corners[corners.length - 1]!;
    const before = corners[corners.length - 2];
    const straight = before !== undefined &&
      (last.ood - before.ood) * (next.id - last.id) ===
        (next.ood - last.ood) * (last.id - before.id);
    if (straight) corners.pop();
    corners.push(next);
  }
  const points = corners.map(({ ood, id }) => ({ fpr: ood / oodCount, tpr: id / idCount }));
  if (points.length <= ROC_POINTS) return points;
  // Two neighbouring gaps together exceed a step, and all gaps together span 2.
  const step = 4 / (ROC_POINTS - 2);
  const kept = [points[0]!];
  for (let i = 1; i < points.length - 1; i++) {
    const last = kept[kept.length - 1]!;
    const next = points[i + 1]!;
    // Keeping the last point before the step is exceeded bounds the error by the step.
    if (next.fpr + next.tpr - last.fpr - last.tpr > step) kept.push(points[i]!);
  }
  kept.push(points[points.length - 1]!);
  return kept;
}

/** ROC curves of all methods on one OOD set. */
export function rocPlot(
  series: readonly (Series & { id: Scores; ood: Scores; auroc: string })[],
  { set }: { set: string },
): Markup {
  const width = 340;
  const height = 330;
  const x = scaleLinear([0, 1], [40, width - 12]);
  const y = scaleLinear([0, 1], [height - 38, 10]);
  const path = line<RocPoint>().x((point) => tenths(x(point.fpr))).y((point) =>
    tenths(y(point.tpr))
  );
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const grid = ticks.map((tick) =>
    markup`<path class="grid" d="M${x(0)},${y(tick)}H${x(1)}M${x(tick)},${y(0)}V${
      y(1)
    }" /><text class="tick" x="${x(0) - 7}" y="${y(tick)}" dy=".32em" text-anchor="end">${
      tick *
      100
    }</text><text class="tick" x="${x(tick)}" y="${y(0) + 16}" text-anchor="middle">${
      tick * 100
    }</text>`
  );
  // The emphasised curve is drawn last, on top of the others.
  const ordered = [...series].sort((a, b) => Number(a.strong) - Number(b.strong));
  const curves = ordered.map((one) => {
    const points = rocPoints(curveOf(one.id, one.ood));
    const crossing = points.find((point) => point.tpr >= 0.95)!;
    return markup`<g class="series${
      one.strong ? " strong" : ""
    }" data-m="${one.color}" style="--c:var(--m${
      one.color % 10
    })"><title>${one.name}: AUROC ${one.auroc}</title><path class="roc d${
      Math.floor(one.color / 10) % 3
    }" d="${path(points)!}" /><circle r="${one.strong ? 3.4 : 2.2}" cx="${
      x(crossing.fpr).toFixed(1)
    }" cy="${
      y(
        crossing.tpr,
      ).toFixed(1)
    }" /></g>`;
  });
  return markup`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="ROC curves on ${set}: share of in-distribution images accepted over share of OOD images accepted">${grid}<path class="chance" d="M${
    x(0)
  },${y(0)}L${x(1)},${y(1)}"/><path class="level" d="M${x(0)},${y(0.95).toFixed(1)}H${
    x(1)
  }"/><text class="tick mark" x="${x(0) - 7}" y="${
    y(0.95).toFixed(
      1,
    )
  }" dy=".32em" text-anchor="end">95</text>${curves}<text class="axis" x="${x(0.5)}" y="${
    height -
    4
  }" text-anchor="middle">OOD accepted, %</text><text class="axis" transform="translate(10 ${
    y(
      0.5,
    )
  }) rotate(-90)" text-anchor="middle">ID accepted, %</text></svg>`;
}

/** One row of the interval plot. */
export interface IntervalRow extends Series {
  /** The figure, 0 to 1. */
  readonly value: number;
  /** Its interval. */
  readonly bounds: readonly [number, number] | null;
}

/** A dot with its interval for each method on one set; all sets share the axis from `lowest`. */
export function intervalPlot(
  rows: readonly IntervalRow[],
  { set, lowest }: { set: string; lowest: number },
): Markup {
  const width = 340;
  const pitch = 24;
  const top = 8;
  const bottom = top + rows.length * pitch;
  const x = scaleLinear([lowest, 1], [104, width - 46]);
  const ticks = x.ticks(4);
  const grid = ticks.map((tick) =>
    markup`<path class="grid" d="M${x(tick).toFixed(1)},${top}V${bottom}" /><text class="tick" x="${
      x(tick).toFixed(1)
    }" y="${bottom + 15}" text-anchor="middle">${
      Number(
        (tick * 100).toFixed(4),
      )
    }</text>`
  );
  const marks = rows.map((row, index) => {
    const y = top + (index + 0.5) * pitch;
    const value = (100 * row.value).toFixed(1);
    const interval = row.bounds === null
      ? null
      : markup`<path class="whisker" d="M${x(row.bounds[0]).toFixed(1)},${y}H${
        x(row.bounds[1]).toFixed(
          1,
        )
      }" />`;
    return markup`<g class="series${
      row.strong ? " strong" : ""
    }" data-m="${row.color}" style="--c:var(--m${
      row.color % 10
    })"><title>${row.name}: ${value}</title><text class="label" x="94" y="${y}" dy=".32em" text-anchor="end">${
      clip(
        row.name,
        15,
      )
    }</text>${interval}<circle r="4" cx="${
      x(row.value).toFixed(
        1,
      )
    }" cy="${y}"/><text class="value" x="${
      width -
      4
    }" y="${y}" dy=".32em" text-anchor="end">${value}</text></g>`;
  });
  return markup`<svg viewBox="0 0 ${width} ${
    bottom + 22
  }" role="img" aria-label="AUROC of each method on ${set}, in percent, with intervals">${grid}${marks}</svg>`;
}

/** Where a method's histograms begin and end, over all sets: outliers go into the end bins. */
export function histogramRange(sets: readonly Scores[]): [number, number] {
  const ends = sets.map((scores) => {
    const sorted = scores.slice().sort();
    return [percentileOfSorted(sorted, 0.5), percentileOfSorted(sorted, 99.5)];
  });
  const low = Math.min(...ends.map((end) => end[0]!));
  const high = Math.max(...ends.map((end) => end[1]!));
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

/** Counts per bin as shares of the set. */
export function histogram(
  scores: Scores,
  [low, high]: readonly [number, number],
): Float64Array<ArrayBuffer> {
  const shares = new Float64Array(BINS);
  for (const score of scores) {
    const bin = Math.floor((score - low) / (high - low) * BINS);
    shares[Math.min(BINS - 1, Math.max(0, bin))]! += 1 / scores.length;
  }
  return shares;
}

/** ID scores over OOD scores of one method on one set, with the threshold that keeps 95 % of ID. */
export function histogramPlot(
  { id, ood, method, set, range }: {
    id: Scores;
    ood: Scores;
    method: string;
    set: string;
    range: readonly [number, number];
  },
): Markup {
  const width = 240;
  const height = 86;
  const base = height - 17;
  const idShares = histogram(id, range);
  const oodShares = histogram(ood, range);
  const highest = Math.max(...idShares, ...oodShares);
  const x = scaleLinear([...range], [4, width - 4]);
  const y = scaleLinear([0, highest], [base, 5]);
  const outline = (shares: Float64Array) => {
    const edges = Array.from({ length: BINS + 1 }, (_, bin) => ({
      at: range[0] + bin / BINS * (range[1] - range[0]),
      // The last edge closes the last step.
      share: shares[Math.min(bin, BINS - 1)]!,
    }));
    return area<{ at: number; share: number }>().x((edge) => tenths(x(edge.at))).y0(base)
      .y1((edge) => tenths(y(edge.share))).curve(curveStepAfter)(edges)!;
  };
  const sorted = id.slice().sort();
  const threshold = sorted[sorted.length - Math.ceil(0.95 * sorted.length)]!;
  const at = x(Math.min(range[1], Math.max(range[0], threshold))).toFixed(1);
  const ticks = x.ticks(3);
  const format = x.tickFormat(3);
  return markup`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Scores of ${method}: in-distribution over ${set}"><title>${method} on ${set}: scores to the right are more in-distribution</title><path class="base" d="M4,${base}H${
    width -
    4
  }"/><path class="ood" d="${outline(oodShares)}"/><path class="id" d="${
    outline(
      idShares,
    )
  }"/><path class="threshold" d="M${at},4V${base}"/>${
    ticks.map((tick) =>
      markup`<text class="tick" x="${x(tick).toFixed(1)}" y="${height - 4}" text-anchor="middle">${
        format(tick)
      }</text>`
    )
  }</svg>`;
}

/** Tenths of a pixel keep the file small. */
function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}

function clip(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}
