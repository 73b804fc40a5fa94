/**
 * What a mistyped name most likely means, as a part of an error's sentence.
 *
 * @module
 */

import { nearestName } from "../runtime/mod.ts";

/** "; did you mean "x"" for the candidate that a word most likely means, or nothing. */
export function suggestion(word: string, candidates: readonly string[]): string {
  const best = nearestName(word, candidates);
  return best === undefined ? "" : `; did you mean "${best}"`;
}
