import { stripVTControlCharacters } from "node:util";
import { failure } from "./_message.ts";

/** Fails unless the value is an error of the class whose message contains the text. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  // deno-lint-ignore no-explicit-any -- any class, whatever its constructor takes
  ErrorClass?: abstract new (...args: any[]) => E,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) {
    throw failure('Expected "error" to be an Error object', msg);
  }
  if (ErrorClass !== undefined && !(error instanceof ErrorClass)) {
    const name = error.constructor.name;
    throw failure(
      `Expected error to be instance of "${ErrorClass.name}", but was "${name}"`,
      msg,
      error.message,
    );
  }
  if (
    !msgMatches || fits(stripVTControlCharacters(error.message), msgMatches)
  ) return;
  const wanted = msgMatches instanceof RegExp ? String(msgMatches) : JSON.stringify(msgMatches);
  throw failure(
    `Expected error message to include ${wanted}, but got ${JSON.stringify(error.message)}`,
    msg,
  );
}

function fits(message: string, wanted: string | RegExp): boolean {
  return wanted instanceof RegExp
    ? wanted.test(message)
    : message.includes(stripVTControlCharacters(wanted));
}
