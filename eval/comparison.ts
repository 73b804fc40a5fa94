/**
 * One model before and after a change, under the same methods on the same sets: what was gained.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import type { Evaluation, EvaluationAverage, EvaluationResult } from "./protocol.ts";

/** A figure before and after. */
export interface Change {
  /** The figure of the model before, 0 to 1. */
  readonly before: number;
  /** The figure of the model after, 0 to 1. */
  readonly after: number;
}

/** One method on one OOD set, or on the average of all. */
export interface ComparisonRow {
  /** The method. */
  readonly method: string;
  /** The OOD set; `average` for the mean over all. */
  readonly set: string;
  /** AUROC. */
  readonly auroc: Change;
  /** FPR95 under the evaluations' convention. */
  readonly fpr95: Change;
}

/** Two evaluations side by side. */
export interface Comparison {
  /** What FPR95 is. */
  readonly fpr95: string;
  /** ID accuracy; `null` without labels. */
  readonly accuracy: Change | null;
  /** One row for each set and method, sets outermost, the averages last. */
  readonly rows: readonly ComparisonRow[];
}

/** Name of the mean over all sets. */
const AVERAGE = "average";

/**
 * Puts two evaluations side by side.
 *
 * @param before The model before.
 * @param after The model after.
 * @returns What they have in common.
 * @throws {UserError} When they differ in convention, methods or sets.
 *
 * @example A model that got better
 * ```ts
 * import { compareEvaluations, evaluate } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * const of = (noise: number) =>
 *   evaluate({
 *     id: { msp: Float32Array.of(0.9, 0.8) },
 *     ood: { noise: { msp: Float32Array.of(noise) } },
 *   }, { replicates: 0 });
 * const { rows } = compareEvaluations(of(0.85), of(0.1));
 * assertEquals(rows[0]!.auroc, { before: 0.5, after: 1 });
 * ```
 */
export function compareEvaluations(before: Evaluation, after: Evaluation): Comparison {
  const shape = ({ manifest, results }: Evaluation) =>
    JSON.stringify([
      manifest.convention_name,
      results.map(({ method, ood, n_id: ids, n_ood: oods }) => [method, ood, ids, oods]),
    ]);
  if (shape(before) !== shape(after)) {
    throw new UserError(
      "Cannot compare two evaluations: they differ in convention, methods, sets or numbers of images",
    );
  }
  const row = (
    [old, now]: readonly [
      EvaluationResult | EvaluationAverage,
      EvaluationResult | EvaluationAverage,
    ],
    set: string,
  ): ComparisonRow => ({
    method: old.method,
    set,
    auroc: { before: old.auroc, after: now.auroc },
    fpr95: { before: old.fpr95, after: now.fpr95 },
  });
  const all = ({ averages }: Evaluation) => averages.filter(({ group }) => group === "all");
  const averages = all(before).map((old, i) => row([old, all(after)[i]!], AVERAGE));
  const { id_accuracy: was } = before;
  const { id_accuracy: is } = after;
  return {
    fpr95: before.manifest.fpr95,
    accuracy: was === null || is === null ? null : { before: was, after: is },
    rows: [
      ...before.results.map((old, i) => row([old, after.results[i]!], old.ood)),
      ...averages,
    ],
  };
}

/**
 * A comparison as a table for terminals, figures in percent.
 *
 * @param comparison The comparison.
 * @param options Names of the two models in the heading.
 * @returns Lines of text.
 *
 * @example Its heading names the convention
 * ```ts
 * import { comparisonTable } from "@oodgpu/oodgpu/eval";
 * import { assertStringIncludes } from "@std/assert";
 *
 * const change = { before: 0.5, after: 0.75 };
 * const text = comparisonTable({
 *   fpr95: "FPR95(OOD|ID95)",
 *   accuracy: change,
 *   rows: [{ method: "msp", set: "noise", auroc: change, fpr95: change }],
 * });
 * assertStringIncludes(text, "FPR95(OOD|ID95)");
 * assertStringIncludes(text, "50.00 -> 75.00");
 * ```
 */
export function comparisonTable(
  comparison: Comparison,
  options: { readonly names?: readonly [before: string, after: string] } = {},
): string {
  const { rows, accuracy, fpr95 } = comparison;
  const [before, after] = options.names ?? ["before", "after"];
  const cells = rows.map((row) => ({ ...row, a: arrow(row.auroc), f: arrow(row.fpr95) }));
  const width = (least: number, values: readonly string[]) =>
    Math.max(least, ...values.map(({ length }) => length));
  const method = width(6, rows.map((row) => row.method));
  const auroc = width(5, cells.map(({ a }) => a));
  const lines = [`${before} -> ${after}, percent`];
  if (accuracy !== null) lines.push(`ID accuracy ${arrow(accuracy)}`);
  for (const set of new Set(rows.map((row) => row.set))) {
    lines.push("", set);
    lines.push(`  ${"method".padEnd(method)}  ${"AUROC".padEnd(auroc)}  ${fpr95}`);
    for (const cell of cells.filter((row) => row.set === set)) {
      lines.push(`  ${cell.method.padEnd(method)}  ${cell.a.padEnd(auroc)}  ${cell.f}`);
    }
  }
  return lines.join("\n");
}

function arrow({ before, after }: Change): string {
  const text = (value: number) => (100 * value).toFixed(2);
  const difference = 100 * (after - before);
  const sign = difference < 0 ? "" : "+";
  return `${text(before)} -> ${text(after)} (${sign}${difference.toFixed(2)})`;
}
