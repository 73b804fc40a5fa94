/**
 * Numbers as the report writes them.
 *
 * @module
 */

/** A fraction in percent, without the sign. */
export function percent(fraction: number, digits = 1): string {
  return (100 * fraction).toFixed(digits);
}

/** Both ends of an interval in percent. */
export function span([lower, upper]: readonly [number, number], digits = 1): string {
  return `${percent(lower, digits)} – ${percent(upper, digits)}`;
}

/** A count with its thousands apart. */
export function integer(value: number): string {
  return value.toLocaleString("en-US");
}

/** A count with its noun. */
export function plural(count: number, noun: string): string {
  return `${integer(count)} ${noun}${count === 1 ? "" : "s"}`;
}
