/**
 * What `ood synood labels` prints: how many labels of which kind, both ends of their order, and what
 * was left out.
 *
 * @module
 */

import type { LabelKind, MinedLabels } from "../methods/mod.ts";
import type { LabelSettings } from "./synood_labels.ts";

/** What a report says beside the labels. */
export interface LabelsAbout {
  /** The file that was written. */
  readonly path: string;
  /** Where the words come from. */
  readonly source: string;
  /** Words that repeated others. */
  readonly duplicates: number;
  /** How they were mined. */
  readonly settings: LabelSettings;
  /** How many are listed from either end. */
  readonly show: number;
}

/** One label of a list. */
interface ListedLabel {
  readonly name: string;
  readonly kind: LabelKind;
  readonly cosine: number;
}

/** Dropped words that a report names. */
const MAX_DROPPED = 5;

/** The report as JSON. */
export function labelsSummary(found: MinedLabels, about: LabelsAbout): Record<string, unknown> {
  const { set, dropped } = found;
  const { most, least } = ends(found, about.show);
  const { mining, share, count, quantile, seed } = about.settings;
  return {
    path: about.path,
    mining,
    ...(mining === "given" ? {} : { ...(count === undefined ? { share } : { count }), quantile }),
    ...(mining === "csp" ? { seed } : {}),
    model: set.model,
    width: set.width,
    logitScale: set.logitScale,
    classes: set.ids.length,
    source: about.source,
    candidates: found.candidates,
    duplicates: about.duplicates,
    negatives: set.negatives.length,
    kinds: kindCounts(found),
    dropped: { count: dropped.length, examples: dropped.slice(0, MAX_DROPPED) },
    nearClasses: found.nearClasses,
    most,
    least,
    prompts: found.prompts,
  };
}

/** The report for people. */
export function describeLabels(found: MinedLabels, about: LabelsAbout): string {
  const { set, dropped } = found;
  const { most, least } = ends(found, about.show);
  const kinds = Object.entries(kindCounts(found))
    .map(([kind, count]) => `${count} ${kind}${count === 1 ? "" : "s"}`).join(", ");
  const lines = [
    `${set.negatives.length} negative labels for ${set.ids.length} classes` +
    (kinds === "" ? "" : ` (${kinds})`),
  ];
  if (set.negatives.length > 0) lines.push(`of ${found.candidates} words: ${how(about)}`);
  lines.push(`prompts: ${describePrompts(found)}`);
  if (about.duplicates > 0) {
    lines.push(
      `left out: ${words(about.duplicates)} that ${
        about.duplicates === 1 ? "repeats another" : "repeat others"
      }`,
    );
  }
  if (dropped.length > 0) {
    const examples = dropped.slice(0, MAX_DROPPED)
      .map(({ name, id, equal }) => `"${name}" ${equal ? "is" : "has"} "${id}"`).join(", ");
    const more = dropped.length > MAX_DROPPED ? ", …" : "";
    lines.push(
      `left out: ${words(dropped.length)} that ${
        dropped.length === 1 ? "says" : "say"
      } the name of a class (${examples}${more})`,
    );
  }
  if (found.nearClasses > 0) {
    lines.push(`put last: ${words(found.nearClasses)} with a cosine above 0.95 to a class`);
  }
  if (most.length > 0) lines.push("", "Most negative", ...table(most));
  if (least.length > 0) lines.push("", "Least negative", ...table(least));
  return lines.join("\n");
}

function words(count: number): string {
  return `${count} ${count === 1 ? "word" : "words"}`;
}

function how({ settings, source }: LabelsAbout): string {
  const { mining, share, count, quantile } = settings;
  if (mining === "given") return `all of ${source}`;
  const kept = count === undefined
    ? `the lowest ${Number((100 * share).toPrecision(6))} %`
    : "the lowest";
  return `${kept} by the ${quantile} quantile of their cosines to the classes (${mining}; ${source})`;
}

function describePrompts({ prompts, set }: MinedLabels): string {
  const text = (templates: readonly string[]) =>
    templates.length === 1 ? `"${templates[0]}"` : `the average of ${templates.length}`;
  const has = (adjective: boolean) =>
    set.kinds.some((kind) => (kind === "adjective") === adjective);
  return [
    `${text(prompts.id)} for classes`,
    ...(has(false) ? [`${text(prompts.noun)} for words`] : []),
    ...(has(true) ? [`${text(prompts.adjective)} for adjectives`] : []),
  ].join(", ");
}

function kindCounts({ set }: MinedLabels): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of set.kinds) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Both ends of the labels by their cosines; of few labels none stands twice. */
function ends(
  { set, cosines }: MinedLabels,
  show: number,
): { readonly most: readonly ListedLabel[]; readonly least: readonly ListedLabel[] } {
  const list = Array.from(cosines, (cosine, i): ListedLabel => ({
    name: set.negatives[i]!,
    kind: set.kinds[i]!,
    cosine,
  })).sort((a, b) => a.cosine - b.cosine)
    .map((label) => ({ ...label, cosine: Number(label.cosine.toFixed(4)) }));
  return { most: list.slice(0, show), least: list.slice(Math.max(show, list.length - show)) };
}

function table(labels: readonly ListedLabel[]): string[] {
  const kind = Math.max(...labels.map((label) => label.kind.length));
  return labels.map((label) =>
    `  ${label.cosine.toFixed(4).padStart(7)}  ${label.kind.padEnd(kind)}  ${label.name}`
  );
}
