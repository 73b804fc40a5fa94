/**
 * Elements as they are kept: cleaned, each once, and none that is the image's own class.
 *
 * @module
 */

import type { IdNames } from "./_id_names.ts";

/** Letters that an element may have; longer texts are sentences. */
const MAX_LETTERS = 100;

/** Why elements were left out, and how many. */
export interface DroppedElements {
  /** Nothing but spaces, or longer than a name is. */
  readonly unusable: number;
  /** There already, but for capitals. */
  readonly duplicates: number;
  /** The image's own class, or something that names it. */
  readonly own: number;
  /** More than were asked for. */
  readonly more: number;
}

/** Elements that are kept, and what was left out. */
export interface FittedElements {
  readonly elements: readonly string[];
  readonly dropped: DroppedElements;
}

/** An element in NFC, with single spaces; empty when it is no name of anything. */
export function cleanElement(text: string): string {
  const clean = text.normalize("NFC").replaceAll(/[\p{Cc}\s]+/gu, " ").trim();
  return /[\p{L}\p{N}]/u.test(clean) && clean.length <= MAX_LETTERS ? clean : "";
}

/** A class's name as people write it: folders have underscores for spaces. */
export function readableName(className: string): string {
  return className.normalize("NFC").replaceAll(/[_\s]+/g, " ").trim();
}

/** Cleans a list of elements: each once, none that says the image's own class, at most so many. */
export function fitElements(
  given: readonly string[],
  { own, most }: { readonly own: IdNames | undefined; readonly most: number },
): FittedElements {
  const kept = new Map<string, string>();
  const dropped = { unusable: 0, duplicates: 0, own: 0, more: 0 };
  for (const text of given) {
    const element = cleanElement(text);
    const key = element.toLowerCase();
    if (element === "") dropped.unusable++;
    else if (kept.has(key)) dropped.duplicates++;
    else if (own?.find(element) !== undefined) dropped.own++;
    else if (kept.size >= most) dropped.more++;
    else kept.set(key, element);
  }
  return { elements: [...kept.values()], dropped };
}
