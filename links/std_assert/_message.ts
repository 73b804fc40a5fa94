import { AssertionError as NodeAssertionError } from "node:assert";
import { inspect } from "node:util";
import { AssertionError } from "./assertion_error.ts";

/** Shows a value in a message. */
export function show(value: unknown): string {
  return inspect(value, {
    depth: 8,
    breakLength: 100,
    maxArrayLength: 50,
    sorted: true,
  });
}

/** An error that says what failed, with the caller's own words after it. */
export function failure(
  what: string,
  msg: string | undefined,
  detail = "",
): AssertionError {
  return new AssertionError(
    `${what}${msg ? `: ${msg}` : "."}${detail && `\n${detail}`}`,
  );
}

/** The lines in which two values differ. */
export function difference(actual: unknown, expected: unknown): string {
  const { message } = new NodeAssertionError({
    actual,
    expected,
    operator: "deepStrictEqual",
  });
  return message.slice(message.indexOf("\n") + 1);
}
