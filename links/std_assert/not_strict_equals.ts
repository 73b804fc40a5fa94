import { failure, show } from "./_message.ts";

/** Fails when both are the same by `Object.is`. */
export function assertNotStrictEquals<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (!Object.is(actual, expected)) return;
  throw failure(
    `Expected "actual" to not be strictly equal to: ${show(expected)}`,
    msg,
  );
}
