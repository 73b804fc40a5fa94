/**
 * `NAME=VALUE` arguments.
 *
 * @module
 */

import { UsageError } from "./_arguments.ts";

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
