/**
 * The report of an ablation as one HTML file.
 *
 * @module
 */

import { sectionOf, type SetColors } from "./_ablation_sections.ts";
import { type Markup, markup } from "./_html.ts";
import { renderPage } from "./_report_page.ts";
import type { Section } from "./_report_section.ts";
import type { Ablation } from "./ablation.ts";

/**
 * Renders an ablation as one HTML file that loads nothing: lines over parameters, tables of
 * choices, clouds of points, histograms of scores, and notes.
 *
 * @param ablation What an ablation found.
 * @returns The file.
 * @throws {UserError} When a figure or a coordinate is not finite.
 * @throws {RangeError} When a cloud has another number of points than of classes.
 *
 * @example A page with one table
 * ```ts
 * import { renderAblation } from "@oodgpu/oodgpu/eval";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const html = renderAblation({
 *   title: "TagOOD",
 *   sections: [{
 *     kind: "table",
 *     title: "Distances",
 *     choice: "distance",
 *     measures: [{ name: "AUROC", better: "more" }],
 *     rows: [
 *       { name: "euclidean", figures: [0.9203] },
 *       { name: "cosine", figures: [0.924] },
 *     ],
 *   }],
 * });
 * assertStringIncludes(html, '<td class="first best"><b>92.40</b></td>');
 * ```
 */
export function renderAblation(ablation: Ablation): string {
  const { title, sections, record } = ablation;
  const colors = colorsOf(ablation);
  const pages = sections.map((section, i) => sectionOf(section, `s${i + 1}`, colors));
  if (record !== undefined) pages.push(recordSection(record));
  return renderPage({ title, head: (nav) => headOf(ablation, nav), sections: pages });
}

function colorsOf({ sections }: Ablation): SetColors {
  const names = sections.flatMap((section) =>
    section.kind === "curves" ? section.series.map(({ name }) => name) : []
  );
  return new Map([...new Set(names)].map((name, i) => [name, i]));
}

function headOf({ title, lede, key = [], warnings = [] }: Ablation, nav: Markup): Markup {
  const tiles = key.map(({ name, value, note }) =>
    markup`<div><dt>${name}</dt><dd>${value}${
      note === undefined ? null : markup`<small>${note}</small>`
    }</dd></div>`
  );
  return markup`<header>
<p class="eyebrow">Ablation</p>
<h1>${title}</h1>
${lede === undefined ? null : markup`<p class="lede">${lede}</p>`}
${tiles.length === 0 ? null : markup`<dl class="key">${tiles}</dl>`}
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

function recordSection(record: unknown): Section {
  return {
    id: "record",
    name: "Record",
    markup:
      markup`<section id="record"><h2>Record</h2><p class="about">What it takes to make these numbers again.</p><pre>${
        JSON.stringify(record, null, 2)
      }</pre></section>`,
  };
}
