/**
 * Everything that a report's sections share, looked up and checked once.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { entriesOf, type Named } from "./_named.ts";
import type { Series } from "./_report_plots.ts";
import { bestMethod } from "./highlights.ts";
import type { Evaluation, EvaluationAverage, EvaluationResult } from "./protocol.ts";
import type { ReportImages, ReportInput, ReportOptions } from "./report.ts";
import type { Scores } from "./scores.ts";

/** Everything the sections share, looked up and checked once. */
export interface Report {
  /** What the report is made of. */
  readonly input: ReportInput;
  /** The evaluation. */
  readonly evaluation: Evaluation;
  /** The best method's name. */
  readonly best: string;
  /** Methods from the best average AUROC down, each with its colour. */
  readonly series: readonly Series[];
  /** Names of the OOD sets. */
  readonly sets: readonly string[];
  /** The figures of a method on a set. */
  readonly result: (method: string, set: string) => EvaluationResult;
  /** The figures of a method, averaged over all sets. */
  readonly average: (method: string) => EvaluationAverage;
  /** Averages over named groups of sets. */
  readonly groups: ReadonlyMap<string, ReadonlyMap<string, EvaluationAverage>>;
  /** A method's name in prose. */
  readonly title: (method: string) => string;
  /** Images by set; `null` is the ID set. */
  readonly images: ReadonlyMap<string | null, ReportImages>;
  /** Scores by method, when they were given. */
  readonly scores: ReadonlyMap<string, { id: Scores; ood: ReadonlyMap<string, Scores> }> | null;
  /** How many confusing images to list on either side. */
  readonly confusing: number;
  /** A sentence below the heading, in place of one that is made. */
  readonly lede: string | null;
}

/** Looks everything up that a report of this input needs, and refuses what it cannot show. */
export function readInput(input: ReportInput, options: ReportOptions): Report {
  const { evaluation, id, ood } = input;
  const { methods } = evaluation.manifest;
  const sets = [...new Set(evaluation.results.map((row) => row.ood))];
  const results = new Map(
    evaluation.results.map((row) => [JSON.stringify([row.method, row.ood]), row]),
  );
  const { all, named } = averagesOf(evaluation);
  const best = bestMethod(evaluation);
  const series = methods.map((name, color) => ({ name, color, strong: name === best }))
    .sort((a, b) => all.get(b.name)!.auroc - all.get(a.name)!.auroc);
  const titles = new Map(
    input.methods?.map((method) => [method.name, method.title ?? method.name]),
  );
  return {
    input,
    evaluation,
    best,
    series,
    sets,
    result: (method, set) => results.get(JSON.stringify([method, set]))!,
    average: (method) => all.get(method)!,
    groups: named,
    title: (method) => titles.get(method) ?? method,
    images: imagesOf(input),
    scores: id === undefined || ood === undefined ? null : lookUpScores(id, ood, { methods, sets }),
    confusing: options.confusing ?? 12,
    lede: options.lede ?? null,
  };
}

/** Averages by method: over all sets, and over each named group of sets. */
function averagesOf(evaluation: Evaluation): {
  all: ReadonlyMap<string, EvaluationAverage>;
  named: ReadonlyMap<string, ReadonlyMap<string, EvaluationAverage>>;
} {
  const named = new Map<string, Map<string, EvaluationAverage>>();
  for (const row of evaluation.averages) {
    named.set(row.group, (named.get(row.group) ?? new Map()).set(row.method, row));
  }
  const all = named.get("all")!;
  named.delete("all");
  return { all, named };
}

function imagesOf({ idImages, oodImages = {} }: ReportInput): Map<string | null, ReportImages> {
  const images = new Map<string | null, ReportImages>(entriesOf(oodImages));
  if (idImages !== undefined) images.set(null, idImages);
  for (const { thumbnails } of images.values()) {
    for (const address of thumbnails?.values() ?? []) checkThumbnail(address);
  }
  return images;
}

function lookUpScores(
  id: Named<Scores>,
  ood: Named<Named<Scores>>,
  { methods, sets }: { methods: readonly string[]; sets: readonly string[] },
): Map<string, { id: Scores; ood: Map<string, Scores> }> {
  const idScores = new Map(entriesOf(id));
  const oodScores = new Map(
    entriesOf(ood).map(([set, scores]) => [set, new Map(entriesOf(scores))]),
  );
  const need = (scores: Scores | undefined, method: string, set: string): Scores => {
    if (scores !== undefined) return scores;
    throw new UserError(
      `Cannot report method "${method}" on set "${set}": the evaluation has it and the scores do not`,
    );
  };
  return new Map(methods.map((method) => [method, {
    id: need(idScores.get(method), method, "id"),
    ood: new Map(sets.map((set) => [set, need(oodScores.get(set)?.get(method), method, set)])),
  }]));
}

const THUMBNAIL_REGEXP = /^data:image\/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+=*$/;

function checkThumbnail(address: string): void {
  if (THUMBNAIL_REGEXP.test(address)) return;
  throw new UserError(
    `Cannot show thumbnail "${
      address.slice(0, 40)
    }": it must be a data:image address in base64 (png, jpeg, webp or gif)`,
  );
}
