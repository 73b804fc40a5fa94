/**
 * WordNet from its own database files (`data.noun`, `data.adj` and so on; wndb(5), lexnames(5)):
 * words by the lexicographer file that they come from.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { kindOf, refuseFile } from "./_io_error.ts";

/** A part of speech, as the database's files are named. */
export type WordNetPart = "noun" | "verb" | "adj" | "adv";

/** WordNet's words. */
export interface WordNet {
  /** The folder of the database files. */
  readonly path: string;
  /**
   * Words by lexicographer file, for example `noun.plant`, in the order of the files' numbers. Each
   * word stands once in a file; one of several meanings may stand in several files.
   */
  readonly files: ReadonlyMap<string, readonly string[]>;
}

/** How WordNet is read. */
export interface WordNetOptions {
  /** Parts of speech; nouns and adjectives by default. */
  readonly parts?: readonly WordNetPart[];
  /** All words of every set of synonyms, or the first alone; all by default. */
  readonly words?: "all" | "first";
}

/** Names of the lexicographer files by their numbers. */
export const LEXICOGRAPHER_FILES: readonly string[] = [
  ...["adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact"],
  ...["noun.attribute", "noun.body", "noun.cognition", "noun.communication", "noun.event"],
  ...["noun.feeling", "noun.food", "noun.group", "noun.location", "noun.motive", "noun.object"],
  ...["noun.person", "noun.phenomenon", "noun.plant", "noun.possession", "noun.process"],
  ...["noun.quantity", "noun.relation", "noun.shape", "noun.state", "noun.substance", "noun.time"],
  ...["verb.body", "verb.change", "verb.cognition", "verb.communication", "verb.competition"],
  ...["verb.consumption", "verb.contact", "verb.creation", "verb.emotion", "verb.motion"],
  ...["verb.perception", "verb.possession", "verb.social", "verb.stative", "verb.weather"],
  "adj.ppl",
];

/** Where Debian's package wordnet-base puts the files. */
export const WORDNET_FOLDER = "/usr/share/wordnet";

// An offset of eight figures, the file's number, a type, the number of words, then the words.
const SYNSET_REGEXP = /^\d{8} (\d\d) [nvasr] ([0-9a-f]{2}) (.+)$/;
const MARKER_REGEXP = /\((?:a|p|ip)\)$/;

/**
 * Reads WordNet's words. Underscores become spaces; what adjectives say of their position, as in
 * `afraid(p)`, is left out.
 *
 * @param folder The folder that has `data.noun`, or one that has it in `dict`.
 * @param options Parts of speech, and whether all synonyms count.
 * @returns The words.
 * @throws {UserError} When the folder has no such files, or one is damaged.
 *
 * @example A database of one set of synonyms
 * ```ts
 * import { readWordNet } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const line = "00017222 20 n 02 plant 0 plant_life 0 000 | a living thing  \n";
 * await Deno.writeTextFile(`${folder}/data.noun`, `  1 A licence.  \n${line}`);
 * const { files } = await readWordNet(folder, { parts: ["noun"] });
 * assertEquals([...files], [["noun.plant", ["plant", "plant life"]]]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function readWordNet(folder: string, options: WordNetOptions = {}): Promise<WordNet> {
  const { parts = ["noun", "adj"], words = "all" } = options;
  const path = await databaseFolder(folder, parts);
  const found = new Map<string, Set<string>>();
  for (const part of parts) {
    readSynsets(`${path}/data.${part}`, await readDatabase(path, part), { found, words });
  }
  const files = LEXICOGRAPHER_FILES.flatMap((name) => {
    const set = found.get(name);
    return set === undefined ? [] : [[name, [...set]] as const];
  });
  return { path, files: new Map(files) };
}

/** The folder itself, or `dict` in it, as WordNet's own archive has it. */
async function databaseFolder(folder: string, parts: readonly WordNetPart[]): Promise<string> {
  const kind = await kindOf(folder);
  const debian = `Debian's package wordnet-base has it (${WORDNET_FOLDER})`;
  if (kind === undefined) {
    throw new UserError(`Cannot read WordNet from "${folder}": there is no such folder; ${debian}`);
  }
  if (kind === "file") {
    throw new UserError(
      `Cannot read WordNet from "${folder}": it is a file, and the folder of data.noun was expected`,
    );
  }
  let missing = "";
  for (const candidate of [folder, `${folder}/dict`]) {
    const kinds = await Promise.all(parts.map((part) => kindOf(`${candidate}/data.${part}`)));
    const first = kinds.findIndex((kind) => kind !== "file");
    if (first < 0) return candidate;
    missing ||= `data.${parts[first]}`;
  }
  throw new UserError(`Cannot read WordNet from "${folder}": it has no ${missing}; ${debian}`);
}

async function readDatabase(folder: string, part: WordNetPart): Promise<string> {
  const path = `${folder}/data.${part}`;
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    refuseFile(path, (error as Error).message);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    // Older databases are in Latin-1.
    return new TextDecoder("latin1").decode(bytes);
  }
}

function readSynsets(
  path: string,
  text: string,
  { found, words }: { found: Map<string, Set<string>>; words: "all" | "first" },
): void {
  let synsets = 0;
  let number = 0;
  for (const raw of text.split("\n")) {
    number++;
    // The licence's lines begin with two spaces.
    if (raw.startsWith("  ") || raw.trim() === "") continue;
    const match = SYNSET_REGEXP.exec(raw.trimEnd());
    const file = LEXICOGRAPHER_FILES[Number(match?.[1])];
    if (match === null || file === undefined) {
      refuseFile(path, `line ${number} is no set of synonyms as WordNet's database has them`);
    }
    const count = parseInt(match[2]!, 16);
    const fields = match[3]!.split(" ", 2 * count);
    if (count === 0 || fields.length < 2 * count) {
      refuseFile(path, `line ${number} says that it has ${count} words, and it is shorter`);
    }
    const set = found.get(file) ?? new Set();
    found.set(file, set);
    for (let i = 0; i < (words === "first" ? 1 : count); i++) {
      const word = fields[2 * i]!.replace(MARKER_REGEXP, "").replaceAll("_", " ").trim();
      if (word !== "") set.add(word);
    }
    synsets++;
  }
  if (synsets === 0) refuseFile(path, "there is no set of synonyms in it");
}
