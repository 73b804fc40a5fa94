/**
 * SynOOD's ablations as sections of a report: Tables 4 and 5 and Figure 3 of the paper.
 *
 * @module
 */

import type { Ablation } from "../eval/mod.ts";
import { averageOf, curves, table, tablesBySet } from "./_ablation_sections.ts";
import { ROWS, type SynoodSeed } from "./_synood_ablation.ts";

/** What else the report says. */
export interface SynoodAblationNotes {
  /** Names of the OOD sets. */
  readonly sets: readonly string[];
  /** Numbers of labels: in-distribution and negative. */
  readonly labels: { readonly ids: number; readonly negatives: number };
  /** What it takes to make the numbers again. */
  readonly record: unknown;
}

/** Which parts of the method each row of Table 4 has. */
const PARTS: Readonly<Record<string, readonly boolean[]>> = {
  [ROWS.mcm]: [false, false, false, false],
  [ROWS.none]: [false, false, false, false],
  [ROWS.labelledProjection]: [true, false, true, false],
  [ROWS.projection]: [true, false, false, true],
  [ROWS.labelled]: [true, true, true, false],
  [ROWS.full]: [true, true, false, true],
};

/** The report's content. */
export function synoodAblationOf(
  seeds: readonly SynoodSeed[],
  notes: SynoodAblationNotes,
): Ablation {
  const { sets, labels } = notes;
  const count = seeds.length === 1 ? "one seed" : `${seeds.length} seeds`;
  const full = seeds.map(({ parts }) => averageOf(parts.get(ROWS.full)!));
  const mean = (values: readonly number[]) =>
    `${(100 * values.reduce((a, b) => a + b, 0) / values.length).toFixed(2)} %`;
  const last = seeds.at(-1)!;
  return {
    title: "SynOOD, part by part",
    lede:
      `Every figure is over ${count}; averages are over the sets ${sets.join(", ")}. FPR95 is ` +
      "the share of OOD images above the score that 95 % of in-distribution images reach.",
    key: [
      { name: "AUROC, average", value: mean(full.map(([auroc]) => auroc)) },
      { name: "FPR95, average", value: mean(full.map(([, fpr95]) => fpr95)) },
      { name: "labels", value: `${labels.ids} known, ${labels.negatives} negative` },
    ],
    warnings: [],
    sections: [
      table(seeds, {
        title: "What each part adds",
        about: "Table 4, after MCM, which needs no negative labels. Images of labels are painted " +
          "from a negative label alone, near-boundary images from source images and their elements, " +
          "led by the gradient of the energy.",
        choice: "method",
        of: ({ parts }) => parts,
        parts: {
          names: ["Projection", "FT label", "Neg image", "Grad image"],
          of: (name) => PARTS[name]!,
        },
      }),
      ...tablesBySet(seeds, {
        sets,
        title: "What each part adds",
        choice: "method",
        of: ({ parts }) => parts,
      }),
      table(seeds, {
        title: "Order of the trainings",
        about: "Table 5: projection and labels at once, or one after the other, labels tuned on " +
          "what the projection makes of images or on the images themselves.",
        choice: "strategy",
        of: ({ strategies }) => strategies,
      }),
      curves(seeds, {
        title: "Number of near-boundary images, labels tuned",
        about: "Figure 3, left.",
        parameter: "images",
        of: ({ tuned }) => tuned,
      }),
      curves(seeds, {
        title: "Number of near-boundary images, labels as they were",
        about: "Figure 3, right.",
        parameter: "images",
        of: ({ untuned }) => untuned,
      }),
      {
        kind: "scores",
        title: "Scores",
        about: "Shares of the known labels; of the last seed.",
        rows: [ROWS.mcm, ROWS.none, ROWS.projection, ROWS.full].map((name) => ({
          name,
          sets: last.scores.get(name)!,
        })),
      },
      {
        kind: "notes",
        title: "Used labels",
        about: "Negative labels that at least one near-boundary image was assigned to.",
        notes: [...last.used].map(([amount, used]) => ({
          term: `${amount} images`,
          text: `${used} of ${labels.negatives}, ${(100 * used / labels.negatives).toFixed(1)} %`,
        })),
      },
    ],
    record: notes.record,
  };
}
