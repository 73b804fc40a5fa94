/**
 * The sections of a comparison's report.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { heatMap, sensitivityPlot } from "./_comparison_plots.ts";
import { histogramRows, KINDS_LEGEND } from "./_histogram_rows.ts";
import { type Markup, markup } from "./_html.ts";
import type { Section } from "./_report_section.ts";
import { percent } from "./_report_text.ts";
import type { Change, ComparisonRow } from "./comparison.ts";
import type { ComparisonReport, ReportMap } from "./comparison_report.ts";

/** The table: methods by sets, AUROC and FPR95 before and after. */
export function changesSection({ comparison }: ComparisonReport): Section {
  const { rows, fpr95, accuracy } = comparison;
  const sets = [...new Set(rows.map(({ set }) => set))];
  const methods = [...new Set(rows.map(({ method }) => method))];
  const at = (method: string, set: string) =>
    rows.find((row) => row.method === method && row.set === set)!;
  const groups = sets.map((set) => markup`<th class="group first" colspan="2">${set}</th>`);
  const heads = sets.map(() =>
    markup`<th class="first">AUROC<small>more is better</small></th><th>${fpr95}<small>less is better</small></th>`
  );
  const body = methods.map((method) =>
    markup`<tr><th scope="row">${method}</th>${sets.map((set) => cells(at(method, set)))}</tr>`
  );
  const kept = accuracy === null
    ? ""
    : ` ID accuracy went from ${percent(accuracy.before, 2)} to ${percent(accuracy.after, 2)} %.`;
  return {
    id: "changes",
    name: "Changes",
    markup:
      markup`<section id="changes"><h2>What changed</h2><p class="about">Percent after tuning, and before in small print. Figures are teal where they got better and orange where they got worse.${kept}</p><div class="scroll" tabindex="0" role="region" aria-label="Table of changes"><table><thead><tr><th></th>${groups}</tr><tr><th>Method</th>${heads}</tr></thead><tbody>${body}</tbody></table></div></section>`,
  };
}

function cells({ auroc, fpr95 }: ComparisonRow): Markup {
  return markup`${cell(auroc, 1, "first")}${cell(fpr95, -1, "")}`;
}

function cell({ before, after }: Change, better: 1 | -1, kind: string): Markup {
  const gain = better * (after - before);
  const way = Math.abs(gain) < 5e-4 ? "" : gain > 0 ? "up" : "down";
  return markup`<td class="${kind} ${way}"><b>${percent(after)}</b><small>${
    percent(before)
  }</small></td>`;
}

/** Norms of the features, in-distribution over each OOD set, before and after. */
export function normsSection({ norms }: ComparisonReport): Section {
  return {
    id: "norms",
    name: "Norms",
    markup:
      markup`<section id="norms"><h2>Norms of the features</h2><p class="about">${"‖z̄‖₂ of the penultimate features. Tuning is meant to shorten those of what shows no object of a known class. "}The dashed line is the threshold that keeps 95 % of the in-distribution images.</p>${KINDS_LEGEND}${
        histogramRows([
          { name: "before", sets: norms.before },
          { name: "after", sets: norms.after },
        ])
      }</section>`,
  };
}

/** Energy, or the first method's scores, before and after. */
export function scoresSection({ scores, comparison }: ComparisonReport): Section {
  const methods = [...new Set(comparison.rows.map(({ method }) => method))];
  const method = methods.includes("energy") ? "energy" : methods[0]!;
  const of = (sets: ComparisonReport["scores"]["before"]) =>
    new Map([...sets].map(([set, byMethod]) => [set, byMethod.get(method)!]));
  return {
    id: "scores",
    name: "Scores",
    markup:
      markup`<section id="scores"><h2>Scores of ${method}</h2><p class="about">Right is more in-distribution.</p>${KINDS_LEGEND}${
        histogramRows([
          { name: "before", sets: of(scores.before) },
          { name: "after", sets: of(scores.after) },
        ])
      }</section>`,
  };
}

/** Pictures and maps by set; `null` when none were drawn. */
export function mapsSection({ maps }: ComparisonReport): Section | null {
  if (maps.length === 0) return null;
  const sets = [...new Set(maps.map(({ set }) => set))];
  return {
    id: "maps",
    name: "Maps",
    markup:
      markup`<section id="maps"><h2>Where features are long</h2><p class="about">The picture, then ‖z‖₂ at every location of the last feature map before and after tuning. Both maps of an image share a scale, from 0 to the longer of both; numbers are the means of the maps.</p>${
        sets.map((set) =>
          markup`<h3>${set === "id" ? "in-distribution" : set}</h3><div class="maps">${
            maps.filter((map) => map.set === set).map(figureOf)
          }</div>`
        )
      }</section>`,
  };
}

const PICTURE_REGEXP = /^data:image\/(?:png|jpeg|webp);base64,[A-Za-z0-9+/]+=*$/;

function figureOf({ name, picture, size, before, after }: ReportMap): Markup {
  if (!PICTURE_REGEXP.test(picture)) {
    throw new UserError(`Cannot show the picture of "${name}": it must be a data:image address`);
  }
  const highest = Math.max(...Array.from(before), ...Array.from(after), 1e-12);
  const mean = (values: ArrayLike<number>) =>
    (Array.from(values).reduce((a, b) => a + b, 0) / values.length).toPrecision(3);
  return markup`<figure><div><img src="${picture}" alt="${name}">${
    heatMap(before, { size, highest, label: `${name} before` })
  }${heatMap(after, { size, highest, label: `${name} after` })}</div><figcaption>${name}: ${
    mean(before)
  } → ${mean(after)}</figcaption></figure>`;
}

const SETTING_NAMES: Readonly<Record<string, string>> = {
  delta: "δ, probability below which a location is background",
  margin: "μ, norm below which background is left alone",
  weight: "λ, weight of the background's loss",
};

/** Curves over the values of settings; `null` when none were tried. */
export function sensitivitySection({ sensitivity }: ComparisonReport): Section | null {
  if (sensitivity.length === 0) return null;
  return {
    id: "sensitivity",
    name: "Sensitivity",
    markup:
      markup`<section id="sensitivity"><h2>Other settings</h2><p class="about">Means over all OOD sets when one setting takes other values and the rest stay; a ring marks the value that was taken.</p><div class="grid3">${
        sensitivity.map((curve) =>
          markup`<figure><h3>${curve.name}<small>${SETTING_NAMES[curve.name] ?? ""}</small></h3>${
            sensitivityPlot(curve)
          }</figure>`
        )
      }</div></section>`,
  };
}

/** The settings and both manifests. */
export function settingsSection({ settings, evaluations }: ComparisonReport): Section {
  const of = (value: unknown) => JSON.stringify(value, null, 2);
  return {
    id: "record",
    name: "Record",
    markup:
      markup`<section id="record"><h2>Record</h2><p class="about">What it takes to make these numbers again.</p>${
        settings === null
          ? null
          : markup`<details open><summary>Settings of the tuning</summary><pre>${
            of(settings)
          }</pre></details>`
      }<details><summary>Evaluation before</summary><pre>${
        of(evaluations.before.manifest)
      }</pre></details><details><summary>Evaluation after</summary><pre>${
        of(evaluations.after.manifest)
      }</pre></details></section>`,
  };
}
