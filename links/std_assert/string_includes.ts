import { failure } from "./_message.ts";

/** Fails unless the text contains the other. */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  if (actual.includes(expected)) return;
  throw failure(`Expected actual: "${actual}" to contain: "${expected}"`, msg);
}
