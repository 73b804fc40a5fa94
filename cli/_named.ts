/**
 * `NAME=VALUE` arguments, and parameters of scores.
 *
 * @module
 */

import { parseParameters, type ScoreMethod, SCORES } from "../methods/mod.ts";
import { asUsage, UsageError } from "./_arguments.ts";

/** The names of all scores, for help texts. */
export const SCORE_NAMES: string = SCORES.map(({ name }) => name).join(", ");

/** The names of the scores whose fits prefer validation data, for help texts. */
export const VALIDATED_NAMES: string = SCORES
  .filter(({ usesValidation }) => usesValidation)
  .map(({ name }) => name)
  .join(", ");

/** A `NAME=VALUE` argument. */
export interface Named {
  /** What stands before the first `=`. */
  readonly name: string;
  /** What stands after it. */
  readonly value: string;
}

/**
 * Splits `NAME=VALUE` arguments.
 *
 * @param option The option, for messages.
 * @param pairs The arguments.
 * @returns Names and values; names are unique.
 * @throws {UsageError} When one has no name or no value, or a name occurs twice.
 */
export function parseNamed(option: string, pairs: readonly string[]): Named[] {
  const seen = new Set<string>();
  return pairs.map((pair) => {
    const at = pair.indexOf("=");
    const [name, value] = [pair.slice(0, Math.max(0, at)), pair.slice(at + 1)];
    if (at < 1 || value === "") {
      throw new UsageError(`The option --${option} must be NAME=VALUE: it is "${pair}"`);
    }
    if (seen.has(name)) throw new UsageError(`The option --${option} names "${name}" twice`);
    seen.add(name);
    return { name, value };
  });
}

/**
 * The values of `--param METHOD.NAME=VALUE`.
 *
 * @param pairs The arguments.
 * @param methods The scores that the command runs.
 * @returns Values by method, then parameter.
 * @throws {UsageError} When one is malformed, out of range, or of a score that does not run.
 */
export function parametersOf(
  pairs: readonly string[],
  methods: readonly ScoreMethod[],
): Readonly<Record<string, Readonly<Record<string, number>>>> {
  const parameters = asUsage(() => parseParameters(pairs));
  const names = methods.map(({ name }) => name);
  const stray = Object.keys(parameters).find((method) => !names.includes(method));
  if (stray !== undefined) {
    throw new UsageError(
      `The option --param sets a parameter of "${stray}", which is not asked for, only ${
        names.join(", ")
      }`,
    );
  }
  return parameters;
}
