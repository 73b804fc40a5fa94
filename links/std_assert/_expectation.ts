import { failure } from "./_message.ts";
import { assertIsError } from "./is_error.ts";

/** A class of errors. */
export type ErrorConstructor<E extends Error> =
  // deno-lint-ignore no-explicit-any -- any class, whatever its constructor takes
  abstract new (...args: any[]) => E;

/** What assertThrows() and assertRejects() were told to expect. */
export interface Expectation<E extends Error> {
  /** The error's class. */
  readonly ErrorClass: ErrorConstructor<E> | undefined;
  /** What its message contains. */
  readonly msgIncludes: string | undefined;
  /** The caller's own words. */
  readonly msg: string | undefined;
}

/** Sorts out the two ways of calling: (fn, message) and (fn, class, text, message). */
export function expectation<E extends Error>(
  classOrMsg: ErrorConstructor<E> | string | undefined,
  includesOrMsg: string | undefined,
  msg: string | undefined,
): Expectation<E> {
  if (typeof classOrMsg === "string") {
    return { ErrorClass: undefined, msgIncludes: undefined, msg: classOrMsg };
  }
  return { ErrorClass: classOrMsg, msgIncludes: includesOrMsg, msg };
}

/** Fails unless what was thrown is as expected. */
export function checkThrown<E extends Error>(
  thrown: unknown,
  verb: "thrown" | "rejected",
  expected: Expectation<E>,
): void {
  const { ErrorClass, msgIncludes, msg } = expected;
  if (ErrorClass === undefined) return;
  if (!(thrown instanceof Error)) {
    throw failure(`A non-Error object was ${verb}`, msg);
  }
  assertIsError(thrown, ErrorClass, msgIncludes, msg);
}
