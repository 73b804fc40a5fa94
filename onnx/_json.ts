/**
 * JSON files that people and other tools write: reading them, and a sentence for every value that
 * is not what it should be.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { nearestName } from "../runtime/nearest.ts";

/** What is being read: the file and the key within it. */
export interface Where {
  /** What errors call the file. */
  readonly name: string;
  /** The path of keys; empty for the whole file. */
  readonly at: string;
}

/** A key below a place. */
export function at(where: Where, key: string): Where {
  return { name: where.name, at: where.at === "" ? key : `${where.at}.${key}` };
}

/** The error of a value that is not what was expected. */
export function refuse(where: Where, why: string): UserError {
  const thing = where.at === "" ? "it" : `"${where.at}"`;
  return new UserError(`Cannot use "${where.name}": ${thing} ${why}`);
}

/** An object; anything else is refused. */
export function asRecord(value: unknown, where: Where): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw refuse(where, `is ${kindOf(value)} and an object was expected`);
}

/** A text that is not empty. */
export function asString(value: unknown, where: Where): string {
  if (typeof value === "string" && value !== "") return value;
  throw refuse(where, `is ${kindOf(value)} and a text was expected`);
}

/** A list of texts, one at least. */
export function asStrings(value: unknown, where: Where, what: string): readonly string[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw refuse(where, `is ${kindOf(value)} and a list of ${what} was expected`);
  }
  return value.map((item, index) => asString(item, at(where, String(index))));
}

/** A number above 0; a whole one where that is wanted. */
export function asPositive(
  value: unknown,
  where: Where,
  options: { readonly whole?: boolean } = {},
): number {
  const { whole = false } = options;
  const fits = typeof value === "number" && value > 0 && Number.isFinite(value) &&
    (!whole || Number.isSafeInteger(value));
  if (fits) return value;
  throw refuse(
    where,
    `is ${kindOf(value)} and a ${whole ? "whole number from 1" : "number above 0"} was expected`,
  );
}

/** A value in words. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (value === "") return "an empty text";
  if (typeof value === "string") return `"${value}"`;
  return typeof value === "object" ? "an object" : String(value);
}

/** Refuses keys that nobody reads. */
export function checkKeys(
  record: Record<string, unknown>,
  where: Where,
  known: readonly string[],
): void {
  for (const key of Object.keys(record)) {
    if (known.includes(key)) continue;
    const close = nearestName(key, known);
    throw refuse(
      where,
      `has the unknown key "${key}"; ${
        close === undefined
          ? `known keys are ${known.map((item) => `"${item}"`).join(", ")}`
          : `did you mean "${close}"`
      }`,
    );
  }
}

/** The value of a JSON file; undefined when there is no such file. */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw new UserError(`Cannot read "${path}": ${(error as Error).message}`, { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`Cannot read "${path}": it is not JSON (${(error as Error).message})`);
  }
}
