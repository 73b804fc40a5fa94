import { checkThrown, expectation } from "./_expectation.ts";
import { failure } from "./_message.ts";

/** Fails unless the promise rejects; gives what it rejects with. */
export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/** Fails unless the promise rejects with an error of the class whose message contains the text. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  // deno-lint-ignore no-explicit-any -- any class, whatever its constructor takes
  ErrorClass: abstract new (...args: any[]) => E,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  // deno-lint-ignore no-explicit-any -- any class, whatever its constructor takes
  classOrMsg?: (abstract new (...args: any[]) => E) | string,
  includesOrMsg?: string,
  msg?: string,
): Promise<unknown> {
  const expected = expectation(classOrMsg, includesOrMsg, msg);
  const promise = start(fn);
  if (promise === undefined) {
    throw failure("Function throws when expected to reject", expected.msg);
  }
  try {
    await promise;
  } catch (error) {
    checkThrown(error, "rejected", expected);
    return error;
  }
  throw failure("Expected function to reject", expected.msg);
}

/** The promise, or nothing when the function threw or gave something else. */
function start(
  fn: () => PromiseLike<unknown>,
): PromiseLike<unknown> | undefined {
  try {
    const promise = fn();
    return typeof promise?.then === "function" ? promise : undefined;
  } catch {
    return undefined;
  }
}
