/**
 * The sections of an ablation's report.
 *
 * @module
 */

import { averageCurve } from "./_ablation_curves.ts";
import {
  cloudPlot,
  curvePlot,
  type DrawnSeries,
  glyph,
  lookOf,
  markOfClass,
} from "./_ablation_plots.ts";
import { histogramRows, KINDS_LEGEND } from "./_histogram_rows.ts";
import { type Markup, markup } from "./_html.ts";
import type { Section } from "./_report_section.ts";
import { percent } from "./_report_text.ts";
import { bestText, meanOf, mostRuns } from "./_runs.ts";
import type {
  AblationCurves,
  AblationFigure,
  AblationHeading,
  AblationMeasure,
  AblationNotes,
  AblationPicture,
  AblationScatter,
  AblationScores,
  AblationSection,
  AblationTable,
} from "./ablation.ts";

/** Places of OOD sets in the palette; a set has one colour on the whole page. */
export type SetColors = ReadonlyMap<string, number>;

/** A section of the page. */
export function sectionOf(section: AblationSection, id: string, colors: SetColors): Section {
  const body = (): Markup => {
    switch (section.kind) {
      case "curves":
        return curvesBody(section, colors);
      case "table":
        return tableBody(section);
      case "scatter":
        return scatterBody(section);
      case "scores":
        return scoresBody(section);
      case "picture":
        return pictureBody(section);
      case "notes":
        return notesBody(section);
      default:
        return section satisfies never;
    }
  };
  return {
    id,
    name: section.title,
    markup: markup`<section id="${id}"><h2>${section.title}</h2>${
      aboutOf(section, remarkOf(section))
    }${body()}</section>`,
  };
}

function aboutOf({ about }: AblationHeading, remark: string): Markup | null {
  const text = [about, remark].filter((part) => part !== undefined && part !== "").join(" ");
  return text === "" ? null : markup`<p class="about">${text}</p>`;
}

/** What the reader must know about how the figures are drawn. */
function remarkOf(section: AblationSection): string {
  switch (section.kind) {
    case "curves": {
      const runs = mostRuns(
        section.series.flatMap(({ points }) => points.flatMap(({ figures }) => figures)),
      );
      return `In percent.${runs > 1 ? ` Bars are the deviation over ${runs} runs.` : ""}${
        section.chosen === undefined ? "" : " The dashed line marks the value that is taken."
      }`;
    }
    case "table": {
      const runs = mostRuns(section.rows.flatMap(({ figures }) => figures));
      return `In percent; the best of each column carries a dot.${
        runs > 1 ? ` Means and deviations over ${runs} runs.` : ""
      }`;
    }
    case "scores":
      return "Right is more in-distribution. The dashed line keeps 95 % of the in-distribution " +
        "images; the outermost bins hold everything beyond.";
    default:
      return "";
  }
}

function curvesBody(curves: AblationCurves, colors: SetColors): Markup {
  const { measures, series, parameter } = curves;
  const drawn: DrawnSeries[] = series.map((one) => {
    const color = colors.get(one.name)!;
    return {
      ...one,
      mark: `set-${color}`,
      color: `var(--m${color % 10})`,
      round: Math.floor(color / 10),
      strong: false,
    };
  });
  // The average lies on top of the others.
  const all = series.length === 1 ? drawn : [...drawn, {
    ...averageCurve(curves),
    mark: "average",
    color: "var(--ink)",
    round: 0,
    strong: true,
  }];
  const legend = markup`<ul class="legend" aria-label="OOD sets">${
    all.map(({ name, mark, color }) =>
      markup`<li data-m="${mark}" style="--c:${color}"><span class="swatch"></span>${name}</li>`
    )
  }</ul>`;
  const charts = measures.map((measure, index) =>
    markup`<figure><h3>${headOf(measure)}<small>over ${parameter}</small></h3>${
      curvePlot(curves, { series: all, measure: index })
    }</figure>`
  );
  return markup`${legend}<div class="pair">${charts}</div>`;
}

function headOf({ name, better }: AblationMeasure): string {
  return `${name} ${better === "more" ? "↑" : "↓"}`;
}

function tableBody({ title, choice, parts = [], measures, rows }: AblationTable): Markup {
  const heads = [
    ...parts.map((part, i) =>
      markup`<th scope="col" class="tickmark${i === 0 ? " first" : ""}">${part}</th>`
    ),
    ...measures.map((measure) =>
      markup`<th scope="col" class="first">${measure.name}<small>${measure.better} is better</small></th>`
    ),
  ];
  const best = measures.map((measure, m) =>
    bestText(rows.map(({ figures }) => meanOf(figures[m] ?? null)), measure)
  );
  const body = rows.map((row) =>
    markup`<tr><th scope="row">${row.name}</th>${
      parts.map((part, p) =>
        markup`<td class="tickmark${p === 0 ? " first" : ""}">${
          row.parts?.[p] ? markup`<span role="img" aria-label="${part}">✓</span>` : null
        }</td>`
      )
    }${measures.map((_, m) => figureCell(row.figures[m] ?? null, best[m]!))}</tr>`
  );
  return markup`<div class="scroll" tabindex="0" role="region" aria-label="${title}"><table class="choices"><thead><tr><th scope="col">${choice}</th>${heads}</tr></thead><tbody>${body}</tbody></table></div>`;
}

function figureCell(figure: AblationFigure, best: string | null): Markup {
  const mean = meanOf(figure);
  if (mean === null) return markup`<td class="first">–</td>`;
  const value = percent(mean.mean, 2);
  return markup`<td class="first${value === best ? " best" : ""}"><b>${value}</b>${
    mean.deviation === null ? null : markup`<small>± ${percent(mean.deviation, 2)}</small>`
  }</td>`;
}

function scatterBody({ classes, clouds }: AblationScatter): Markup {
  const seen = new Set(clouds.flatMap(({ classOf }) => Array.from(classOf)));
  const shown = [...seen].sort((a, b) => a - b);
  const order = [...shown.filter((index) => index >= 0), ...shown.filter((index) => index < 0)];
  const legend = markup`<ul class="legend" aria-label="Classes">${
    order.map((index) => {
      const look = lookOf(index);
      const name = index < 0 ? "OOD" : classes[index] ?? `class ${index}`;
      return markup`<li data-m="${markOfClass(index)}" style="--c:${look.color}">${
        glyph(look)
      }${name}</li>`;
    })
  }</ul>`;
  return markup`${legend}<div class="pair">${
    clouds.map((cloud) =>
      markup`<figure><h3>${cloud.name}${
        cloud.note === undefined ? null : markup`<small>${cloud.note}</small>`
      }</h3>${cloudPlot(cloud, classes)}</figure>`
    )
  }</div>`;
}

function scoresBody({ rows }: AblationScores): Markup {
  return markup`${KINDS_LEGEND}${histogramRows(rows)}`;
}

function pictureBody({ source, description }: AblationPicture): Markup {
  return markup`<figure class="sheet"><img src="${source}" alt="${description}"></figure>`;
}

function notesBody({ notes }: AblationNotes): Markup {
  return markup`<dl class="read">${
    notes.map(({ term, text }) => markup`<dt>${term}</dt><dd>${text}</dd>`)
  }</dl>`;
}
