/**
 * The report of a model before and after a change: tables, norms, maps, and what other settings
 * would have given.
 *
 * @module
 */

import {
  changesSection,
  mapsSection,
  normsSection,
  scoresSection,
  sensitivitySection,
  settingsSection,
} from "./_comparison_sections.ts";
import { type Markup, markup } from "./_html.ts";
import { renderPage } from "./_report_page.ts";
import { integer, percent, plural } from "./_report_text.ts";
import type { Comparison, ComparisonRow } from "./comparison.ts";
import type { Evaluation } from "./protocol.ts";
import type { Scores } from "./scores.ts";

/** Something of both models. */
export interface BeforeAndAfter<T> {
  /** Of the model before. */
  readonly before: T;
  /** Of the model after. */
  readonly after: T;
}

/** One image and how long both models' features are at each location. */
export interface ReportMap extends BeforeAndAfter<ArrayLike<number>> {
  /** The set; `id` for the in-distribution one. */
  readonly set: string;
  /** The image's name. */
  readonly name: string;
  /** A picture as a `data:image/…` address. */
  readonly picture: string;
  /** Rows and columns of the maps. */
  readonly size: readonly [height: number, width: number];
}

/** Averages over all OOD sets at one value of a setting. */
export interface SensitivityPoint {
  /** The value. */
  readonly value: number;
  /** ID accuracy; `null` without labels. */
  readonly accuracy: number | null;
  /** Figures by method. */
  readonly averages: readonly {
    readonly method: string;
    readonly auroc: number;
    readonly fpr95: number;
  }[];
}

/** What other values of one setting would have given. */
export interface SensitivityCurve {
  /** The setting. */
  readonly name: string;
  /** The value that was taken. */
  readonly chosen: number;
  /** The values that were tried. */
  readonly points: readonly SensitivityPoint[];
}

/** What a comparison's report is made of. */
export interface ComparisonReport {
  /** The model before. */
  readonly before: string;
  /** The model after. */
  readonly after: string;
  /** The figures side by side. */
  readonly comparison: Comparison;
  /** Both evaluations whole, for the record. */
  readonly evaluations: BeforeAndAfter<Evaluation>;
  /** Norms of the features by set; the in-distribution set is `id`. */
  readonly norms: BeforeAndAfter<ReadonlyMap<string, Scores>>;
  /** Scores by set, then by method. */
  readonly scores: BeforeAndAfter<ReadonlyMap<string, ReadonlyMap<string, Scores>>>;
  /** Maps of some images. */
  readonly maps: readonly ReportMap[];
  /** What other settings would have given. */
  readonly sensitivity: readonly SensitivityCurve[];
  /** How the model after was made, when that is known. */
  readonly settings: Readonly<Record<string, unknown>> | null;
}

/**
 * Renders the report of a comparison as one HTML file that loads nothing.
 *
 * @param input What it is made of.
 * @param options The heading.
 * @returns The file.
 * @throws {UserError} When a picture is no `data:image/…` address.
 *
 * @example A page without maps
 * ```ts
 * import { compareEvaluations, evaluate, renderComparison } from "@oodgpu/oodgpu/eval";
 * import { assert } from "@std/assert";
 *
 * const scores = { msp: Float32Array.of(0.9, 0.8) };
 * const evaluation = evaluate({ id: scores, ood: { noise: scores } }, { replicates: 0 });
 * const norms = new Map([["id", Float32Array.of(2, 3)], ["noise", Float32Array.of(1, 1)]]);
 * const bySet = new Map(
 *   ["id", "noise"].map((set) => [set, new Map([["msp", Float32Array.of(0.9, 0.8)]])]),
 * );
 * const html = renderComparison({
 *   before: "a.onnx", after: "b.onnx",
 *   comparison: compareEvaluations(evaluation, evaluation),
 *   evaluations: { before: evaluation, after: evaluation },
 *   norms: { before: norms, after: norms },
 *   scores: { before: bySet, after: bySet },
 *   maps: [], sensitivity: [], settings: null,
 * });
 * assert(html.startsWith("<!doctype html>"));
 * ```
 */
export function renderComparison(
  input: ComparisonReport,
  options: { readonly title?: string } = {},
): string {
  const { title = "Before and after tuning" } = options;
  const sections = [
    changesSection(input),
    normsSection(input),
    scoresSection(input),
    mapsSection(input),
    sensitivitySection(input),
    settingsSection(input),
  ].filter((section) => section !== null);
  return renderPage({ title, head: (nav) => head(input, { title, nav }), sections });
}

function head(
  input: ComparisonReport,
  { title, nav }: { readonly title: string; readonly nav: Markup },
): Markup {
  const { comparison, evaluations } = input;
  const shown = headline(comparison.rows);
  const { counts } = evaluations.before.manifest;
  const sets = Object.keys(counts.ood).length;
  const warnings = [...new Set(Object.values(evaluations).flatMap(({ warnings }) => warnings))];
  const tile = (name: string, { before, after }: { before: number; after: number }, note: string) =>
    markup`<div><dt>${name}</dt><dd>${percent(after)}<small>${percent(before)} before${
      note === "" ? "" : `; ${note}`
    }</small></dd></div>`;
  return markup`<header>
<p class="eyebrow">Comparison of two models</p>
<h1>${title}</h1>
<p class="lede">${input.before} and what it became, ${input.after}, on ${
    integer(counts.id)
  } in-distribution images and ${plural(sets, "OOD set")}.</p>
<dl class="key">
<div><dt>Shown here</dt><dd>${shown.method}<small>mean over ${
    plural(sets, "OOD set")
  }</small></dd></div>
${tile("AUROC", shown.auroc, "")}
${tile(comparison.fpr95, shown.fpr95, "less is better")}
${comparison.accuracy === null ? null : tile("ID accuracy", comparison.accuracy, "")}
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

/** The paper scores by energy, so that is what the head shows where it was asked for. */
function headline(rows: readonly ComparisonRow[]): ComparisonRow {
  const averages = rows.filter(({ set }) => set === "average");
  return averages.find(({ method }) => method === "energy") ?? averages[0]!;
}
