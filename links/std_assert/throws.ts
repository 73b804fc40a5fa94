import { checkThrown, expectation } from "./_expectation.ts";
import { failure } from "./_message.ts";

/** Fails unless the function throws; gives what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Fails unless the function throws an error of the class whose message contains the text. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  // deno-lint-ignore no-explicit-any -- any class, whatever its constructor takes
  ErrorClass: abstract new (...args: any[]) => E,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  // deno-lint-ignore no-explicit-any -- any class, whatever its constructor takes
  classOrMsg?: (abstract new (...args: any[]) => E) | string,
  includesOrMsg?: string,
  msg?: string,
): unknown {
  const expected = expectation(classOrMsg, includesOrMsg, msg);
  try {
    fn();
  } catch (error) {
    checkThrown(error, "thrown", expected);
    return error;
  }
  throw failure("Expected function to throw", expected.msg);
}
