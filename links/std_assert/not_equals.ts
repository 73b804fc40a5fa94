import { failure, show } from "./_message.ts";
import { equal } from "./equal.ts";

/** Fails when both are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (!equal(actual, expected)) return;
  throw failure(
    `Expected actual: ${show(actual)} not to be: ${show(expected)}`,
    msg,
  );
}
