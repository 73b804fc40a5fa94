import { difference, failure } from "./_message.ts";
import { equal } from "./equal.ts";

/** Fails unless both are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  throw failure("Values are not equal", msg, difference(actual, expected));
}
