import { failure } from "./_message.ts";

/** Fails unless the text matches. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (expected.test(actual)) return;
  throw failure(`Expected actual: "${actual}" to match: "${expected}"`, msg);
}
