/**
 * The report's sections in words: what was run, how to read the numbers, and the record.
 *
 * @module
 */

import { markup } from "./_html.ts";
import type { Report } from "./_report_data.ts";
import type { Section } from "./_report_section.ts";
import { percent } from "./_report_text.ts";
import { CONVENTIONS } from "./conventions.ts";

/** The methods with their parameters and sources, when they are described. */
export function methodsSection(report: Report): Section | null {
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

/** What each figure means. */
export function readingSection(report: Report): Section {
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

/** The evaluation's manifest. */
export function recordSection(report: Report): Section {
  return {
    id: "record",
    name: "Record",
    markup:
      markup`<section id="record"><h2>Record</h2><p class="about">What it takes to make these numbers again.</p><pre>${
        JSON.stringify(report.evaluation.manifest, null, 2)
      }</pre></section>`,
  };
}
