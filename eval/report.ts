/**
 * An evaluation as one HTML file that needs no network: the table, ROC curves, histograms and the
 * most confusing images, readable in light, dark and print, and complete without its script.
 *
 * @module
 */

import type { Named } from "./_named.ts";
import { readInput, type Report } from "./_report_data.ts";
import { headSection } from "./_report_head.ts";
import { confusingSection } from "./_report_images.ts";
import { methodsSection, readingSection, recordSection } from "./_report_notes.ts";
import { renderPage } from "./_report_page.ts";
import { histogramSection, intervalSection, rocSection } from "./_report_plot_sections.ts";
import type { Section } from "./_report_section.ts";
import { resultsSection } from "./_report_tables.ts";
import type { Evaluation } from "./protocol.ts";
import type { Scores } from "./scores.ts";

/** Names and pictures of a set's images. */
export interface ReportImages {
  /** The images' names, in the order of the scores. */
  readonly names: readonly string[];
  /** Pictures by index as `data:image/…` addresses; only those shown need one. */
  readonly thumbnails?: ReadonlyMap<number, string>;
}

/** What the report says about a method. */
export interface MethodDescription {
  /** The name that the evaluation uses. */
  readonly name: string;
  /** Its name in prose. */
  readonly title?: string;
  /** The paper. */
  readonly source?: string;
  /** Its parameters as they were used. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** What a report is made of. */
export interface ReportInput {
  /** What {@linkcode evaluate} returned. */
  readonly evaluation: Evaluation;
  /** Scores of the ID set by method; without `id` and `ood` the report has no curves. */
  readonly id?: Named<Scores>;
  /** Scores by OOD set, then by method. */
  readonly ood?: Named<Named<Scores>>;
  /** The ID set's images. */
  readonly idImages?: ReportImages;
  /** The images of OOD sets, by set. */
  readonly oodImages?: Named<ReportImages>;
  /** What to say about the methods. */
  readonly methods?: readonly MethodDescription[];
  /** More warnings, shown with those of the evaluation. */
  readonly warnings?: readonly string[];
}

/** How a report looks. */
export interface ReportOptions {
  /**
   * The heading.
   *
   * @default {"Out-of-distribution evaluation"}
   */
  readonly title?: string;
  /** A sentence below the heading. */
  readonly lede?: string;
  /**
   * How many of the most confusing images to list on either side.
   *
   * @default {12}
   */
  readonly confusing?: number;
}

/**
 * Renders the report. All text is escaped; pictures are taken as `data:image` addresses only; the
 * page's policy forbids every request.
 *
 * @param input The evaluation and, for curves and images, the scores and names.
 * @param options Heading and lengths.
 * @returns A whole HTML document.
 * @throws {UserError} If a thumbnail is not a `data:image` address, or scores of a method or set
 * of the evaluation are missing.
 *
 * @example Write a report
 * ```ts
 * import { evaluate, renderReport } from "@oodgpu/oodgpu/eval";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const id = { energy: Float32Array.of(5, 4, 3, 2) };
 * const ood = { noise: { energy: Float32Array.of(2.5, 1) } };
 * const evaluation = evaluate({ id, ood });
 * const page = renderReport({ evaluation, id, ood }, { title: "My model" });
 * assertStringIncludes(page, "<h1>My model</h1>");
 * ```
 */
export function renderReport(input: ReportInput, options: ReportOptions = {}): string {
  const { title = "Out-of-distribution evaluation" } = options;
  const report = readInput(input, options);
  return renderPage({
    title,
    head: (nav) => headSection(report, { title, nav }),
    sections: sectionsOf(report),
  });
}

function sectionsOf(report: Report): Section[] {
  const ofScores = report.scores === null
    ? []
    : [rocSection(report), histogramSection(report), confusingSection(report)];
  return [
    resultsSection(report),
    intervalSection(report),
    ...ofScores,
    methodsSection(report),
    readingSection(report),
    recordSection(report),
  ].filter((section) => section !== null);
}
