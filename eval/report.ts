/**
 * An evaluation as one HTML file that needs no network: the table, ROC curves, histograms and the
 * most confusing images, readable in light, dark and print, and complete without its script.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { type Markup, markup, type Piece } from "./_html.ts";
import { entriesOf, type Named } from "./_named.ts";
import {
  histogramPlot,
  histogramRange,
  intervalPlot,
  rocPlot,
  type Series,
} from "./_report_plots.ts";
import { SCRIPT, SCRIPT_HASH, STYLE } from "./_report_style.ts";
import { CONVENTIONS } from "./conventions.ts";
import { type Figure, FIGURES } from "./figures.ts";
import type { Evaluation, EvaluationAverage, EvaluationResult } from "./protocol.ts";
import type { Scores } from "./scores.ts";
import { figureHeading } from "./table.ts";

/** Names and pictures of a set's images. */
export interface ReportImages {
  /** The images' names, in the order of the scores. */
  readonly names: readonly string[];
  /** Pictures by index as `data:image/…` addresses; only those shown need one. */
  readonly thumbnails?: ReadonlyMap<number, string>;
}

/** What the report says about a method. */
export interface MethodDescription {
  /** The name that the evaluation uses. */
  readonly name: string;
  /** Its name in prose. */
  readonly title?: string;
  /** The paper. */
  readonly source?: string;
  /** Its parameters as they were used. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** What a report is made of. */
export interface ReportInput {
  /** What {@linkcode evaluate} returned. */
  readonly evaluation: Evaluation;
  /** Scores of the ID set by method; without `id` and `ood` the report has no curves. */
  readonly id?: Named<Scores>;
  /** Scores by OOD set, then by method. */
  readonly ood?: Named<Named<Scores>>;
  /** The ID set's images. */
  readonly idImages?: ReportImages;
  /** The images of OOD sets, by set. */
  readonly oodImages?: Named<ReportImages>;
  /** What to say about the methods. */
  readonly methods?: readonly MethodDescription[];
  /** More warnings, shown with those of the evaluation. */
  readonly warnings?: readonly string[];
}

/** How a report looks. */
export interface ReportOptions {
  /**
   * The heading.
   *
   * @default {"Out-of-distribution evaluation"}
   */
  readonly title?: string;
  /** A sentence below the heading. */
  readonly lede?: string;
  /**
   * How many of the most confusing images to list on either side.
   *
   * @default {12}
   */
  readonly confusing?: number;
}

/** An image on the wrong side of the ranking. */
export interface ConfusingImage {
  /** The OOD set, or `null` for the ID set. */
  readonly set: string | null;
  /** Its index in the set. */
  readonly index: number;
  /** Its score. */
  readonly score: number;
  /** Share of ID images that score lower: high for confusing OOD images, low for ID images. */
  readonly rank: number;
}

/** Both lists of {@linkcode mostConfusing}. */
export interface ConfusingImages {
  /** ID images, from the lowest score up. */
  readonly id: readonly ConfusingImage[];
  /** OOD images over all sets, from the highest score down. */
  readonly ood: readonly ConfusingImage[];
}

/**
 * The images that a method ranks most wrongly: the highest-scoring OOD images and the
 * lowest-scoring ID images. Equal scores stay in input order.
 *
 * @param id Scores of the ID set under the method.
 * @param ood Scores of each OOD set under the method.
 * @param options How many to list on either side, 12 by default.
 * @returns Both lists.
 *
 * @example Find the image that looks in-distribution
 * ```ts
 * import { mostConfusing } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * const found = mostConfusing(
 *   Float32Array.of(5, 1, 4),
 *   { noise: Float32Array.of(0, 4.5) },
 *   { count: 1 },
 * );
 * assertEquals(found.ood, [{ set: "noise", index: 1, score: 4.5, rank: 2 / 3 }]);
 * assertEquals(found.id, [{ set: null, index: 1, score: 1, rank: 0 }]);
 * ```
 */
export function mostConfusing(
  id: Scores,
  ood: Named<Scores>,
  options: { readonly count?: number } = {},
): ConfusingImages {
  const { count = 12 } = options;
  const sorted = id.slice().sort();
  const describe = (set: string | null, index: number, score: number): ConfusingImage => ({
    set,
    index,
    score,
    rank: countBelow(sorted, score) / sorted.length,
  });
  const pick = (scores: Scores, sign: 1 | -1): { index: number; score: number }[] =>
    Array.from(scores, (score, index) => ({ index, score }))
      .sort((a, b) => sign * (a.score - b.score) || a.index - b.index)
      .slice(0, count);
  const outside = entriesOf(ood).flatMap(([set, scores]) =>
    pick(scores, -1).map(({ index, score }) => describe(set, index, score))
  );
  // A stable sort, so equal scores stay in the order of the sets.
  outside.sort((a, b) => b.score - a.score);
  return {
    id: pick(id, 1).map(({ index, score }) => describe(null, index, score)),
    ood: outside.slice(0, count),
  };
}

/**
 * The method with the highest AUROC averaged over all OOD sets; the first one of equals.
 *
 * @param evaluation What {@linkcode evaluate} returned.
 * @returns The method's name.
 *
 * @example Which method to look at first
 * ```ts
 * import { bestMethod, evaluate } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * const evaluation = evaluate({
 *   id: { msp: Float32Array.of(1), knn: Float32Array.of(1) },
 *   ood: { noise: { msp: Float32Array.of(2), knn: Float32Array.of(0) } },
 * }, { replicates: 0 });
 * assertEquals(bestMethod(evaluation), "knn");
 * ```
 */
export function bestMethod(evaluation: Evaluation): string {
  const averages = evaluation.averages.filter(({ group }) => group === "all");
  return averages.reduce((best, row) => row.auroc > best.auroc ? row : best).method;
}

/**
 * Renders the report. All text is escaped; pictures are taken as `data:image` addresses only; the
 * page's policy forbids every request.
 *
 * @param input The evaluation and, for curves and images, the scores and names.
 * @param options Heading and lengths.
 * @returns A whole HTML document.
 * @throws {UserError} If a thumbnail is not a `data:image` address, or scores of a method or set
 * of the evaluation are missing.
 *
 * @example Write a report
 * ```ts
 * import { evaluate, renderReport } from "@oodgpu/oodgpu/eval";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const id = { energy: Float32Array.of(5, 4, 3, 2) };
 * const ood = { noise: { energy: Float32Array.of(2.5, 1) } };
 * const evaluation = evaluate({ id, ood });
 * const page = renderReport({ evaluation, id, ood }, { title: "My model" });
 * assertStringIncludes(page, "<h1>My model</h1>");
 * ```
 */
export function renderReport(input: ReportInput, options: ReportOptions = {}): string {
  const { title = "Out-of-distribution evaluation" } = options;
  const report = readInput(input, options);
  const policy =
    `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${SCRIPT_HASH}'`;
  const sections = [
    resultsSection(report),
    intervalSection(report),
    ...(report.scores === null ? [] : [rocSection(report), histogramSection(report)]),
    ...(report.scores === null ? [] : [confusingSection(report)]),
    methodsSection(report),
    readingSection(report),
    recordSection(report),
  ].filter((section) => section !== null);
  const nav = markup`<nav aria-label="Sections">${
    sections.map(({ id, name }) => markup`<a href="#${id}">${name}</a>`)
  }</nav>`;
  return markup`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>${title}</title><style>${
    raw(STYLE)
  }</style></head><body>${headSection(report, { title, nav })}<main>${
    sections.map((section) => section.markup)
  }</main><footer>Made by oodgpu. This file is complete: it loads nothing and sends nothing.</footer><script>${
    raw(SCRIPT)
  }</script></body></html>
`.text;
}

interface Section {
  readonly id: string;
  readonly name: string;
  readonly markup: Markup;
}

/** Everything the sections share, looked up and checked once. */
interface Report {
  readonly input: ReportInput;
  readonly evaluation: Evaluation;
  readonly best: string;
  /** Methods from the best average AUROC down, each with its colour. */
  readonly series: readonly Series[];
  readonly sets: readonly string[];
  readonly result: (method: string, set: string) => EvaluationResult;
  readonly average: (method: string) => EvaluationAverage;
  /** Averages over named groups of sets. */
  readonly groups: ReadonlyMap<string, ReadonlyMap<string, EvaluationAverage>>;
  readonly title: (method: string) => string;
  readonly scores: ReadonlyMap<string, { id: Scores; ood: ReadonlyMap<string, Scores> }> | null;
  readonly images: ReadonlyMap<string | null, ReportImages>;
  readonly confusing: number;
  readonly lede: string | null;
}

function readInput(input: ReportInput, options: ReportOptions): Report {
  const { evaluation } = input;
  const { methods } = evaluation.manifest;
  const sets = [...new Set(evaluation.results.map((row) => row.ood))];
  const results = new Map(
    evaluation.results.map((row) => [JSON.stringify([row.method, row.ood]), row]),
  );
  const groups = new Map<string, Map<string, EvaluationAverage>>();
  for (const row of evaluation.averages) {
    groups.set(row.group, (groups.get(row.group) ?? new Map()).set(row.method, row));
  }
  const averages = groups.get("all")!;
  groups.delete("all");
  const best = bestMethod(evaluation);
  const series = methods.map((name, color) => ({ name, color, strong: name === best }))
    .sort((a, b) => averages.get(b.name)!.auroc - averages.get(a.name)!.auroc);
  const titles = new Map(
    input.methods?.map((method) => [method.name, method.title ?? method.name]),
  );
  const images = new Map<string | null, ReportImages>(entriesOf(input.oodImages ?? {}));
  if (input.idImages !== undefined) images.set(null, input.idImages);
  for (const { thumbnails } of images.values()) {
    for (const address of thumbnails?.values() ?? []) checkThumbnail(address);
  }
  return {
    input,
    evaluation,
    best,
    series,
    sets,
    result: (method, set) => results.get(JSON.stringify([method, set]))!,
    average: (method) => averages.get(method)!,
    groups,
    title: (method) => titles.get(method) ?? method,
    scores: input.id === undefined || input.ood === undefined
      ? null
      : lookUpScores(input.id, input.ood, { methods, sets }),
    images,
    confusing: options.confusing ?? 12,
    lede: options.lede ?? null,
  };
}

function lookUpScores(
  id: Named<Scores>,
  ood: Named<Named<Scores>>,
  { methods, sets }: { methods: readonly string[]; sets: readonly string[] },
): Map<string, { id: Scores; ood: Map<string, Scores> }> {
  const idScores = new Map(entriesOf(id));
  const oodScores = new Map(
    entriesOf(ood).map(([set, scores]) => [set, new Map(entriesOf(scores))]),
  );
  const need = (scores: Scores | undefined, method: string, set: string): Scores => {
    if (scores !== undefined) return scores;
    throw new UserError(
      `Cannot report method "${method}" on set "${set}": the evaluation has it and the scores do not`,
    );
  };
  return new Map(methods.map((method) => [method, {
    id: need(idScores.get(method), method, "id"),
    ood: new Map(sets.map((set) => [set, need(oodScores.get(set)?.get(method), method, set)])),
  }]));
}

/** A heading such as `FPR95(OOD|ID95) ↓`. */
const HEADING_REGEXP = /^(\S+?) ?(\([^)]+\))( \S+)$/;

const THUMBNAIL_REGEXP = /^data:image\/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+=*$/;

function checkThumbnail(address: string): void {
  if (THUMBNAIL_REGEXP.test(address)) return;
  throw new UserError(
    `Cannot show thumbnail "${
      address.slice(0, 40)
    }": it must be a data:image address in base64 (png, jpeg, webp or gif)`,
  );
}

function headSection(
  report: Report,
  { title, nav }: { title: string; nav: Markup },
): Markup {
  const { evaluation, series, sets, best } = report;
  const { manifest } = evaluation;
  const average = report.average(best);
  const over = sets.length === 1 ? `on ${sets[0]}` : `mean over ${sets.length} OOD sets`;
  const lede = report.lede ??
    `${plural(series.length, "method")} on ${plural(sets.length, "OOD set")} against ${
      integer(average.n_id)
    } in-distribution images.`;
  const warnings = [...evaluation.warnings, ...report.input.warnings ?? []];
  return markup`<header>
<p class="eyebrow">OOD detection report</p>
<h1>${title}</h1>
<p class="lede">${lede}</p>
<dl class="key">
<div><dt>${series.length === 1 ? "Method" : "Best method by mean AUROC"}</dt><dd>${
    report.title(best)
  }<small>${over}</small></dd></div>
<div><dt>AUROC</dt><dd>${percent(average.auroc)}<small>${
    spanOf(average, "auroc")
  }</small></dd></div>
<div><dt>${manifest.fpr95}</dt><dd>${percent(average.fpr95)}<small>${
    spanOf(average, "fpr95")
  }</small></dd></div>
${
    evaluation.id_accuracy === null
      ? markup`<div><dt>OOD images</dt><dd>${integer(average.n_ood)}<small>in ${
        plural(sets.length, "set")
      }</small></dd></div>`
      : markup`<div><dt>ID accuracy</dt><dd>${percent(evaluation.id_accuracy)}<small>on ${
        integer(
          average.n_id,
        )
      } images</small></dd></div>`
  }
</dl>
${
    warnings.length === 0
      ? null
      : markup`<ul class="warnings" aria-label="Warnings">${
        warnings.map((warning) => markup`<li>${warning}</li>`)
      }</ul>`
  }
${nav}
</header>`;
}

const SHORT: readonly Figure[] = ["auroc", "fpr95"];

function resultsSection(report: Report): Section {
  const { evaluation, sets, series } = report;
  const { bootstrap } = evaluation.manifest;
  const groups = [
    ...(sets.length === 1
      ? []
      : [{ name: "Mean", about: `${sets.length} sets`, row: report.average }]),
    ...[...report.groups].map(([name, rows]) => ({
      name: `Mean, ${name}`,
      about: plural(rows.get(series[0]!.name)!.sets.length, "set"),
      row: (method: string) => rows.get(method)!,
    })),
    ...sets.map((set) => ({
      name: set,
      about: `${integer(report.result(series[0]!.name, set).n_ood)} images`,
      row: (method: string) => report.result(method, set),
    })),
  ];
  const columns = groups.flatMap(({ row }) => SHORT.map((figure) => ({ row, figure })));
  const best = columns.map(({ row, figure }) =>
    bestText(series.map(({ name }) => row(name)[figure]), figure)
  );
  const body = series.map((one) =>
    markup`<tr><th scope="row" data-v="${
      report.title(one.name)
    }" title="${one.name}"><span class="swatch" style="--c:var(--m${one.color % 10})"></span>${
      report.title(one.name)
    }</th>${
      columns.map(({ row, figure }, column) =>
        figureCell(row(one.name), figure, { first: figure === "auroc", best: best[column]! })
      )
    }</tr>`
  );
  const interval = bootstrap === null
    ? ""
    : ` Below each figure its ${
      percent(bootstrap.level, 0)
    } % bootstrap interval (${bootstrap.replicates} replicates).`;
  return {
    id: "results",
    name: "Results",
    markup: markup`<section id="results"><h2>Results</h2>
<p class="about">In percent; the best of each column carries a dot. ${
      figureHeading(evaluation, "fpr95").text
    } follows convention ${evaluation.manifest.convention} (${evaluation.manifest.convention_name}).${interval}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Results by method and OOD set"><table class="sortable">
<thead><tr><th></th>${
      groups.map(({ name, about }) =>
        markup`<th class="group first" colspan="${SHORT.length}" scope="colgroup">${name}<small>${about}</small></th>`
      )
    }</tr>
<tr>${heading("Method", { column: 0, kind: "text", first: "ascending" })}${
      columns.map(({ figure }, column) => {
        const { text, higherIsBetter } = figureHeading(evaluation, figure);
        return heading(`${text} ${higherIsBetter ? "↑" : "↓"}`, {
          column: column + 1,
          kind: "number",
          first: higherIsBetter ? "descending" : "ascending",
          border: figure === "auroc",
        });
      })
    }</tr></thead>
<tbody>${body}</tbody></table></div>
${allFigures(report)}</section>`,
  };
}

/** Every row with every figure, folded away. */
function allFigures(report: Report): Markup {
  const { evaluation } = report;
  const rows = [...evaluation.results, ...evaluation.averages].map((row) => {
    const set = "ood" in row ? row.ood : `mean: ${row.group}`;
    const ties = "ood" in row ? row.tie_mass : null;
    return markup`<tr><th scope="row" data-v="${set}">${set}</th><td class="text" data-v="${
      report.title(row.method)
    }">${report.title(row.method)}</td>${
      FIGURES.map((figure) => figureCell(row, figure, { digits: 2 }))
    }<td data-v="${ties ?? -1}">${ties === null ? "" : percent(ties, 2)}</td></tr>`;
  });
  const headings = FIGURES.map((figure, index) => {
    const { text, higherIsBetter } = figureHeading(evaluation, figure);
    return heading(`${text} ${higherIsBetter ? "↑" : "↓"}`, {
      column: index + 2,
      kind: "number",
      first: higherIsBetter ? "descending" : "ascending",
    });
  });
  return markup`<details><summary>All figures, by set and method</summary><div class="scroll" tabindex="0" role="region" aria-label="All figures"><table class="sortable"><thead><tr>${
    heading("OOD set", { column: 0, kind: "text", first: "ascending" })
  }${
    heading(
      "Method",
      { column: 1, kind: "text", first: "ascending" },
    )
  }${headings}${
    heading("Tied scores", {
      column: FIGURES.length + 2,
      kind: "number",
      first: "descending",
    })
  }</tr></thead><tbody>${rows}</tbody></table></div></details>`;
}

function heading(
  text: string,
  { column, kind, first, border = false }: {
    column: number;
    kind: "text" | "number";
    first: "ascending" | "descending";
    border?: boolean;
  },
): Markup {
  return markup`<th scope="col"${
    border ? markup` class="first"` : null
  } data-column="${column}" data-kind="${kind}" data-first="${first}">${stacked(text)}</th>`;
}

/** The convention on a line of its own keeps the columns narrow. */
function stacked(text: string): Piece {
  const [, name, convention, arrow] = HEADING_REGEXP.exec(text) ?? [];
  return name === undefined ? text : markup`${name}${arrow!}<small>${convention!}</small>`;
}

function figureCell(
  row: EvaluationResult | EvaluationAverage,
  figure: Figure,
  { first = false, best = null, digits = 1 }: {
    first?: boolean;
    best?: string | null;
    digits?: number;
  },
): Markup {
  const value = row[figure];
  const classes = [
    first ? "first" : "",
    figure === "auroc" ? "heat" : "",
    best === percent(value, digits) ? "best" : "",
  ].filter((name) => name !== "").join(" ");
  // Chance is blank; only the span above it carries information.
  const tint = figure === "auroc"
    ? markup`style="--t:${(Math.max(0, value - 0.5) * 64).toFixed(0)}%"`
    : null;
  return markup`<td class="${classes}" ${tint} data-v="${value}"><b>${
    percent(
      value,
      digits,
    )
  }</b>${row.ci === null ? null : markup`<small>${span(row.ci[figure], digits)}</small>`}</td>`;
}

function intervalSection(report: Report): Section {
  const { evaluation, series, sets } = report;
  const lows = evaluation.results.map((row) => row.ci?.auroc[0] ?? row.auroc);
  // Chance anchors the axis unless everything is well above it.
  const lowest = Math.max(0, Math.floor(Math.min(...lows) * 20 - 0.2) / 20);
  const plots = sets.map((set) => {
    const rows = series.map((one) => {
      const result = report.result(one.name, set);
      return {
        ...one,
        name: report.title(one.name),
        value: result.auroc,
        bounds: result.ci?.auroc ?? null,
      };
    });
    return markup`<figure><h3>${set}<small>${
      integer(report.result(series[0]!.name, set).n_ood)
    } images</small></h3>${intervalPlot(rows, { set, lowest })}</figure>`;
  });
  return {
    id: "auroc",
    name: "AUROC",
    markup:
      markup`<section id="auroc"><h2>AUROC by set</h2><p class="about">The chance that an in-distribution image scores higher than an OOD image, in percent; 50 is guessing. Bars are bootstrap intervals: methods whose bars overlap widely are not told apart by this many images.</p><div class="grid3">${plots}</div></section>`,
  };
}

function legend(report: Report): Markup {
  return markup`<ul class="legend" aria-label="Methods">${
    report.series.map((one) =>
      markup`<li data-m="${one.color}" style="--c:var(--m${
        one.color % 10
      })"><span class="swatch"></span>${
        report.title(
          one.name,
        )
      }</li>`
    )
  }</ul>`;
}

function rocSection(report: Report): Section {
  const { series, sets, scores } = report;
  const plots = sets.map((set) =>
    markup`<figure><h3>${set}</h3>${
      rocPlot(
        series.map((one) => ({
          ...one,
          name: report.title(one.name),
          id: scores!.get(one.name)!.id,
          ood: scores!.get(one.name)!.ood.get(set)!,
          auroc: percent(report.result(one.name, set).auroc),
        })),
        { set },
      )
    }</figure>`
  );
  return {
    id: "roc",
    name: "ROC curves",
    markup: markup`<section id="roc"><h2>ROC curves</h2>
<p class="about">In-distribution images kept over OOD images let through, as the threshold falls. A dot marks where a curve first keeps 95 % of the in-distribution images; the further left, the better. ${
      report.title(report.best)
    } is drawn bold.</p>
${legend(report)}<div class="grid3">${plots}</div></section>`,
  };
}

function histogramSection(report: Report): Section {
  const { series, sets, scores } = report;
  const rows = series.map((one) => {
    const { id, ood } = scores!.get(one.name)!;
    const range = histogramRange([id, ...ood.values()]);
    return markup`<div class="name">${report.title(one.name)}<small>AUROC ${
      percent(report.average(one.name).auroc)
    }</small></div>${
      sets.map((set) =>
        histogramPlot({ id, ood: ood.get(set)!, method: report.title(one.name), set, range })
      )
    }`;
  });
  return {
    id: "scores",
    name: "Scores",
    markup:
      markup`<section id="scores"><h2>Score distributions</h2><p class="about">Where the scores of both kinds of images fall; right is more in-distribution. The dashed line is the threshold that keeps 95 % of the in-distribution images. The outermost bins hold everything beyond.</p><ul class="legend plain" aria-label="Kinds of images"><li style="--c:var(--id)"><span class="swatch"></span>in-distribution</li><li style="--c:var(--ood)"><span class="swatch"></span>OOD</li></ul><div class="scroll" tabindex="0" role="region" aria-label="Score histograms"><div class="hist" style="--n:${sets.length}"><div class="head"></div>${
        sets.map((set) => markup`<div class="head">${set}</div>`)
      }${rows}</div></div></section>`,
  };
}

function confusingSection(report: Report): Section | null {
  const { id, ood } = report.scores!.get(report.best)!;
  const found = mostConfusing(id, ood, { count: report.confusing });
  if (report.confusing === 0) return null;
  return {
    id: "confusing",
    name: "Confusing images",
    markup: markup`<section id="confusing"><h2>Most confusing images</h2><p class="about">What ${
      report.title(
        report.best,
      )
    } ranks most wrongly. The percentage is the share of in-distribution images that score lower.</p><div class="pair"><div><h3>OOD, yet scored as in-distribution</h3>${
      imageList(report, found.ood)
    }</div><div><h3>In-distribution, yet scored as OOD</h3>${
      imageList(report, found.id)
    }</div></div></section>`,
  };
}

function imageList(report: Report, images: readonly ConfusingImage[]): Markup {
  const shown = images.map((image) => {
    const known = report.images.get(image.set);
    return {
      ...image,
      name: known?.names[image.index] ?? `image ${image.index + 1}`,
      thumbnail: known?.thumbnails?.get(image.index),
    };
  });
  const where = (set: string | null) => set === null || report.sets.length === 1 ? "" : `${set} · `;
  if (shown.some(({ thumbnail }) => thumbnail !== undefined)) {
    return markup`<ol class="photos">${
      shown.map(({ set, name, score, rank, thumbnail }) =>
        markup`<li>${
          thumbnail === undefined ? null : markup`<img src="${thumbnail}" alt="" loading="lazy">`
        }<p title="${name}"><b>${baseName(name)}</b>${
          set === null || report.sets.length === 1 ? null : markup`<span>${set}</span>`
        }<span>${short(score)} · ${percent(rank)} %</span></p></li>`
      )
    }</ol>`;
  }
  return markup`<ol class="names">${
    shown.map(({ set, name, score, rank }) =>
      markup`<li><span>${name}</span><span>${where(set)}${short(score)} · ${
        percent(rank)
      } %</span></li>`
    )
  }</ol>`;
}

function methodsSection(report: Report): Section | null {
  const known = new Map(report.input.methods?.map((method) => [method.name, method]));
  if (known.size === 0) return null;
  const rows = report.series.map((one) => {
    const method = known.get(one.name);
    const parameters = Object.entries(method?.parameters ?? {});
    return markup`<tr><th scope="row">${
      report.title(one.name)
    }</th><td class="text mono">${one.name}</td><td class="text params">${
      parameters.length === 0
        ? "none"
        : parameters.map(([name, value]) =>
          markup`<code>${name} = ${
            typeof value === "string" ? value : JSON.stringify(value)
          }</code>`
        )
    }</td><td class="text">${method?.source ?? ""}</td></tr>`;
  });
  return {
    id: "methods",
    name: "Methods",
    markup:
      markup`<section id="methods"><h2>Methods and parameters</h2><p class="about">As they were run here.</p><div class="scroll" tabindex="0" role="region" aria-label="Methods and parameters"><table><thead><tr><th scope="col">Method</th><th scope="col" style="text-align:left">Name</th><th scope="col" style="text-align:left">Parameters</th><th scope="col" style="text-align:left">Source</th></tr></thead><tbody>${rows}</tbody></table></div></section>`,
  };
}

const AUPR_SENTENCES = {
  "average-precision":
    "Area under the precision-recall curve as average precision, with ID or OOD images as the positive class.",
  "trapezoid":
    "Area under the precision-recall curve by the trapezoid rule, which is optimistic when scores tie, with ID or OOD images as the positive class.",
  "trapezoid-dummy-ends":
    "Area under the precision-recall curve by the trapezoid rule between two dummy end points, which biases it low, with ID or OOD images as the positive class.",
} as const;

function readingSection(report: Report): Section {
  const { manifest } = report.evaluation;
  const convention = CONVENTIONS[manifest.convention_name];
  return {
    id: "reading",
    name: "How to read it",
    markup:
      markup`<section id="reading"><h2>How to read the numbers</h2><dl class="read"><dt>Scores</dt><dd>Higher means more in-distribution, for every method.</dd><dt>AUROC</dt><dd>The chance that a random in-distribution image scores higher than a random OOD image; a tie counts half.</dd><dt>${manifest.fpr95}</dt><dd>${convention.sentence}. Convention ${convention.letter} (${convention.name}): ${convention.source}. Numbers under other conventions do not compare.</dd><dt>${manifest.fpr95_reverse}</dt><dd>The same rule with the roles of in-distribution and OOD images swapped.</dd><dt>AUPR-in, AUPR-out</dt><dd>${
        AUPR_SENTENCES[
          manifest.aupr
        ]
      } It depends on how many images of each kind there are.</dd><dt>Means</dt><dd>Metrics are averaged over OOD sets, each set counting the same; scores are never pooled.</dd>${
        manifest.bootstrap === null ? null : markup`<dt>Intervals</dt><dd>${
          percent(
            manifest.bootstrap.level,
            0,
          )
        } % percentile bootstrap over images, both sets resampled, ${manifest.bootstrap.replicates} replicates, seed ${manifest.bootstrap.seed}. They say how far the numbers would move with other images of the same kind, and nothing about other models or seeds.</dd>`
      }<dt>Tied scores</dt><dd>The share of scores whose exact value occurs among in-distribution and OOD images; where it is large, conventions disagree.</dd></dl></section>`,
  };
}

function recordSection(report: Report): Section {
  return {
    id: "record",
    name: "Record",
    markup:
      markup`<section id="record"><h2>Record</h2><p class="about">What it takes to make these numbers again.</p><pre>${
        JSON.stringify(report.evaluation.manifest, null, 2)
      }</pre></section>`,
  };
}

/** Text of this module's own, which holds no user's text. */
function raw(text: string): Markup {
  return markup([text] as unknown as TemplateStringsArray);
}

function bestText(values: readonly number[], figure: Figure): string {
  return percent(figure.startsWith("fpr95") ? Math.min(...values) : Math.max(...values));
}

function percent(fraction: number, digits = 1): string {
  return (100 * fraction).toFixed(digits);
}

function span([lower, upper]: readonly [number, number], digits = 1): string {
  return `${percent(lower, digits)} – ${percent(upper, digits)}`;
}

function spanOf(row: EvaluationAverage, figure: Figure): string {
  return row.ci === null ? "percent" : `${span(row.ci[figure])} %`;
}

function integer(value: number): string {
  return value.toLocaleString("en-US");
}

function plural(count: number, noun: string): string {
  return `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function short(score: number): string {
  return Number(score.toPrecision(4)).toString();
}

function baseName(name: string): string {
  return name.split(/[\\/]/).at(-1) || name;
}

/** How many of the ascending values are below one. */
function countBelow(sorted: Scores, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
