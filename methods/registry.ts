/**
 * The scores that there are. Adding one is one file and one line here.
 *
 * @module
 */

import { UserError } from "../runtime/mod.ts";
import { suggestion } from "./_suggestion.ts";
import { parseAssignments } from "./parameters.ts";
import type { ScoreMethod } from "./score.ts";
import { ash } from "./scores/ash.ts";
import { csp } from "./scores/csp.ts";
import { diceReact } from "./scores/dice_react.ts";
import { dice } from "./scores/dice.ts";
import { energy } from "./scores/energy.ts";
import { featureNorm } from "./scores/feature_norm.ts";
import { gen } from "./scores/gen.ts";
import { gradNorm } from "./scores/grad_norm.ts";
import { knn } from "./scores/knn.ts";
import { lhact } from "./scores/lhact.ts";
import { line } from "./scores/line.ts";
import { mahalanobis } from "./scores/mahalanobis.ts";
import { maxLogit } from "./scores/max_logit.ts";
import { mcm } from "./scores/mcm.ts";
import { msp } from "./scores/msp.ts";
import { negLabel } from "./scores/neg_label.ts";
import { odin } from "./scores/odin.ts";
import { react } from "./scores/react.ts";
import { rmds } from "./scores/rmds.ts";
import { scale } from "./scores/scale.ts";
import { ssd } from "./scores/ssd.ts";
import { vim } from "./scores/vim.ts";
import { SYNOOD } from "./synood/names.ts";
import { TRAINED_NAMES } from "./tagood/names.ts";

/** Every score, in the order of tables. */
export const SCORES: readonly ScoreMethod[] = [
  msp,
  maxLogit,
  energy,
  odin,
  gradNorm,
  react,
  dice,
  diceReact,
  ash,
  scale,
  line,
  lhact,
  gen,
  knn,
  mahalanobis,
  rmds,
  ssd,
  vim,
  featureNorm,
  mcm,
  negLabel,
  csp,
];

/**
 * A score by its name.
 *
 * @param name Its short name; case and the choice of - or _ do not matter.
 * @returns The score.
 * @throws {UserError} When there is none; the message names the nearest and all of them.
 *
 * @example By name
 * ```ts
 * import { findScore } from "@oodgpu/oodgpu/methods";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(findScore("knn").title, "KNN");
 * assertThrows(() => findScore("enrgy"), Error, 'did you mean "energy"');
 * ```
 */
export function findScore(name: string): ScoreMethod {
  const wanted = name.trim().toLowerCase().replaceAll("-", "_");
  const found = SCORES.find((method) => method.name === wanted);
  if (found !== undefined) return found;
  if (TRAINED_NAMES.includes(wanted)) {
    throw new UserError(
      `Cannot fit the method "${name}" to features: its projection model is trained, by ood tagood ` +
        "train",
    );
  }
  if (wanted === SYNOOD) {
    throw new UserError(
      `Cannot fit the method "${name}" to features: it is trained, and ood synood fit makes a ` +
        "detector of what was trained",
    );
  }
  const names = SCORES.map((method) => method.name);
  throw new UserError(
    `Cannot find the method "${name}"${suggestion(wanted, names)}; there are ${names.join(", ")}`,
  );
}

/**
 * The scores of a list such as `msp,energy,knn`, or all of them.
 *
 * @param list Names between commas, or `all`.
 * @returns The scores in the order of the list, each once.
 * @throws {UserError} When a name is unknown or the list is empty.
 *
 * @example Two
 * ```ts
 * import { findScores } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(findScores("msp, vim").map((method) => method.name), ["msp", "vim"]);
 * ```
 */
export function findScores(list: string): ScoreMethod[] {
  if (list.trim().toLowerCase() === "all") return [...SCORES];
  const names = list.split(",").map((name) => name.trim()).filter((name) => name !== "");
  if (names.length === 0) {
    throw new UserError(
      `Cannot find methods in "${list}": names between commas or "all" were expected; there are ${
        SCORES.map((method) => method.name).join(", ")
      }`,
    );
  }
  return [...new Set(names.map(findScore))];
}

/**
 * Reads assignments such as `react.percentile=90` to parameters of the scores that there are.
 *
 * @param assignments The assignments; a later one wins over an earlier one.
 * @returns Values by score and parameter.
 * @throws {UserError} When one is malformed, names an unknown score or parameter, or is out of
 * range.
 *
 * @example Two wishes
 * ```ts
 * import { parseParameters } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseParameters(["react.percentile=95", "knn.k=10"]), {
 *   react: { percentile: 95 },
 *   knn: { k: 10 },
 * });
 * ```
 */
export function parseParameters(
  assignments: readonly string[],
): Record<string, Record<string, number>> {
  return parseAssignments(assignments, SCORES);
}
