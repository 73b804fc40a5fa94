import { failure } from "./_message.ts";

/** Fails when the text matches. */
export function assertNotMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (!expected.test(actual)) return;
  throw failure(
    `Expected actual: "${actual}" to not match: "${expected}"`,
    msg,
  );
}
