/**
 * The report's section of the most confusing images.
 *
 * @module
 */

import { type Markup, markup } from "./_html.ts";
import type { Report } from "./_report_data.ts";
import type { Section } from "./_report_section.ts";
import { percent } from "./_report_text.ts";
import { type ConfusingImage, mostConfusing } from "./highlights.ts";

/** The most confusing images under the best method, unless none are to be listed. */
export function confusingSection(report: Report): Section | null {
  if (report.confusing === 0) return null;
  const { id, ood } = report.scores!.get(report.best)!;
  const found = mostConfusing(id, ood, { count: report.confusing });
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

function short(score: number): string {
  return Number(score.toPrecision(4)).toString();
}

function baseName(name: string): string {
  return name.split(/[\\/]/).at(-1) || name;
}
