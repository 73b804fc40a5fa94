/**
 * Rows of histograms: scores of the in-distribution set over those of each OOD set.
 *
 * @module
 */

import { type Markup, markup } from "./_html.ts";
import { histogramPlot, histogramRange } from "./_report_plots.ts";
import type { Scores } from "./scores.ts";

/** Which colour is which kind of image. */
export const KINDS_LEGEND: Markup =
  markup`<ul class="legend plain" aria-label="Kinds of images"><li style="--c:var(--id)"><span class="swatch"></span>in-distribution</li><li style="--c:var(--ood)"><span class="swatch"></span>OOD</li></ul>`;

/** One row of histograms for each entry; a row has one axis, and its in-distribution set is `id`. */
export function histogramRows(
  rows: readonly { readonly name: string; readonly sets: ReadonlyMap<string, Scores> }[],
): Markup {
  const names = [...rows[0]!.sets.keys()].filter((name) => name !== "id");
  const lines = rows.map(({ name, sets }) => {
    const id = sets.get("id")!;
    const range = histogramRange([...sets.values()]);
    return markup`<div class="name">${name}</div>${
      names.map((set) => histogramPlot({ id, ood: sets.get(set)!, method: name, set, range }))
    }`;
  });
  return markup`<div class="scroll" tabindex="0" role="region" aria-label="Histograms"><div class="hist" style="--n:${names.length}"><div class="head"></div>${
    names.map((name) => markup`<div class="head">${name}</div>`)
  }${lines}</div></div>`;
}
