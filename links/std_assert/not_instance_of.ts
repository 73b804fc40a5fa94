import { failure, show } from "./_message.ts";

/** Fails when the value was made by the class. */
export function assertNotInstanceOf<A, T>(
  actual: A,
  // deno-lint-ignore no-explicit-any -- any class, whatever its constructor takes
  unexpectedType: abstract new (...args: any[]) => T,
  msg?: string,
): asserts actual is Exclude<A, T> {
  if (!(actual instanceof unexpectedType)) return;
  throw failure(
    `Expected ${show(actual)} to not be an instance of ${unexpectedType.name}`,
    msg,
  );
}
