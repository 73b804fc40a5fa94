/**
 * The drawings of a comparison's report.
 *
 * @module
 */

// @ts-types="@types/d3-scale"
import { scaleLinear, scalePoint } from "d3-scale";
// @ts-types="@types/d3-shape"
import { line } from "d3-shape";
import { type Markup, markup } from "./_html.ts";
import { apart } from "./_plot_labels.ts";
import { percent } from "./_report_text.ts";
import type { SensitivityCurve } from "./comparison_report.ts";

/** Colours from nothing to the longest, readable without colour vision: dark blue to yellow. */
const RAMP = ["#1b1d4f", "#2d4f8e", "#1f7f8c", "#4fae7b", "#b5d14a", "#fdf06f"] as const;

/** A map of values as squares. */
export function heatMap(
  values: ArrayLike<number>,
  { size, highest, label }: {
    readonly size: readonly [height: number, width: number];
    readonly highest: number;
    readonly label: string;
  },
): Markup {
  const [height, width] = size;
  const colour = scaleLinear<string>(RAMP.map((_, i) => i / (RAMP.length - 1)), [...RAMP]);
  const squares = Array.from(values, (value, at) => {
    const [x, y] = [at % width, Math.floor(at / width)];
    return markup`<rect x="${x}" y="${y}" width="1.02" height="1.02" fill="${
      colour(Math.min(1, value / highest))
    }"/>`;
  });
  return markup`<svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="Norms at the locations of ${label}">${squares}</svg>`;
}

const LINES = [
  { name: "AUROC", color: 2, of: (p: Point) => p.auroc },
  { name: "FPR95", color: 1, of: (p: Point) => p.fpr95 },
  { name: "ID accuracy", color: 0, of: (p: Point) => p.accuracy },
] as const;

interface Point {
  readonly value: number;
  readonly auroc: number;
  readonly fpr95: number;
  readonly accuracy: number | null;
}

/** AUROC and FPR95 of energy (or the first method) and the accuracy over a setting's values. */
export function sensitivityPlot(curve: SensitivityCurve): Markup {
  const [width, height] = [340, 240];
  const points = curve.points.map(({ value, accuracy, averages }): Point => {
    const { auroc, fpr95 } = averages.find(({ method }) => method === "energy") ?? averages[0]!;
    return { value, accuracy, auroc, fpr95 };
  }).sort((a, b) => a.value - b.value);
  const x = scalePoint(points.map(({ value }) => String(value)), [46, width - 70]);
  const y = scaleLinear([0, 1], [height - 34, 10]);
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const grid = ticks.map((tick) =>
    markup`<path class="grid" d="M40,${y(tick).toFixed(1)}H${
      width - 64
    }"/><text class="tick" x="34" y="${y(tick).toFixed(1)}" dy=".32em" text-anchor="end">${
      100 * tick
    }</text>`
  );
  const labels = points.map(({ value }) =>
    markup`<text class="tick" x="${x(String(value))!.toFixed(1)}" y="${
      height - 18
    }" text-anchor="middle">${value}</text>`
  );
  const shown = LINES.filter(({ of }) => points.some((point) => of(point) !== null));
  const ends = apart(
    shown.map(({ of }) => y(of(points.findLast((point) => of(point) !== null)!)!)),
  );
  const lines = shown.map(({ name, color, of }, index) => {
    const known = points.filter((point) => of(point) !== null);
    const at = (point: Point): [number, number] => [x(String(point.value))!, y(of(point)!)];
    const path = line<Point>((point) => at(point)[0], (point) => at(point)[1])(known)!;
    const dots = known.map((point) => {
      const [cx, cy] = at(point);
      const chosen = point.value === curve.chosen;
      return markup`<circle r="${chosen ? 5.5 : 3}" cx="${cx.toFixed(1)}" cy="${
        cy.toFixed(1)
      }"><title>${name} ${percent(of(point)!)} at ${point.value}</title></circle>`;
    });
    return markup`<g class="series" style="--c:var(--m${color})"><path class="curve" d="${path}"/>${dots}<text class="label" x="${
      width - 58
    }" y="${ends[index]!.toFixed(1)}" dy=".32em">${name}</text></g>`;
  });
  return markup`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Figures over ${curve.name}">${grid}${labels}${lines}</svg>`;
}
