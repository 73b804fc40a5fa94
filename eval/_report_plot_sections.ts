/**
 * The report's sections of plots: AUROC with intervals, ROC curves, and histograms of scores.
 *
 * @module
 */

import { type Markup, markup } from "./_html.ts";
import type { Report } from "./_report_data.ts";
import { histogramPlot, histogramRange, intervalPlot, rocPlot } from "./_report_plots.ts";
import type { Section } from "./_report_section.ts";
import { integer, percent } from "./_report_text.ts";

/** AUROC with its intervals, set by set. */
export function intervalSection(report: Report): Section {
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

/** ROC curves, set by set. */
export function rocSection(report: Report): Section {
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

/** Histograms of scores, methods by sets. */
export function histogramSection(report: Report): Section {
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
