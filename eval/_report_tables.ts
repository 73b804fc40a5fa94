/**
 * The report's tables of figures.
 *
 * @module
 */

import { type Markup, markup, type Piece } from "./_html.ts";
import type { Report } from "./_report_data.ts";
import type { Section } from "./_report_section.ts";
import { integer, percent, plural, span } from "./_report_text.ts";
import { type Figure, FIGURES } from "./figures.ts";
import type { Evaluation, EvaluationAverage, EvaluationResult } from "./protocol.ts";
import { figureHeading } from "./table.ts";

/** Figures of the short table; all five are in the long one. */
const SHORT: readonly Figure[] = ["auroc", "fpr95"];

/** A heading such as `FPR95(OOD|ID95) ↓`. */
const HEADING_REGEXP = /^(\S+?) ?(\([^)]+\))( \S+)$/;

/** Columns of the short table that belong together. */
interface ColumnGroup {
  readonly name: string;
  readonly about: string;
  readonly row: (method: string) => EvaluationResult | EvaluationAverage;
}

/** The figures that matter most, methods by sets, and all figures folded away. */
export function resultsSection(report: Report): Section {
  const groups = columnGroups(report);
  return {
    id: "results",
    name: "Results",
    markup: markup`<section id="results"><h2>Results</h2>
${aboutResults(report)}
<div class="scroll" tabindex="0" role="region" aria-label="Results by method and OOD set"><table class="sortable">
<thead>${shortHead(report, groups)}</thead>
<tbody>${shortBody(report, groups)}</tbody></table></div>
${allFigures(report)}</section>`,
  };
}

function columnGroups(report: Report): ColumnGroup[] {
  const { sets, series } = report;
  const first = series[0]!.name;
  const mean = { name: "Mean", about: `${sets.length} sets`, row: report.average };
  return [
    ...(sets.length === 1 ? [] : [mean]),
    ...[...report.groups].map(([name, rows]) => ({
      name: `Mean, ${name}`,
      about: plural(rows.get(first)!.sets.length, "set"),
      row: (method: string) => rows.get(method)!,
    })),
    ...sets.map((set) => ({
      name: set,
      about: `${integer(report.result(first, set).n_ood)} images`,
      row: (method: string) => report.result(method, set),
    })),
  ];
}

function aboutResults({ evaluation }: Report): Markup {
  const { bootstrap, convention, convention_name } = evaluation.manifest;
  const interval = bootstrap === null
    ? ""
    : ` Below each figure its ${
      percent(bootstrap.level, 0)
    } % bootstrap interval (${bootstrap.replicates} replicates).`;
  return markup`<p class="about">In percent; the best of each column carries a dot. ${
    figureHeading(evaluation, "fpr95").text
  } follows convention ${convention} (${convention_name}).${interval}</p>`;
}

function shortHead({ evaluation }: Report, groups: readonly ColumnGroup[]): Markup {
  const columns = groups.flatMap(() => SHORT);
  return markup`<tr><th></th>${
    groups.map(({ name, about }) =>
      markup`<th class="group first" colspan="${SHORT.length}" scope="colgroup">${name}<small>${about}</small></th>`
    )
  }</tr>
<tr>${heading("Method", { column: 0, kind: "text", first: "ascending" })}${
    columns.map((figure, index) =>
      headingOf(figure, { evaluation, column: index + 1, border: figure === "auroc" })
    )
  }</tr>`;
}

function shortBody({ series, title }: Report, groups: readonly ColumnGroup[]): Markup[] {
  const columns = groups.flatMap(({ row }) => SHORT.map((figure) => ({ row, figure })));
  const best = columns.map(({ row, figure }) =>
    bestText(series.map(({ name }) => row(name)[figure]), figure)
  );
  return series.map(({ name, color }) =>
    markup`<tr><th scope="row" data-v="${
      title(name)
    }" title="${name}"><span class="swatch" style="--c:var(--m${color % 10})"></span>${
      title(name)
    }</th>${
      columns.map(({ row, figure }, column) =>
        figureCell(row(name), figure, { first: figure === "auroc", best: best[column]! })
      )
    }</tr>`
  );
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
  const headings = [
    heading("OOD set", { column: 0, kind: "text", first: "ascending" }),
    heading("Method", { column: 1, kind: "text", first: "ascending" }),
    ...FIGURES.map((figure, index) => headingOf(figure, { evaluation, column: index + 2 })),
    heading("Tied scores", { column: FIGURES.length + 2, kind: "number", first: "descending" }),
  ];
  return markup`<details><summary>All figures, by set and method</summary><div class="scroll" tabindex="0" role="region" aria-label="All figures"><table class="sortable"><thead><tr>${headings}</tr></thead><tbody>${rows}</tbody></table></div></details>`;
}

/** The heading of a figure's column, which sorts the best to the top first. */
function headingOf(
  figure: Figure,
  { evaluation, ...place }: { evaluation: Evaluation; column: number; border?: boolean },
): Markup {
  const { text, higherIsBetter } = figureHeading(evaluation, figure);
  return heading(`${text} ${higherIsBetter ? "↑" : "↓"}`, {
    ...place,
    kind: "number",
    first: higherIsBetter ? "descending" : "ascending",
  });
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

function bestText(values: readonly number[], figure: Figure): string {
  return percent(figure.startsWith("fpr95") ? Math.min(...values) : Math.max(...values));
}
