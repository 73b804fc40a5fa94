/**
 * Declared options: one list gives the parser, the checks and the help text.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { nearestName, UserError } from "../runtime/mod.ts";

/** One option of a command. */
export interface OptionSpec {
  /** Name without dashes. */
  readonly name: string;
  /** What stands for the value in the help text; absent for a flag. */
  readonly value?: string;
  /** One line of help. */
  readonly help: string;
  /** Whether the command cannot run without it. */
  readonly required?: boolean;
  /** The option that makes this one unnecessary; without either the command cannot run. */
  readonly requiredUnless?: string;
  /** Whether it may be given several times. */
  readonly multiple?: boolean;
  /** Values that it takes. */
  readonly choices?: readonly string[];
  /** What holds when it is not given; shown in the help text. */
  readonly default?: string;
}

/** Bad usage: exit code 2. */
export class UsageError extends UserError {
  /** The class's name, as shown by consoles. */
  override name: string = "UsageError";
}

/**
 * Runs a check of what was typed; what it refuses is bad usage.
 *
 * @throws {UsageError} When the check throws a `UserError`.
 */
export function asUsage<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

/** The parsed arguments of a command. */
export class Arguments {
  /** Arguments that are no options. */
  readonly positionals: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;

  /** @param values What the parser gave. */
  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
    this.positionals = (values["_"] as unknown[]).map(String);
  }

  /** Whether a flag was given. */
  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  /** A value, or nothing when it was not given. */
  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === "string" ? value : undefined;
  }

  /** The value of a required option or one with a default. */
  need(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new UsageError(`The option --${name} is required`);
    return value;
  }

  /** All values of an option that may be given several times. */
  all(name: string): readonly string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.map(String) : [];
  }

  /**
   * A number.
   *
   * @throws {UsageError} When the value is no number within the bounds.
   */
  number(name: string, bounds: NumberBounds = {}): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    return parseNumber(text, { ...bounds, name: `--${name}` });
  }
}

/** What a number must be. */
export interface NumberBounds {
  /** Smallest value. */
  readonly minimum?: number;
  /** Largest value. */
  readonly maximum?: number;
  /** Whether it must be whole. */
  readonly integer?: boolean;
}

function parseNumber(text: string, bounds: NumberBounds & { name: string }): number {
  const value = text.trim() === "" ? NaN : Number(text);
  const { minimum = -Infinity, maximum = Infinity, integer = false } = bounds;
  const fits = Number.isFinite(value) && value >= minimum && value <= maximum &&
    (!integer || Number.isInteger(value));
  if (fits) return value;
  const kind = integer ? "a whole number" : "a number";
  const from = minimum > -Infinity ? ` from ${minimum}` : "";
  const to = maximum < Infinity ? ` to ${maximum}` : "";
  throw new UsageError(`The option ${bounds.name} must be ${kind}${from}${to}: it is "${text}"`);
}

/**
 * Parses the arguments of a command against its options.
 *
 * @param argv Arguments after the command's name.
 * @param options The command's options.
 * @param positionals Names of the positional arguments, all required.
 * @returns The parsed arguments.
 * @throws {UsageError} When an option is unknown, incomplete, missing or not among its choices.
 */
export function parseCommandLine(
  argv: readonly string[],
  options: readonly OptionSpec[],
  positionals: readonly string[],
): Arguments {
  const valued = options.filter((option) => option.value !== undefined);
  const parsed = parseArgs(attachValues(argv, valued), {
    string: ["_", ...valued.map((option) => option.name)],
    boolean: options.filter((option) => option.value === undefined).map((option) => option.name),
    collect: valued.filter((option) => option.multiple).map((option) => option.name),
    default: defaultsOf(valued),
    unknown: (arg: string, key?: string) => {
      if (key !== undefined) throw unknownOption(arg, options);
      return true;
    },
  }) as Record<string, unknown>;
  const result = new Arguments(parsed);
  valued.forEach((option) => requireValue(option, result));
  requirePositionals(result.positionals, positionals);
  return result;
}

/**
 * `--name value` as `--name=value`, so that values may begin with a dash, as `-` and `-1` do. What
 * begins with two dashes is the next option.
 */
function attachValues(argv: readonly string[], valued: readonly OptionSpec[]): string[] {
  const heads = new Set(valued.map((option) => `--${option.name}`));
  const attached: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const [arg, next] = [argv[at]!, argv[at + 1]];
    if (arg === "--") return [...attached, ...argv.slice(at)];
    const takesNext = heads.has(arg) && next?.startsWith("--") === false;
    attached.push(takesNext ? `${arg}=${next}` : arg);
    if (takesNext) at++;
  }
  return attached;
}

function defaultsOf(options: readonly OptionSpec[]): Record<string, string> {
  return Object.fromEntries(
    options.flatMap((option) =>
      option.default === undefined || option.multiple ? [] : [[option.name, option.default]]
    ),
  );
}

function unknownOption(arg: string, options: readonly OptionSpec[]): UsageError {
  const name = arg.replace(/^-+/, "").replace(/=.*$/, "");
  const guess = nearestName(name, options.map((option) => option.name));
  const hint = guess === undefined ? "" : `; did you mean --${guess}`;
  return new UsageError(`Unknown option ${arg.replace(/=.*$/, "")}${hint}`);
}

function requireValue(option: OptionSpec, result: Arguments): void {
  const given = option.multiple ? result.all(option.name) : [result.text(option.name)];
  const values = given.filter((value) => value !== undefined);
  const other = option.requiredUnless;
  const required = option.required || other !== undefined && result.text(other) === undefined;
  if (required && values.length === 0) {
    throw new UsageError(`The option --${option.name} ${option.value} is required`);
  }
  for (const value of values) {
    if (value === "") throw new UsageError(`The option --${option.name} needs a value`);
    if (option.choices !== undefined && !option.choices.includes(value)) {
      throw new UsageError(
        `The option --${option.name} must be one of ${option.choices.join(", ")}: it is "${value}"`,
      );
    }
  }
}

function requirePositionals(given: readonly string[], names: readonly string[]): void {
  if (given.length < names.length) throw new UsageError(`${names[given.length]} is missing`);
  if (given.length > names.length) {
    throw new UsageError(`Unexpected argument "${given[names.length]}"`);
  }
}
