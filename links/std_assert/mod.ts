/**
 * Stands in for `jsr:@std/assert` where JSR cannot be reached: the part that this project uses,
 * with the same names and meanings, over `node:util`.
 *
 * @module
 */

import { inspect, isDeepStrictEqual } from "node:util";

/** What every assertion throws. */
export class AssertionError extends Error {
  /** The class's name, as shown by consoles. */
  override name: string = "AssertionError";
}

// deno-lint-ignore no-explicit-any -- the real package types constructors so
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

function show(value: unknown): string {
  return inspect(value, { depth: 6, breakLength: 100, maxArrayLength: 50 });
}

function failure(what: string, message: string | undefined): AssertionError {
  return new AssertionError(message === undefined ? what : `${what}: ${message}`);
}

/** Fails unless the expression is truthy. */
export function assert(expression: unknown, message = ""): asserts expression {
  if (!expression) throw new AssertionError(message);
}

/** Fails unless the expression is falsy. */
export function assertFalse(expression: unknown, message = ""): void {
  if (expression) throw new AssertionError(message);
}

/** Fails always. */
export function fail(message?: string): never {
  throw failure("Failed assertion", message);
}

/** Fails unless both are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  if (isDeepStrictEqual(normalise(actual), normalise(expected))) return;
  throw failure(
    `Values are not equal\nactual:   ${show(actual)}\nexpected: ${show(expected)}`,
    message,
  );
}

/** The real package takes a member that is undefined for one that is absent, and -0 for 0. */
function normalise(value: unknown): unknown {
  if (Object.is(value, -0)) return 0;
  if (Array.isArray(value)) return value.map(normalise);
  if (value === null || typeof value !== "object") return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([, v]) => v !== undefined).map(([k, v]) => [k, normalise(v)]),
  );
}

/** Fails when both are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  if (!isDeepStrictEqual(normalise(actual), normalise(expected))) return;
  throw failure(`Expected actual ${show(actual)} not to be ${show(expected)}`, message);
}

/** Fails unless both are the same by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  message?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  throw failure(
    `Values are not strictly equal\nactual:   ${show(actual)}\nexpected: ${show(expected)}`,
    message,
  );
}

/** Fails when both are the same by `Object.is`. */
export function assertNotStrictEquals<T>(actual: T, expected: T, message?: string): void {
  if (Object.is(actual, expected)) {
    throw failure(`Expected "actual" to not be strictly equal to ${show(expected)}`, message);
  }
}

/** Fails unless both are within the tolerance, by default 1e-7 of the expected value. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  message?: string,
): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  if (Math.abs(expected - actual) <= allowed) return;
  throw failure(
    `Expected actual ${actual} to be close to ${expected} (tolerance ${allowed})`,
    message,
  );
}

/** Fails when the value is null or undefined. */
export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    throw failure(`Expected actual ${show(actual)} to not be null or undefined`, message);
  }
}

/** Fails unless the value was made by the class. */
export function assertInstanceOf<T extends abstract new (...args: never[]) => unknown>(
  actual: unknown,
  expectedType: T,
  message = "",
): asserts actual is InstanceType<T> {
  if (actual instanceof expectedType) return;
  throw failure(
    `Expected object ${show(actual)} to be an instance of "${expectedType.name}"`,
    message,
  );
}

/** Fails unless the text matches. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  if (expected.test(actual)) return;
  throw failure(`Expected actual ${show(actual)} to match ${expected}`, message);
}

/** Fails when the text matches. */
export function assertNotMatch(actual: string, expected: RegExp, message?: string): void {
  if (!expected.test(actual)) return;
  throw failure(`Expected actual ${show(actual)} to not match ${expected}`, message);
}

/** Fails unless the text contains the other. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  if (actual.includes(expected)) return;
  throw failure(`Expected actual ${show(actual)} to contain ${show(expected)}`, message);
}

/** Fails unless every expected value is among the actual ones. */
export function assertArrayIncludes<T>(
  actual: ArrayLike<T>,
  expected: ArrayLike<T>,
  message?: string,
): void {
  const has = (wanted: T) => Array.from(actual).some((value) => isDeepStrictEqual(value, wanted));
  const missing = Array.from(expected).filter((wanted) => !has(wanted));
  if (missing.length > 0) throw failure(`Missing: ${show(missing)} in ${show(actual)}`, message);
}

/** Fails unless every member that is expected is there and equal, at any depth. */
export function assertObjectMatch(
  actual: Record<PropertyKey, unknown>,
  expected: Record<PropertyKey, unknown>,
  message?: string,
): void {
  if (contains(actual, expected)) return;
  throw failure(`Expected ${show(actual)} to contain ${show(expected)}`, message);
}

function contains(actual: unknown, expected: unknown): boolean {
  if (expected === null || typeof expected !== "object") return isDeepStrictEqual(actual, expected);
  if (actual === null || typeof actual !== "object") return false;
  if (expected instanceof RegExp || expected instanceof Date) {
    return isDeepStrictEqual(actual, expected);
  }
  return Reflect.ownKeys(expected).every((key) =>
    contains(
      (actual as Record<PropertyKey, unknown>)[key],
      (expected as Record<PropertyKey, unknown>)[key],
    )
  );
}

/** Fails unless actual > expected. */
export function assertGreater<T>(actual: T, expected: T, message?: string): void {
  if (!(actual > expected)) throw failure(`Expect ${show(actual)} > ${show(expected)}`, message);
}

/** Fails unless actual >= expected. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, message?: string): void {
  if (!(actual >= expected)) throw failure(`Expect ${show(actual)} >= ${show(expected)}`, message);
}

/** Fails unless actual < expected. */
export function assertLess<T>(actual: T, expected: T, message?: string): void {
  if (!(actual < expected)) throw failure(`Expect ${show(actual)} < ${show(expected)}`, message);
}

/** Fails unless actual <= expected. */
export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void {
  if (!(actual <= expected)) throw failure(`Expect ${show(actual)} <= ${show(expected)}`, message);
}

/** Fails unless the error is of the class and its message contains the text. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  // deno-lint-ignore no-explicit-any -- the real package types constructors so
  ErrorClass?: abstract new (...args: any[]) => E,
  msgMatches?: string | RegExp,
  message?: string,
): asserts error is E {
  if (!(error instanceof Error)) {
    throw failure(`Expected "error" to be an Error object, it is ${show(error)}`, message);
  }
  if (ErrorClass !== undefined && !(error instanceof ErrorClass)) {
    throw failure(
      `Expected error to be instance of "${ErrorClass.name}", but was "${error.constructor.name}": ${error.message}`,
      message,
    );
  }
  if (msgMatches === undefined) return;
  const fits = typeof msgMatches === "string"
    ? error.message.includes(msgMatches)
    : msgMatches.test(error.message);
  if (!fits) {
    throw failure(
      `Expected error message to include ${show(msgMatches)}, but got ${show(error.message)}`,
      message,
    );
  }
}

/** Fails unless the function throws. */
export function assertThrows(fn: () => unknown, message?: string): unknown;
/** Fails unless the function throws an error of the class whose message contains the text. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  message?: string,
): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  classOrMessage?: ErrorClass<E> | string,
  msgIncludes?: string,
  message?: string,
): unknown {
  try {
    fn();
  } catch (error) {
    return checked(error, { classOrMessage, msgIncludes, message });
  }
  throw failure(
    "Expected function to throw",
    typeof classOrMessage === "string" ? classOrMessage : message,
  );
}

/** Fails unless the promise rejects. */
export function assertRejects(fn: () => PromiseLike<unknown>, message?: string): Promise<unknown>;
/** Fails unless the promise rejects with an error of the class whose message contains the text. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  message?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  classOrMessage?: ErrorClass<E> | string,
  msgIncludes?: string,
  message?: string,
): Promise<unknown> {
  const own = typeof classOrMessage === "string" ? classOrMessage : message;
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch {
    throw failure("Function throws when expected to reject", own);
  }
  try {
    await promise;
  } catch (error) {
    return checked(error, { classOrMessage, msgIncludes, message });
  }
  throw failure("Expected function to reject", own);
}

function checked<E extends Error>(
  error: unknown,
  wanted: {
    classOrMessage: ErrorClass<E> | string | undefined;
    msgIncludes: string | undefined;
    message: string | undefined;
  },
): unknown {
  if (typeof wanted.classOrMessage === "function") {
    assertIsError(error, wanted.classOrMessage, wanted.msgIncludes, wanted.message);
  }
  return error;
}
