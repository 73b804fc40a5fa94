/**
 * Things by name, as a record or as a map.
 *
 * @module
 */

/** Things by name. A `Map` keeps the order of names that look like numbers. */
export type Named<T> = Readonly<Record<string, T>> | ReadonlyMap<string, T>;

/** The entries of a record or a map. */
export function entriesOf<T>(named: Named<T>): [string, T][] {
  return named instanceof Map ? [...named] : Object.entries(named);
}
