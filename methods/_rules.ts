/**
 * What the numbers of a training's settings must be.
 *
 * @module
 */

import { UserError } from "../runtime/mod.ts";

/** What a number must be. */
export interface Rule {
  /** What messages call it. */
  readonly name: string;
  /** Whether a value will do. */
  readonly fits: (value: number) => boolean;
  /** What will do, in words. */
  readonly expected: string;
}

/** Rules by the settings' names. */
export type Rules<S> = Readonly<Partial<Record<keyof S, Rule>>>;

const whole = (least: number) => (value: number) => Number.isSafeInteger(value) && value >= least;

/** A whole number that is not below another. */
export function wholeFrom(least: number, name: string): Rule {
  return { name, fits: whole(least), expected: `a whole number from ${least}` };
}

/** A finite number above 0. */
export function aboveZero(name: string): Rule {
  return { name, fits: (value) => value > 0 && Number.isFinite(value), expected: "above 0" };
}

/** A finite number from 0 on. */
export function notNegative(name: string): Rule {
  return { name, fits: (value) => value >= 0 && Number.isFinite(value), expected: "0 or more" };
}

/** A share of something of which some must be left. */
export function shareBelowOne(name: string): Rule {
  return { name, fits: (value) => value >= 0 && value < 1, expected: "0 to below 1" };
}

/** A share of something, not none. */
export function shareAboveZero(name: string): Rule {
  return {
    name,
    fits: (value) => value > 0 && value <= 1,
    expected: "above 0 and at most 1",
  };
}

/**
 * Checks the numbers of settings; what is undefined is not looked at.
 *
 * @param settings The settings.
 * @param rules What they must be.
 * @param purpose What cannot be done otherwise, in the infinitive.
 * @throws {UserError} When a number does not fit.
 */
export function requireRules<S extends object>(
  settings: S,
  rules: Rules<S>,
  purpose: string,
): void {
  for (const [key, rule] of Object.entries(rules) as [keyof S, Rule][]) {
    const value = settings[key] as number | undefined;
    if (value === undefined || rule.fits(value)) continue;
    throw new UserError(
      `Cannot ${purpose}: ${rule.name} must be ${rule.expected}: it is ${value}`,
    );
  }
}
