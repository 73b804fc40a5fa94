/**
 * What the commands that compare sets have in common: whose rules, intervals, and where results go.
 *
 * @module
 */

import { type Convention, CONVENTIONS, findConvention } from "../eval/mod.ts";
import { type Arguments, type OptionSpec, UsageError } from "./_arguments.ts";
import { parseNamed } from "./_named.ts";

/** Whose rules for the figures. */
export const CONVENTION_OPTION: OptionSpec = {
  name: "convention",
  value: "NAME",
  help: "whose rules for FPR95 and AUPR",
  choices: Object.keys(CONVENTIONS),
  default: "default",
};

/** Replicates of the bootstrap. */
export const BOOTSTRAP_OPTION: OptionSpec = {
  name: "bootstrap",
  value: "N",
  help: "replicates of the intervals; 0 for none",
  default: "500",
};

/** Where results go. */
export const RESULT_OPTIONS: readonly OptionSpec[] = [
  { name: "json", value: "FILE", help: "write the results; - prints them instead of the table" },
  { name: "html", value: "FILE", help: "write a report that needs no network" },
];

/** How sets are compared. */
export interface ComparisonSettings {
  /** Whose rules. */
  readonly convention: Convention;
  /** Bootstrap replicates. */
  readonly replicates: number;
  /** Seed of the bootstrap. */
  readonly seed: number;
}

/** Reads `--convention`, `--bootstrap` and `--seed`. */
export function comparisonOf(args: Arguments): ComparisonSettings {
  return {
    convention: findConvention(args.need("convention")).name,
    replicates: args.number("bootstrap", { minimum: 0, maximum: 100_000, integer: true })!,
    seed: args.number("seed", { minimum: 0, maximum: 2 ** 32 - 1, integer: true })!,
  };
}

/** The name of the in-distribution set beside those of `--ood`. */
export const ID_SET = "id";

/**
 * The files of `--id` and `--ood NAME=FILE` by name, the in-distribution set first.
 *
 * @throws {UsageError} When an OOD set is called as the in-distribution set is.
 */
export function testSetPaths(args: Arguments): Map<string, string> {
  const named = parseNamed("ood", args.all("ood"));
  if (named.some(({ name }) => name === ID_SET)) {
    throw new UsageError(
      `The option --ood must not name a set "${ID_SET}": that is the in-distribution set`,
    );
  }
  return new Map([
    [ID_SET, args.need("id")],
    ...named.map(({ name, value }) => [name, value] as const),
  ]);
}
