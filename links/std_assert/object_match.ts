import { difference, failure } from "./_message.ts";
import { equal } from "./equal.ts";

/** Fails unless every member that is expected is there and matches, at any depth. */
export function assertObjectMatch(
  // deno-lint-ignore no-explicit-any -- the real package types it so, and interfaces would not fit
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  if (contains(actual, expected, new Map())) return;
  throw failure("Values are not equal", msg, difference(actual, expected));
}

type Keyed = Record<PropertyKey, unknown>;

function contains(
  actual: unknown,
  expected: unknown,
  seen: Map<unknown, unknown>,
): boolean {
  if (!isTree(actual) || !isTree(expected)) return equal(actual, expected);
  if (seen.get(actual) === expected) return true;
  seen.set(actual, expected);
  if (Array.isArray(actual) && Array.isArray(expected)) {
    return expected.length <= actual.length &&
      expected.every((item, at) => contains(actual[at], item, seen));
  }
  if (actual instanceof Map && expected instanceof Map) {
    return [...expected].every(([key, value]) =>
      actual.has(key) && contains(actual.get(key), value, seen)
    );
  }
  if (actual instanceof Set && expected instanceof Set) {
    return expected.isSubsetOf(actual);
  }
  return Reflect.ownKeys(expected).every((key) =>
    Object.hasOwn(actual, key) &&
    contains((actual as Keyed)[key], (expected as Keyed)[key], seen)
  );
}

function isTree(value: unknown): value is object {
  return typeof value === "object" && value !== null &&
    !(value instanceof RegExp) &&
    !(value instanceof Date);
}
