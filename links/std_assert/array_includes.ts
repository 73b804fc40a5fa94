import { failure, show } from "./_message.ts";
import { equal } from "./equal.ts";

/** An array or typed array, but not a string. */
export type ArrayLikeArg<T> = ArrayLike<T> & object;

/** Fails unless every expected value is, by deep equality, among the actual ones. */
export function assertArrayIncludes<T>(
  actual: ArrayLikeArg<T>,
  expected: ArrayLikeArg<T>,
  msg?: string,
): void {
  const items = Array.from(actual);
  const missing = Array.from(expected).filter((wanted) =>
    !items.some((item) => equal(wanted, item))
  );
  if (missing.length === 0) return;
  throw failure(
    `Expected actual: "${show(actual)}" to include: "${show(expected)}"`,
    msg,
    `missing: ${show(missing)}`,
  );
}
