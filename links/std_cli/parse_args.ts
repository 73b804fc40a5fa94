/**
 * `parseArgs` with the options that this project uses, over the npm package minimist, from which
 * the real one descends.
 *
 * @module
 */

import minimist from "minimist";

/** How to parse. */
export interface ParseOptions {
  /** Names that take no value. */
  readonly boolean?: string | readonly string[];
  /** Names whose value stays text; `_` keeps positional arguments as text. */
  readonly string?: string | readonly string[];
  /** Names that collect every value into an array. */
  readonly collect?: string | readonly string[];
  /** Flags for which `--no-NAME` means false. */
  readonly negatable?: string | readonly string[];
  /** Values of options that are not given. */
  readonly default?: Readonly<Record<string, unknown>>;
  /** Other names of options. */
  readonly alias?: Readonly<Record<string, string | readonly string[]>>;
  /** Whether everything after the first positional argument is positional. */
  readonly stopEarly?: boolean;
  /** Whether arguments after `--` are kept apart. */
  readonly "--"?: boolean;
  /** Told of every argument that is not declared; returning false drops it. */
  readonly unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** The parsed arguments: positional ones under `_`, options under their names. */
export interface Args {
  /** Positional arguments. */
  // deno-lint-ignore no-explicit-any -- the real package types it so
  _: any[];
  /** Options. */
  // deno-lint-ignore no-explicit-any -- the real package types it so
  [name: string]: any;
}

function list(names: string | readonly string[] | undefined): string[] {
  return names === undefined ? [] : typeof names === "string" ? [names] : [...names];
}

/**
 * Parses command-line arguments.
 *
 * @param args The arguments.
 * @param options What is declared.
 * @returns Positional arguments and options.
 */
export function parseArgs(args: string[], options: ParseOptions = {}): Args {
  const collect = list(options.collect);
  const booleans = list(options.boolean);
  const negatable = list(options.negatable);
  const { unknown } = options;
  const parsed = minimist(withoutUndeclaredNegations(args, { booleans, negatable }), {
    string: list(options.string),
    boolean: booleans,
    ...(options.default === undefined ? {} : { default: { ...options.default } }),
    ...(options.alias === undefined ? {} : { alias: mutable(options.alias) }),
    stopEarly: options.stopEarly ?? false,
    "--": options["--"] ?? false,
    ...(unknown === undefined ? {} : { unknown: (arg: string) => tell(unknown, arg) }),
  });
  const result: Args = { _: [] };
  for (const [name, value] of Object.entries(parsed)) {
    result[name] = name === "_" || name === "--" ? value : single(value, collect.includes(name));
  }
  for (const name of collect) result[name] ??= [];
  return result;
}

/** minimist turns every `--no-x` into x = false; the real package only does so for `negatable`. */
function withoutUndeclaredNegations(
  args: readonly string[],
  declared: { booleans: readonly string[]; negatable: readonly string[] },
): string[] {
  return args.map((arg) => {
    const name = /^--no-(.+)$/.exec(arg)?.[1];
    const means = name === undefined || declared.negatable.includes(name);
    return means ? arg : `${arg}=true`;
  });
}

function tell(unknown: NonNullable<ParseOptions["unknown"]>, arg: string): boolean {
  const [, key, value] = /^--?([^=]+)(?:=(.*))?$/.exec(arg) ?? [];
  return unknown(arg, key, value) !== false;
}

function mutable(alias: NonNullable<ParseOptions["alias"]>): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(alias).map((
      [name, other],
    ) => [name, typeof other === "string" ? other : [...other]]),
  );
}

/** minimist makes an array of every repeated option; the last value holds unless collected. */
function single(value: unknown, collected: boolean): unknown {
  if (collected) return Array.isArray(value) ? value : [value];
  return Array.isArray(value) ? value.at(-1) : value;
}
