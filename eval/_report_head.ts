/**
 * The report's head: what was evaluated, the best method's figures, and warnings.
 *
 * @module
 */

import { type Markup, markup } from "./_html.ts";
import type { Report } from "./_report_data.ts";
import { integer, percent, plural, span } from "./_report_text.ts";
import type { Figure } from "./figures.ts";
import type { EvaluationAverage } from "./protocol.ts";

/** The head, with links to the sections. */
export function headSection(
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

function spanOf(row: EvaluationAverage, figure: Figure): string {
  return row.ci === null ? "percent" : `${span(row.ci[figure])} %`;
}
