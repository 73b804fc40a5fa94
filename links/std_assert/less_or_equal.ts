import { show } from "./_message.ts";
import { AssertionError } from "./assertion_error.ts";

/** Fails unless actual <= expected. */
export function assertLessOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (actual <= expected) return;
  throw new AssertionError(
    msg ?? `Expect ${show(actual)} <= ${show(expected)}`,
  );
}
