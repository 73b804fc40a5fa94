/**
 * Candidates of negative labels: words that may name what no in-distribution image shows.
 *
 * @module
 */

import { foldWord, type WordNet } from "../../data/mod.ts";
import { Rng } from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { IdNames } from "./_id_names.ts";
import type { LabelKind } from "./label_set.ts";
import { SUPERCLASSES } from "./prompts.ts";

/** A word that may become a negative label. */
export interface Candidate {
  /** The word. */
  readonly name: string;
  /** Its kind. */
  readonly kind: LabelKind;
}

/** Lexicographer files that NegLabel leaves out. */
export const NEG_LABEL_EXCLUDED: readonly string[] = ["noun.animal", "noun.food"];

/** Lexicographer files that CSP leaves out. */
export const CSP_EXCLUDED: readonly string[] = [
  ...NEG_LABEL_EXCLUDED,
  ...["noun.person", "noun.quantity", "noun.group", "adj.pert"],
];

/** Candidates, each once. */
export interface Candidates {
  /** Nouns before adjectives. */
  readonly candidates: readonly Candidate[];
  /** How many repeated an earlier one. */
  readonly duplicates: number;
}

/**
 * Nouns and adjectives of WordNet. A word that is both is a noun.
 *
 * @param wordNet The words.
 * @param options `exclude`: lexicographer files that are left out; NegLabel's by default.
 * @returns The candidates.
 * @throws {UserError} When no word is left.
 *
 * @example A plant and an animal
 * ```ts
 * import { wordNetCandidates } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const files = new Map([["noun.animal", ["dog"]], ["noun.plant", ["rose"]], ["adj.all", ["red"]]]);
 * const { candidates } = wordNetCandidates({ path: "wordnet", files });
 * assertEquals(candidates, [{ name: "rose", kind: "noun" }, { name: "red", kind: "adjective" }]);
 * ```
 */
export function wordNetCandidates(
  wordNet: WordNet,
  options: { readonly exclude?: readonly string[] } = {},
): Candidates {
  const { exclude = NEG_LABEL_EXCLUDED } = options;
  const words = (part: string) =>
    [...wordNet.files].flatMap(([file, words]) =>
      file.startsWith(`${part}.`) && !exclude.includes(file) ? words : []
    );
  const found = mergeCandidates({ noun: words("noun"), adjective: words("adj") });
  if (found.candidates.length === 0) {
    throw new UserError(
      `Cannot mine labels of "${wordNet.path}": no noun and no adjective is left without ` +
        exclude.join(", "),
    );
  }
  return found;
}

/**
 * Words of several kinds as candidates; those that say the same (see `foldWord`) count once, as the
 * kind that is named first.
 *
 * @param words Words by kind.
 * @returns The candidates.
 *
 * @example A word that is a noun and an adjective
 * ```ts
 * import { mergeCandidates } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const { candidates, duplicates } = mergeCandidates({ noun: ["light"], adjective: ["Light"] });
 * assertEquals([candidates, duplicates], [[{ name: "light", kind: "noun" }], 1]);
 * ```
 */
export function mergeCandidates(
  words: Readonly<Partial<Record<LabelKind, readonly string[]>>>,
): Candidates {
  const byWord = new Map<string, Candidate>();
  let count = 0;
  for (const [kind, names = []] of Object.entries(words)) {
    count += names.length;
    for (const name of names) {
      const folded = foldWord(name);
      if (!byWord.has(folded)) byWord.set(folded, { name, kind: kind as LabelKind });
    }
  }
  return { candidates: [...byWord.values()], duplicates: count - byWord.size };
}

/**
 * CSP's conjugated labels: every adjective with a superclass that is drawn for it, as in "rusty
 * structure". Other candidates stay as they are.
 *
 * @param candidates The candidates.
 * @param seed Seed of the draw.
 * @returns The candidates; those of adjectives remain `adjective`.
 *
 * @example A noun and an adjective
 * ```ts
 * import { conjugateCandidates, SUPERCLASSES } from "@oodgpu/oodgpu/methods";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const [rose, red] = conjugateCandidates(
 *   [{ name: "rose", kind: "noun" }, { name: "red", kind: "adjective" }],
 *   0,
 * );
 * assertEquals(rose!.name, "rose");
 * assert(SUPERCLASSES.some((superclass) => red!.name === `red ${superclass}`));
 * ```
 */
export function conjugateCandidates(
  candidates: readonly Candidate[],
  seed: number,
): readonly Candidate[] {
  const rng = new Rng(seed);
  return candidates.map(({ name, kind }) =>
    kind === "adjective"
      ? { name: `${name} ${SUPERCLASSES[rng.integer(SUPERCLASSES.length)]}`, kind }
      : { name, kind }
  );
}

/** A candidate that was left out. */
export interface DroppedCandidate extends Candidate {
  /** The class whose name it says. */
  readonly id: string;
  /** Whether it is nothing but that name, rather than having it as whole words in it. */
  readonly equal: boolean;
}

/**
 * Leaves out candidates that say the name of an in-distribution class: equal to it, or with it as
 * whole words in them. Case and regular English plurals make no difference; of a class that is
 * called `crane, bird` each name counts.
 *
 * @param candidates The candidates.
 * @param ids The classes.
 * @returns What is left, and what is not.
 *
 * @example A crane is no negative label where cranes are known
 * ```ts
 * import { dropIdNames } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const words = ["cranes", "paper crane", "cranefly", "Bird"];
 * const candidates = words.map((name) => ({ name, kind: "noun" }) as const);
 * const { kept, dropped } = dropIdNames(candidates, ["crane, bird"]);
 * assertEquals(kept.map(({ name }) => name), ["cranefly"]);
 * assertEquals(dropped.map(({ equal }) => equal), [true, false, true]);
 * ```
 */
export function dropIdNames(
  candidates: readonly Candidate[],
  ids: readonly string[],
): { readonly kept: readonly Candidate[]; readonly dropped: readonly DroppedCandidate[] } {
  const names = new IdNames(ids);
  const kept: Candidate[] = [];
  const dropped: DroppedCandidate[] = [];
  for (const candidate of candidates) {
    const found = names.find(candidate.name);
    if (found === undefined) kept.push(candidate);
    else dropped.push({ ...candidate, ...found });
  }
  return { kept, dropped };
}
