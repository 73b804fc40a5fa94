import { failure } from "./_message.ts";

/** Fails unless the value was made by the class. */
export function assertInstanceOf<
  // deno-lint-ignore no-explicit-any -- any class, whatever its constructor takes
  T extends abstract new (...args: any[]) => any,
>(
  actual: unknown,
  expectedType: T,
  msg = "",
): asserts actual is InstanceType<T> {
  if (actual instanceof expectedType) return;
  throw failure(
    `Expected object to be an instance of "${expectedType.name}" but was "${nameOf(actual)}"`,
    msg,
  );
}

function nameOf(value: unknown): string {
  if (value === null || typeof value !== "object") {
    return value === null ? "null" : typeof value;
  }
  return value.constructor?.name ?? "Object";
}
