import { difference, failure } from "./_message.ts";

/** Fails unless both are the same by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  throw failure(
    "Values are not strictly equal",
    msg,
    difference(actual, expected),
  );
}
