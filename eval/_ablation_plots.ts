/**
 * The drawings of an ablation's report: lines over a parameter, and clouds of points.
 *
 * @module
 */

// @ts-types="@types/d3-scale"
import { scaleLinear, scalePoint } from "d3-scale";
// @ts-types="@types/d3-shape"
import { line } from "d3-shape";
import { UserError } from "../runtime/errors.ts";
import { sweptValues } from "./_ablation_curves.ts";
import { type Markup, markup } from "./_html.ts";
import { apart } from "./_plot_labels.ts";
import { percent } from "./_report_text.ts";
import { meanOf, type RunMean } from "./_runs.ts";
import type { AblationCloud, AblationCurves, AblationSeries } from "./ablation.ts";

/** A line with its place in the palette; the average is drawn in ink. */
export interface DrawnSeries extends AblationSeries {
  /** What the legend calls it. */
  readonly mark: string;
  /** Its colour as a CSS value. */
  readonly color: string;
  /** The round of the palette, which decides how its line is dashed. */
  readonly round: number;
  /** Whether it is drawn with emphasis. */
  readonly strong: boolean;
}

const CHART = { width: 520, height: 320, left: 44, right: 112, top: 12, bottom: 44 } as const;
const MOST_LABEL = 17;

interface Place {
  readonly value: number;
  readonly x: number;
  readonly mean: RunMean;
}

/** One measure of all series over the parameter. */
export function curvePlot(
  { parameter, measures, chosen, spacing = "even" }: AblationCurves,
  { series, measure }: { readonly series: readonly DrawnSeries[]; readonly measure: number },
): Markup {
  const { width, height, left, right, top, bottom } = CHART;
  const values = sweptValues(series);
  const x = positions(values, spacing);
  const places = series.map(({ points }) =>
    points.flatMap(({ value, figures }): Place[] => {
      const mean = meanOf(figures[measure] ?? null);
      return mean === null ? [] : [{ value, x: x(value), mean }];
    }).sort((a, b) => a.value - b.value)
  );
  const y = scaleLinear(domainOf(places.flat()), [height - bottom, top]);
  const grid = y.ticks(5).map((tick) =>
    markup`<path class="grid" d="M${left},${tenth(y(tick))}H${
      width - right
    }"/><text class="tick" x="${left - 7}" y="${tenth(y(tick))}" dy=".32em" text-anchor="end">${
      Number((100 * tick).toFixed(4))
    }</text>`
  );
  const labels = values.map((value) =>
    markup`<text class="tick${value === chosen ? " mark" : ""}" x="${tenth(x(value))}" y="${
      height - bottom + 17
    }" text-anchor="middle">${value}</text>`
  );
  const taken = chosen === undefined || !values.includes(chosen)
    ? null
    : markup`<path class="level" d="M${tenth(x(chosen))},${top}V${height - bottom}"/>`;
  const shown = series.map((_, i) => i).filter((i) => places[i]!.length > 0);
  const wanted = shown.map((i) => y(places[i]!.at(-1)!.mean.mean));
  const heights = apart(wanted, height - bottom);
  const end = width - right + 10;
  const lines = shown.map((i, order) =>
    drawSeries(series[i]!, {
      places: places[i]!,
      y,
      measure: measures[measure]!.name,
      label: { x: end, y: heights[order]!, from: wanted[order]! },
    })
  );
  return markup`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${
    measures[measure]!.name
  } over ${parameter}, in percent">${grid}${taken}${labels}${lines}<text class="axis" x="${
    (left + width - right) / 2
  }" y="${height - 6}" text-anchor="middle">${parameter}</text></svg>`;
}

function drawSeries(
  { name, mark, color, round, strong }: DrawnSeries,
  { places, y, measure, label }: {
    readonly places: readonly Place[];
    readonly y: (value: number) => number;
    readonly measure: string;
    readonly label: { readonly x: number; readonly y: number; readonly from: number };
  },
): Markup {
  const path = line<Place>((place) => tenth(place.x), (place) => tenth(y(place.mean.mean)))(
    places,
  )!;
  const spreads = places.map(({ x, mean }) =>
    mean.deviation === null
      ? null
      : markup`<path class="whisker" d="M${tenth(x)},${tenth(y(mean.mean - mean.deviation))}V${
        tenth(y(mean.mean + mean.deviation))
      }"/>`
  );
  const dots = places.map(({ value, x, mean }) =>
    markup`<circle r="${strong ? 4.2 : 3.2}" cx="${tenth(x)}" cy="${
      tenth(y(mean.mean))
    }"><title>${name}: ${measure} ${describeMean(mean)} at ${value}</title></circle>`
  );
  const leader = Math.abs(label.y - label.from) > 3
    ? markup`<path class="leader" d="M${tenth(places.at(-1)!.x + 6)},${tenth(label.from)}L${
      label.x - 3
    },${tenth(label.y)}"/>`
    : null;
  return markup`<g class="series${
    strong ? " strong" : ""
  }" data-m="${mark}" style="--c:${color}"><path class="curve d${
    round % 3
  }" d="${path}"/>${spreads}${leader}${dots}<text class="label" x="${label.x}" y="${
    tenth(label.y)
  }" dy=".32em">${clip(name)}</text></g>`;
}

/** A mean with its deviation, in percent. */
export function describeMean({ mean, deviation }: RunMean): string {
  return `${percent(mean, 2)}${deviation === null ? "" : ` ± ${percent(deviation, 2)}`}`;
}

function positions(
  values: readonly number[],
  spacing: "even" | "linear",
): (value: number) => number {
  const range = [CHART.left + 14, CHART.width - CHART.right - 8] as const;
  if (spacing === "even" || values.length < 2) {
    const scale = scalePoint(values.map(String), [...range]);
    return (value) => scale(String(value))!;
  }
  return scaleLinear([values[0]!, values.at(-1)!], [...range]);
}

/** What the axis spans: the means with their deviations, and some air. */
function domainOf(places: readonly Place[]): [number, number] {
  const ends = places.flatMap(({ mean: { mean, deviation } }) => [
    mean - (deviation ?? 0),
    mean + (deviation ?? 0),
  ]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const air = Math.max(0.01, 0.06 * (high - low));
  const [from, to] = scaleLinear([low - air, high + air], [0, 1]).nice(5).domain() as [
    number,
    number,
  ];
  return [Math.max(0, from), Math.min(1, to)];
}

const CLOUD = 420;
const MARGIN = 14;

/** How the points of a class look: dots, then triangles, squares and diamonds. */
const SHAPES: readonly ((x: number, y: number) => string)[] = [
  (x, y) => `M${x},${y}h0`,
  (x, y) => `M${x},${tenth(y - 3.6)}l3.3,5.7h-6.6z`,
  (x, y) => `M${tenth(x - 2.7)},${tenth(y - 2.7)}h5.4v5.4h-5.4z`,
  (x, y) => `M${x},${tenth(y - 3.7)}l3.7,3.7l-3.7,3.7l-3.7-3.7z`,
];
/** The palette's last colour is the grey of OOD. */
const COLORS = 9;

/** A class's look in clouds and legends. */
export interface ClassLook {
  /** Its colour as a CSS value. */
  readonly color: string;
  /** The class of its path, which says whether it is stroked or filled. */
  readonly kind: string;
  /** The path of a point. */
  readonly path: (x: number, y: number) => string;
}

/** How the points of a class look; -1 is OOD. */
export function lookOf(index: number): ClassLook {
  if (index < 0) {
    return {
      color: "var(--faint)",
      kind: "cross",
      path: (x, y) => `M${tenth(x - 2.6)},${tenth(y - 2.6)}l5.2,5.2m0-5.2l-5.2,5.2`,
    };
  }
  const shape = Math.floor(index / COLORS) % SHAPES.length;
  return {
    color: `var(--m${index % COLORS})`,
    kind: shape === 0 ? "dots" : "marks",
    path: SHAPES[shape]!,
  };
}

/** A point of a class for a legend. */
export function glyph(look: ClassLook): Markup {
  return markup`<svg class="glyph" viewBox="0 0 12 12" aria-hidden="true"><path class="${look.kind}" d="${
    look.path(6, 6)
  }"/></svg>`;
}

/** A cloud of points; both axes have one scale, and no unit. */
export function cloudPlot(
  { name, points, classOf }: AblationCloud,
  classes: readonly string[],
): Markup {
  const count = classOf.length;
  if (points.length !== 2 * count) {
    throw new RangeError(
      `Cannot draw "${name}": there are ${points.length} coordinates for ${count} classes of points`,
    );
  }
  const at = placement(name, points);
  const groups = new Map<number, string[]>();
  for (let i = 0; i < count; i++) {
    const index = classOf[i]!;
    const paths = groups.get(index) ?? [];
    groups.set(index, paths);
    paths.push(lookOf(index).path(...at(i)));
  }
  const drawn = [...groups].sort(([a], [b]) => a - b).map(([index, paths]) => {
    const { color, kind } = lookOf(index);
    const title = index < 0 ? "OOD" : classes[index] ?? `class ${index}`;
    return markup`<g class="series" data-m="${
      markOfClass(index)
    }" style="--c:${color}"><title>${title}</title><path class="${kind}" d="${
      paths.join("")
    }"/></g>`;
  });
  return markup`<svg viewBox="0 0 ${CLOUD} ${CLOUD}" role="img" aria-label="${count} points: ${name}"><rect class="frame" width="${CLOUD}" height="${CLOUD}" rx="8"/>${drawn}</svg>`;
}

/** What ties a class's points to its entry in a legend. */
export function markOfClass(index: number): string {
  return index < 0 ? "class-ood" : `class-${index}`;
}

function placement(name: string, points: ArrayLike<number>): (i: number) => [number, number] {
  const low = [Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  for (let j = 0; j < points.length; j++) {
    const value = points[j]!;
    if (!Number.isFinite(value)) {
      throw new UserError(`Cannot draw "${name}": a coordinate is ${value}`);
    }
    low[j % 2] = Math.min(low[j % 2]!, value);
    high[j % 2] = Math.max(high[j % 2]!, value);
  }
  const span = Math.max(high[0]! - low[0]!, high[1]! - low[1]!) || 1;
  const scale = (CLOUD - 2 * MARGIN) / span;
  const centre = [(low[0]! + high[0]!) / 2, (low[1]! + high[1]!) / 2];
  return (i) => [
    tenth(CLOUD / 2 + scale * (points[2 * i]! - centre[0]!)),
    tenth(CLOUD / 2 - scale * (points[2 * i + 1]! - centre[1]!)),
  ];
}

/** Tenths of a pixel keep the file small. */
function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

function clip(text: string): string {
  const characters = [...text];
  if (characters.length <= MOST_LABEL) return text;
  return `${characters.slice(0, MOST_LABEL - 1).join("")}…`;
}
