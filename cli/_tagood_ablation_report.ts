/**
 * TagOOD's ablations as sections of a report: Figures 3, 4 and 5, Tables 3, 4 and 5 of the paper.
 *
 * @module
 */

import { type Ablation, type AblationSection, embed2d } from "../eval/mod.ts";
import { averageOf, curves, table, tablesBySet } from "./_ablation_sections.ts";
import {
  type AblationOutcome,
  type AblationPicture,
  type SeedOutcome,
  STEP_NAMES,
} from "./_tagood_ablation.ts";

/** What else a report says. */
export interface AblationNotesInput {
  /** The threshold that is taken where it is not varied. */
  readonly tau: number;
  /** What it takes to make the numbers again. */
  readonly record: unknown;
  /** Most points of each set in the picture. */
  readonly points: number;
  /** Seed of the picture. */
  readonly seed: number;
}

/** The report's content. */
export function ablationOf(outcome: AblationOutcome, notes: AblationNotesInput): Ablation {
  const { seeds, sets } = outcome;
  const count = seeds.length === 1 ? "one seed" : `${seeds.length} seeds`;
  const full = seeds.map(({ steps }) => averageOf(steps.get(STEP_NAMES.full)!));
  const mean = (values: readonly number[]) =>
    `${(100 * values.reduce((a, b) => a + b, 0) / values.length).toFixed(2)} %`;
  return {
    title: "TagOOD, part by part",
    lede:
      `Every figure is over ${count}; averages are over the sets ${sets.join(", ")}. FPR95 is ` +
      "the share of OOD images above the score that 95 % of in-distribution images reach.",
    key: [
      { name: "AUROC, average", value: mean(full.map(([auroc]) => auroc)) },
      { name: "FPR95, average", value: mean(full.map(([, fpr95]) => fpr95)) },
      { name: "τ", value: String(notes.tau) },
    ],
    warnings: warningsOf(seeds),
    sections: [
      curves(seeds, {
        title: "Threshold on attention, in training and test",
        about: "Figure 3: a model is trained at each τ and tested at the same; 0 keeps all tokens.",
        of: ({ taus }) => taus,
        parameter: "τ",
        chosen: notes.tau,
      }),
      table(seeds, {
        title: "What each part adds",
        about: "Table 3, after what it is compared with: MSP and energy over the logits of the " +
          "in-distribution tags, and cosines of whole images to class means. CS compares object " +
          "features with class means, p(CE)+CS those of a projection model without centres.",
        choice: "method",
        of: ({ steps }) => steps,
        parts: {
          names: ["CCG", "Proj."],
          of: (name) => [
            name === STEP_NAMES.cs || name === STEP_NAMES.full,
            name === STEP_NAMES.ce || name === STEP_NAMES.full,
          ],
        },
      }),
      ...tablesBySet(seeds, {
        sets,
        title: "What each part adds",
        choice: "method",
        of: ({ steps }) => steps,
      }),
      table(seeds, {
        title: "Distances to the centres",
        about:
          "Table 4: the same model, compared with its centres in three ways; and the score of " +
          "the authors' code, four parts of a feature apart and times the tag's probability.",
        choice: "distance",
        of: ({ distances, code }) => new Map([...distances, ["code's score", code]]),
      }),
      table(seeds, {
        title: "One tag against several",
        about: "Table 5: trained on the tokens of the image's own tag, or of all predicted ones.",
        choice: "tag for training",
        of: ({ tags }) => tags,
      }),
      curves(seeds, {
        title: "Threshold on attention, at test time alone",
        about:
          `Figure 5: the model of τ ${notes.tau}, tested on tokens of other thresholds; 0 is ` +
          "the whole image.",
        of: ({ testTaus }) => testTaus,
        parameter: "τ",
        chosen: notes.tau,
      }),
      picture(outcome, notes),
      histograms(outcome.picture),
      untagged(seeds),
    ],
    record: notes.record,
  };
}

/** Figure 4: object features before and after projection. */
function picture(
  { picture: drawn, classNames }: AblationOutcome,
  { points, seed }: AblationNotesInput,
): AblationSection {
  const cloud = (name: string, features: AblationPicture["before"], width: number) => {
    const { rows, classOf } = chosenRows(drawn, { features, width, points });
    return {
      name,
      note: `t-SNE of ${classOf.length} images, ${width} numbers each`,
      points: embed2d(rows, { dims: width, seed }),
      classOf,
    };
  };
  return {
    kind: "scatter",
    title: "Object features before and after projection",
    about:
      "Figure 4: images with a predicted tag of a known class, coloured by their class; grey " +
      "crosses are OOD.",
    classes: classNames,
    clouds: [
      cloud("before", drawn.before, drawn.widths.before),
      cloud("after", drawn.after, drawn.widths.after),
    ],
  };
}

/** Rows spread evenly over the tagged images of each set. */
function chosenRows(
  drawn: AblationPicture,
  of: {
    readonly features: ReadonlyMap<string, Float32Array>;
    readonly width: number;
    readonly points: number;
  },
): { rows: Float32Array; classOf: Int32Array } {
  const rows: Float32Array[] = [];
  const classOf: number[] = [];
  for (const [name, features] of of.features) {
    const tagged = [...drawn.counts.get(name)!.entries()].filter(([, count]) => count > 0);
    const taken = Math.min(tagged.length, of.points);
    for (let i = 0; i < taken; i++) {
      const [index] = tagged[Math.floor((i + 0.5) * tagged.length / taken)]!;
      rows.push(features.subarray(index * of.width, (index + 1) * of.width));
      classOf.push(name === "id" ? drawn.labels[index]! : -1);
    }
  }
  const joined = new Float32Array(rows.length * of.width);
  rows.forEach((row, i) => joined.set(row, i * of.width));
  return { rows: joined, classOf: Int32Array.from(classOf) };
}

function histograms({ scores, plainScores }: AblationPicture): AblationSection {
  return {
    kind: "scores",
    title: "Scores",
    about: "Cosines of the last seed; images without a tag of a known class have -1.",
    rows: [
      { name: "CS, before projection", sets: plainScores },
      { name: "TagOOD", sets: scores },
    ],
  };
}

function untagged(seeds: readonly SeedOutcome[]): AblationSection {
  return {
    kind: "notes",
    title: "Images without a tag",
    about: "They get the lowest score, in-distribution images as well.",
    notes: [...seeds[0]!.untagged].map(([name, share]) => ({
      term: name,
      text: `${(100 * share).toFixed(1)} % have no predicted tag of a known class`,
    })),
  };
}

/** More than one in twenty in-distribution images without a tag decides FPR95 by itself. */
function warningsOf(seeds: readonly SeedOutcome[]): string[] {
  const share = seeds[0]!.untagged.get("id") ?? 0;
  if (share <= 0.05) return [];
  return [
    `${(100 * share).toFixed(1)} % of in-distribution images have no predicted tag and get the ` +
    "lowest score: FPR95 cannot be below 100 %; a lower tag threshold would help",
  ];
}
