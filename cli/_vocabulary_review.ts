/**
 * What a person should look at in a proposed vocabulary, and the vocabulary as a table.
 *
 * @module
 */

import type { Vocabulary, VocabularyClass } from "../methods/mod.ts";

/** Something to look at. */
export interface ReviewItem {
  /** The classes that it is about. */
  readonly classes: readonly string[];
  /** What it is, as the rest of a sentence. */
  readonly what: string;
}

/** Below this share of a class's images its tag is doubtful. */
const DOUBTFUL = 0.5;
const MAX_CLASSES = 5;
const MAX_ITEMS = 30;

/**
 * What to look at: classes without a tag, tags that few images of the class have, ties, classes
 * whose own name is another tag, and tags that stand for several classes.
 *
 * @param vocabulary The proposal.
 * @param tagNames Names of the tagger's tags.
 * @returns What was found, class by class, then tag by tag.
 */
export function reviewVocabulary(
  vocabulary: Vocabulary,
  tagNames: readonly string[],
): ReviewItem[] {
  const byName = new Map(tagNames.map((tag) => [plainName(tag), tag]));
  const items = vocabulary.classes.flatMap((entry) => reviewClass(entry, byName));
  const classesOf = new Map<string, string[]>();
  for (const { class: name, tags } of vocabulary.classes) {
    for (const tag of tags) classesOf.set(tag, [...classesOf.get(tag) ?? [], name]);
  }
  for (const [tag, classes] of classesOf) {
    if (classes.length > 1) items.push({ classes, what: `share the tag "${tag}"` });
  }
  return items;
}

function reviewClass(
  { class: name, tags, note, candidates }: VocabularyClass,
  byName: ReadonlyMap<string, string>,
): ReviewItem[] {
  const found: string[] = [];
  const [first, second] = candidates;
  if (note !== undefined) found.push(`has no tag: ${note}`);
  if (first !== undefined && first.share < DOUBTFUL) {
    found.push(`has "${first.tag}" on ${percent(first.share)} of its images only`);
  }
  if (second !== undefined && second.count === first!.count) {
    found.push(`has "${second.tag}" on as many images as "${first!.tag}"`);
  }
  const own = byName.get(plainName(name));
  if (own !== undefined && !tags.includes(own)) {
    const candidate = candidates.find(({ tag }) => tag === own);
    const share = candidate === undefined ? "" : `, on ${percent(candidate.share)} of its images`;
    found.push(`has a tag of its own name${share}`);
  }
  return found.map((what) => ({ classes: [name], what }));
}

/** Names that differ in case, blanks and underscores only are the same. */
function plainName(name: string): string {
  return name.toLowerCase().replace(/[\s_-]+/g, " ").trim();
}

/** The classes with their tags as lines of text. */
export function describeVocabulary({ classes }: Vocabulary): string {
  const rows = classes.map(({ class: name, tags, images, candidates }) => {
    const [first, second] = candidates;
    return [
      name,
      String(images),
      tags.length === 0 ? "-" : tags.join(", "),
      first === undefined ? "" : percent(first.share),
      second?.tag ?? "",
      second === undefined ? "" : percent(second.share),
    ];
  });
  const table = [["class", "images", "tag", "share", "second", "share"], ...rows];
  const widths = table[0]!.map((_, column) =>
    Math.max(...table.map((row) => [...row[column]!].length))
  );
  const numbers = [1, 3, 5];
  return table.map((row) =>
    row.map((cell, column) => {
      const space = " ".repeat(widths[column]! - [...cell].length);
      return numbers.includes(column) ? space + cell : cell + space;
    }).join("  ").trimEnd()
  ).join("\n");
}

/** What to look at as lines of text; empty when nothing was found. */
export function describeReview(items: readonly ReviewItem[]): string {
  if (items.length === 0) return "";
  const shown = items.slice(0, MAX_ITEMS).map(({ classes, what }) => {
    const named = classes.slice(0, MAX_CLASSES).join(", ");
    const more = classes.length - MAX_CLASSES;
    return `  ${named}${more > 0 ? ` and ${more} more` : ""} ${what}`;
  });
  const rest = items.length - MAX_ITEMS;
  return ["To review:", ...shown, ...(rest > 0 ? [`  and ${rest} more`] : [])].join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
