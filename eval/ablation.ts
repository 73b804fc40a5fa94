/**
 * What an ablation found: figures over a swept parameter, tables over choices, clouds of points
 * and distributions of scores, and all of it as text for a terminal.
 *
 * @module
 */

import { averageCurve } from "./_ablation_curves.ts";
import { percent } from "./_report_text.ts";
import { bestText, meanOf, mostRuns } from "./_runs.ts";
import type { Scores } from "./scores.ts";

/** A figure from 0 to 1: of one run, of several runs with other seeds, or missing. */
export type AblationFigure = number | readonly number[] | null;

/** A kind of figure. */
export interface AblationMeasure {
  /** Its name with its convention, such as `FPR95(OOD|ID95)`. */
  readonly name: string;
  /** Which values are better. */
  readonly better: "more" | "less";
}

/** What all sections have. */
export interface AblationHeading {
  /** Its heading. */
  readonly title: string;
  /** What it shows, in a sentence or two. */
  readonly about?: string;
}

/** One OOD set over the values of a parameter. */
export interface AblationSeries {
  /** The set. */
  readonly name: string;
  /** For each value the figures, in the order of the measures. */
  readonly points: readonly {
    readonly value: number;
    readonly figures: readonly AblationFigure[];
  }[];
}

/** Lines over a swept parameter: one for each OOD set, and their average. */
export interface AblationCurves extends AblationHeading {
  /** The kind of section. */
  readonly kind: "curves";
  /** The parameter. */
  readonly parameter: string;
  /** The value that is taken elsewhere, which is marked. */
  readonly chosen?: number;
  /**
   * Whether the axis is in proportion or has its values evenly apart.
   *
   * @default {"even"}
   */
  readonly spacing?: "even" | "linear";
  /** One chart for each. */
  readonly measures: readonly AblationMeasure[];
  /** The sets. */
  readonly series: readonly AblationSeries[];
}

/** One choice of a table. */
export interface AblationRow {
  /** The choice. */
  readonly name: string;
  /** Which of the table's parts it has. */
  readonly parts?: readonly boolean[];
  /** Its figures, in the order of the measures. */
  readonly figures: readonly AblationFigure[];
}

/** A table over choices; the best of each column is bold. */
export interface AblationTable extends AblationHeading {
  /** The kind of section. */
  readonly kind: "table";
  /** What the rows are. */
  readonly choice: string;
  /** Names of parts that a row has or has not, as columns of ticks. */
  readonly parts?: readonly string[];
  /** The columns. */
  readonly measures: readonly AblationMeasure[];
  /** The rows. */
  readonly rows: readonly AblationRow[];
}

/** Points in the plane, coloured by class. */
export interface AblationCloud {
  /** What the points are. */
  readonly name: string;
  /** More about them, in small print. */
  readonly note?: string;
  /** N pairs of coordinates. */
  readonly points: ArrayLike<number>;
  /** N indices of classes; -1 is OOD, drawn as grey crosses below the rest. */
  readonly classOf: ArrayLike<number>;
}

/** Clouds of points side by side, such as features before and after a projection. */
export interface AblationScatter extends AblationHeading {
  /** The kind of section. */
  readonly kind: "scatter";
  /** Names of the classes. */
  readonly classes: readonly string[];
  /** The clouds. */
  readonly clouds: readonly AblationCloud[];
}

/** Histograms of scores. */
export interface AblationScores extends AblationHeading {
  /** The kind of section. */
  readonly kind: "scores";
  /** One row of histograms for each; the in-distribution set is `id`. */
  readonly rows: readonly {
    readonly name: string;
    readonly sets: ReadonlyMap<string, Scores>;
  }[];
}

/** What there is to say. */
export interface AblationNotes extends AblationHeading {
  /** The kind of section. */
  readonly kind: "notes";
  /** Terms and what there is to say of them. */
  readonly notes: readonly { readonly term: string; readonly text: string }[];
}

/** A picture, such as a contact sheet. */
export interface AblationPicture extends AblationHeading {
  /** The kind of section. */
  readonly kind: "picture";
  /** The picture as a `data:image/…` address. */
  readonly source: string;
  /** What it shows, for those who cannot see it. */
  readonly description: string;
}

/** A section of an ablation. */
export type AblationSection =
  | AblationCurves
  | AblationTable
  | AblationScatter
  | AblationScores
  | AblationPicture
  | AblationNotes;

/** What an ablation found. */
export interface Ablation {
  /** The heading. */
  readonly title: string;
  /** What was done, in a sentence or two. */
  readonly lede?: string;
  /** What to see first: up to four values with their names. */
  readonly key?: readonly {
    readonly name: string;
    readonly value: string;
    readonly note?: string;
  }[];
  /** What to be careful about. */
  readonly warnings?: readonly string[];
  /** The sections, in order. */
  readonly sections: readonly AblationSection[];
  /** What it takes to make the numbers again. */
  readonly record?: unknown;
}

/** One table as text, before it is laid out. */
interface TextTable {
  readonly title: string;
  readonly heads: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** How many columns of words come before those of figures. */
  readonly words: number;
  readonly runs: number;
}

/**
 * The tables and sweeps of an ablation for terminals: percentages, mean and deviation where there
 * are several runs, `*` on the best of each column. Sweeps show the average over their sets.
 *
 * @param ablation What an ablation found.
 * @returns Lines that end with a line feed; empty when there are no figures.
 *
 * @example A table of two choices
 * ```ts
 * import { ablationText } from "@oodgpu/oodgpu/eval";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const text = ablationText({
 *   title: "TagOOD",
 *   sections: [{
 *     kind: "table",
 *     title: "Distances",
 *     choice: "distance",
 *     measures: [{ name: "AUROC", better: "more" }],
 *     rows: [
 *       { name: "euclidean", figures: [0.9203] },
 *       { name: "cosine", figures: [[0.92, 0.93]] },
 *     ],
 *   }],
 * });
 * assertStringIncludes(text, "cosine     92.50* ± 0.71");
 * ```
 */
export function ablationText(ablation: Ablation): string {
  const tables = ablation.sections.flatMap((section) =>
    section.kind === "table"
      ? [choicesTable(section)]
      : section.kind === "curves"
      ? [sweepTable(section)]
      : []
  );
  return tables.map(layOut).join("\n");
}

function choicesTable({ title, choice, parts = [], measures, rows }: AblationTable): TextTable {
  const columns = measures.map((measure, m) =>
    figureColumn(rows.map(({ figures }) => figures[m]!), measure)
  );
  return {
    title,
    heads: [choice, ...parts, ...measures.map(headOf)],
    rows: rows.map((row, r) => [
      row.name,
      ...parts.map((_, p) => row.parts?.[p] ? "✓" : ""),
      ...columns.map((column) => column[r]!),
    ]),
    words: 1 + parts.length,
    runs: mostRuns(rows.flatMap(({ figures }) => figures)),
  };
}

function sweepTable(curves: AblationCurves): TextTable {
  const { title, parameter, measures, series, chosen } = curves;
  const one = series.length === 1 ? series[0]! : averageCurve(curves);
  const columns = measures.map((measure, m) =>
    figureColumn(one.points.map(({ figures }) => figures[m]!), measure)
  );
  return {
    title: `${title}: ${series.length === 1 ? one.name : `mean over ${series.length} sets`}`,
    heads: [parameter, ...measures.map(headOf)],
    rows: one.points.map(({ value }, r) => [
      `${value}${value === chosen ? " (taken)" : ""}`,
      ...columns.map((column) => column[r]!),
    ]),
    words: 1,
    runs: mostRuns(one.points.flatMap(({ figures }) => figures)),
  };
}

function headOf({ name, better }: AblationMeasure): string {
  return `${name} ${better === "more" ? "↑" : "↓"}`;
}

function figureColumn(figures: readonly AblationFigure[], measure: AblationMeasure): string[] {
  const means = figures.map(meanOf);
  const best = bestText(means, measure);
  const spreads = means.map((mean) =>
    mean === null || mean.deviation === null ? "" : ` ± ${percent(mean.deviation, 2)}`
  );
  const width = Math.max(...spreads.map(({ length }) => length));
  return means.map((mean, row) => {
    const value = mean === null ? "-" : percent(mean.mean, 2);
    return `${value}${value === best ? "*" : " "}${spreads[row]!.padEnd(width)}`;
  });
}

function layOut({ title, heads, rows, words, runs }: TextTable): string {
  const table = [heads, ...rows];
  const widths = heads.map((_, column) =>
    Math.max(...table.map((row) => [...row[column]!].length))
  );
  const line = (row: readonly string[]) => {
    const cells = row.map((cell, column) => {
      const space = " ".repeat(widths[column]! - [...cell].length);
      return column < words ? cell + space : space + cell;
    });
    return `  ${cells.join("  ")}`.trimEnd();
  };
  const note = runs > 1 ? `percent, mean ± deviation over ${runs} runs; * best` : "percent; * best";
  return [title, ...table.map(line), `  ${note}`, ""].join("\n");
}
