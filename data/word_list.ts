/**
 * Lists of words: one a line, or a JSON array. Files of words come from anywhere, so what is odd in
 * them is counted and left out rather than refused.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { ioError, parseJson, refuseFile } from "./_io_error.ts";

/** What was found in a list of words. */
export interface WordList {
  /** The words, each once, in the order of the list. */
  readonly words: readonly string[];
  /** How many entries there were. */
  readonly entries: number;
  /** Entries of which nothing is left: empty lines, blanks, marks that cannot be seen. */
  readonly empty: number;
  /** Entries that say the same as an earlier one: see {@linkcode foldWord}. */
  readonly duplicates: number;
  /** The first of them. */
  readonly repeated: readonly string[];
  /** Entries that are longer than {@linkcode MAX_WORD_LENGTH} characters, which are left out. */
  readonly long: number;
  /** Entries without a letter, a figure or a pictograph, which are left out. */
  readonly wordless: number;
  /** Words that are kept and have letters of other scripts than Latin, or pictographs. */
  readonly otherScripts: number;
}

/** The longest word that is taken, in code points; text encoders see no more than 77 tokens. */
export const MAX_WORD_LENGTH = 200;

const MAX_REPEATED = 10;
/** Repeated words that a text names. */
const MAX_NAMED = 3;
// What joins pictographs and keeps Persian letters apart is part of a word; other marks are not.
const INVISIBLE_REGEXP = /(?![\u200c\u200d])\p{Cf}/gu;
const WORD_REGEXP = /[\p{L}\p{N}\p{Extended_Pictographic}]/u;
const OTHER_SCRIPT_REGEXP = /(?!\p{Script=Latin})\p{L}|\p{Extended_Pictographic}/u;

/**
 * A word without what makes no difference: Unicode's composed form, without case, with single
 * blanks; underscores are blanks.
 *
 * @param word The word.
 * @returns What two words have in common that say the same.
 *
 * @example One word in four ways
 * ```ts
 * import { foldWord } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const words = ["Café au lait", " cafe\u0301  AU lait", "CAFÉ_AU_LAIT", "café\tau lait"];
 * assertEquals(new Set(words.map(foldWord)), new Set(["café au lait"]));
 * ```
 */
export function foldWord(word: string): string {
  // Upper case first: what folds to two letters, and the final sigma, become alike.
  return cleanWord(word.replaceAll("_", " ")).toUpperCase().toLowerCase().normalize("NFC");
}

/**
 * A word in Unicode's composed form, with single blanks and without marks that cannot be seen.
 *
 * @param word The word.
 * @returns What is left.
 *
 * @example Blanks and a byte order mark
 * ```ts
 * import { cleanWord } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(cleanWord("\uFEFF golden\t retriever "), "golden retriever");
 * ```
 */
export function cleanWord(word: string): string {
  return word.toWellFormed().normalize("NFC").replace(INVISIBLE_REGEXP, "")
    .replace(/[\s\p{Cc}]+/gu, " ").trim();
}

/**
 * Cleans a list of words and counts what is odd in it.
 *
 * @param entries The entries.
 * @returns The words, and the counts.
 *
 * @example Of five entries two are left
 * ```ts
 * import { cleanWords } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const { words, empty, duplicates, wordless, otherScripts } = cleanWords(
 *   ["sea", "", "SEA ", "?!", "海"],
 * );
 * assertEquals(words, ["sea", "海"]);
 * assertEquals([empty, duplicates, wordless, otherScripts], [1, 1, 1, 1]);
 * ```
 */
export function cleanWords(entries: Iterable<string>): WordList {
  const words = new Map<string, string>();
  const repeated: string[] = [];
  const counts = { entries: 0, empty: 0, duplicates: 0, long: 0, wordless: 0, otherScripts: 0 };
  for (const entry of entries) {
    counts.entries++;
    const word = cleanWord(entry);
    if (word === "") {
      counts.empty++;
      continue;
    }
    if (isLong(word)) {
      counts.long++;
      continue;
    }
    if (!WORD_REGEXP.test(word)) {
      counts.wordless++;
      continue;
    }
    const folded = foldWord(word);
    if (words.has(folded)) {
      counts.duplicates++;
      if (repeated.length < MAX_REPEATED) repeated.push(word);
      continue;
    }
    words.set(folded, word);
    if (OTHER_SCRIPT_REGEXP.test(word)) counts.otherScripts++;
  }
  return { words: [...words.values()], repeated, ...counts };
}

/** Code points are at most as many as units of UTF-16. */
function isLong(word: string): boolean {
  return word.length > MAX_WORD_LENGTH && [...word].length > MAX_WORD_LENGTH;
}

/**
 * Reads a list of words: a text file with one a line, or a JSON array of texts in a file that ends
 * in `.json`.
 *
 * @param path The file.
 * @returns The words, and what was odd.
 * @throws {UserError} When the file cannot be read, is no such list, or no word is left.
 *
 * @example A list with a byte order mark and Windows' line ends
 * ```ts
 * import { readWordList } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * await Deno.writeTextFile(`${folder}/words.txt`, "\uFEFFsea\r\n\r\nsky\r\n");
 * const { words, empty } = await readWordList(`${folder}/words.txt`);
 * assertEquals([words, empty], [["sea", "sky"], 1]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function readWordList(path: string): Promise<WordList> {
  const list = cleanWords(await readWordEntries(path));
  if (list.words.length === 0) {
    const what = describeWords(list);
    refuseFile(path, `there is no word in it${what.length === 0 ? "" : ` (${what.join(", ")})`}`);
  }
  return list;
}

/**
 * Reads the entries of a list of words as they stand, repeated and empty ones too.
 *
 * @param path The file: one entry a line, or a JSON array of texts where it ends in `.json`.
 * @returns The entries.
 * @throws {UserError} When the file cannot be read or is no such list.
 *
 * @example Two entries
 * ```ts
 * import { readWordEntries } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const path = await Deno.makeTempFile({ suffix: ".json" });
 * await Deno.writeTextFile(path, '["sea", "sea"]');
 * assertEquals(await readWordEntries(path), ["sea", "sea"]);
 * await Deno.remove(path);
 * ```
 */
export async function readWordEntries(path: string): Promise<readonly string[]> {
  let text: string | undefined;
  try {
    // The decoder leaves a byte order mark out.
    text = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(path));
  } catch (error) {
    // The decoder's error for what is no UTF-8.
    if (!(error instanceof TypeError)) throw ioError("read", path, error);
  }
  if (text === undefined || text.includes("\0")) {
    refuseFile(path, "it is no UTF-8 text, and a list of words was expected");
  }
  if (/\.json$/i.test(path)) return jsonEntries(path, parseJson(path, text));
  const lines = text.split(/\r\n|\n|\r/);
  // The end of the last line begins none.
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function jsonEntries(path: string, value: unknown): readonly string[] {
  if (!Array.isArray(value)) refuseFile(path, "a JSON array of words was expected");
  const other = value.findIndex((entry) => typeof entry !== "string");
  if (other >= 0) {
    throw new UserError(
      `Cannot read "${path}": entry ${other + 1} is no text, and an array of words was expected`,
    );
  }
  return value;
}

/**
 * What was odd in a list of words, each in a few words.
 *
 * @param list The list.
 * @returns One text for each kind of entry that there was.
 *
 * @example An empty line and a repeated word
 * ```ts
 * import { cleanWords, describeWords } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(describeWords(cleanWords(["sea", "", "Sea"])), [
 *   "1 empty entry",
 *   '1 entry that repeats another ("Sea")',
 * ]);
 * ```
 */
export function describeWords(list: WordList): readonly string[] {
  const entries = (count: number) => `${count} ${count === 1 ? "entry" : "entries"}`;
  const be = (count: number) => count === 1 ? "is" : "are";
  const { empty, duplicates, long, wordless, otherScripts, repeated } = list;
  const named = repeated.slice(0, MAX_NAMED).map((word) => `"${word}"`).join(", ");
  const more = duplicates > MAX_NAMED ? ", …" : "";
  return [
    empty > 0 ? `${empty} empty ${empty === 1 ? "entry" : "entries"}` : "",
    duplicates > 0
      ? `${entries(duplicates)} that ${duplicates === 1 ? "repeats another" : "repeat others"} (` +
        `${named}${more})`
      : "",
    long > 0 ? `${entries(long)} that ${be(long)} longer than ${MAX_WORD_LENGTH} characters` : "",
    wordless > 0 ? `${entries(wordless)} without a letter, a figure or a pictograph` : "",
    otherScripts > 0
      ? `${otherScripts} ${
        otherScripts === 1 ? "word" : "words"
      } with letters that are not Latin, ` +
        "or pictographs (kept)"
      : "",
  ].filter((text) => text !== "");
}
