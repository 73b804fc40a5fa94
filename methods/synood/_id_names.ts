/**
 * Which words say the name of an in-distribution class: equal to it, or with it as whole words in
 * them. Case, Unicode's forms, regular English plurals and what separates words make no difference.
 *
 * @module
 */

import { foldWord } from "../../data/mod.ts";

/** A name of a class that a word says. */
export interface FoundName {
  /** The class, as it was given. */
  readonly id: string;
  /** Whether the word is nothing but its name. */
  readonly equal: boolean;
}

/** One of a class's names, as words. */
interface Name {
  readonly id: string;
  /** Forms of each word. */
  readonly words: readonly (readonly string[])[];
}

const SEPARATOR_REGEXP = /[^\p{L}\p{M}\p{N}\p{Extended_Pictographic}\u200c\u200d'’]+/u;
/** Scripts that write no spaces between words. */
const UNSPACED_REGEXP =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

/**
 * The names of a class: what commas separate.
 *
 * @param id The class, for example `crane, bird`.
 * @returns Its names, at least one.
 */
export function namesOf(id: string): readonly string[] {
  const names = id.split(",").map((name) => name.trim()).filter((name) => name !== "");
  return names.length === 0 ? [id] : names;
}

/**
 * The names that stand for each class in its prompts. With `first` it is its first name, or all it
 * was called where another class has the same first name.
 *
 * @param ids The classes.
 * @param how The first name, or all of them.
 * @returns Names by class.
 */
export function promptNames(
  ids: readonly string[],
  how: "first" | "all",
): readonly (readonly string[])[] {
  if (how === "all") return ids.map(namesOf);
  const counts = new Map<string, number>();
  const first = ids.map((id) => foldWord(namesOf(id)[0]!));
  for (const name of first) counts.set(name, (counts.get(name) ?? 0) + 1);
  return ids.map((id, i) => [counts.get(first[i]!)! > 1 ? id : namesOf(id)[0]!]);
}

/** The names of all classes, for looking them up in words. */
export class IdNames {
  readonly #byFirst = new Map<string, Name[]>();
  #segmenter: Intl.Segmenter | undefined;

  /** @param ids The classes; what commas separate are names of one class. */
  constructor(ids: readonly string[]) {
    for (const id of ids) {
      for (const name of namesOf(id)) {
        this.#add(id, name);
        // What is in parentheses explains a name, as in "kite (bird of prey)".
        const bare = name.replaceAll(/\([^)]*\)/g, " ");
        if (bare !== name) this.#add(id, bare);
      }
    }
  }

  #add(id: string, text: string): void {
    const words = this.#words(text).map(formsOf);
    for (const form of words[0] ?? []) {
      const names = this.#byFirst.get(form) ?? [];
      this.#byFirst.set(form, names);
      names.push({ id, words });
    }
  }

  /**
   * Looks for a class's name in a word.
   *
   * @param word The word, or several.
   * @returns The class, or undefined.
   */
  find(word: string): FoundName | undefined {
    const words = this.#words(word).map(formsOf);
    let found: FoundName | undefined;
    for (let at = 0; at < words.length; at++) {
      for (const form of words[at]!) {
        for (const name of this.#byFirst.get(form) ?? []) {
          if (!standsAt(name, words, at)) continue;
          const equal = name.words.length === words.length;
          if (equal) return { id: name.id, equal };
          found ??= { id: name.id, equal };
        }
      }
    }
    return found;
  }

  #words(text: string): string[] {
    const folded = foldWord(text);
    return folded.split(SEPARATOR_REGEXP).flatMap((part) => {
      const word = part.replace(/['’]s?$/, "").replaceAll(/['’]/g, "");
      if (word === "") return [];
      return UNSPACED_REGEXP.test(word) ? this.#segments(word) : [word];
    });
  }

  #segments(text: string): string[] {
    this.#segmenter ??= new Intl.Segmenter("und", { granularity: "word" });
    return Array.from(this.#segmenter.segment(text), ({ segment }) => segment);
  }
}

function standsAt(name: Name, words: readonly (readonly string[])[], at: number): boolean {
  return at + name.words.length <= words.length &&
    name.words.every((forms, k) => words[at + k]!.some((form) => forms.includes(form)));
}

/** A word, and what it may be the plural of. */
function formsOf(word: string): readonly string[] {
  const forms = [word];
  if (word.length < 4 || !/[^suSU']s$/.test(word)) return forms;
  if (word.endsWith("ies")) forms.push(`${word.slice(0, -3)}y`);
  if (/(?:[sxz]|[cs]h|o)es$/.test(word)) forms.push(word.slice(0, -2));
  if (!word.endsWith("is")) forms.push(word.slice(0, -1));
  return forms;
}
