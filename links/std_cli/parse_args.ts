import type { Aliases, Args, Names, ParseOptions, Values } from "./_types.ts";

export type { Aliases, Args, Names, ParseOptions, Values } from "./_types.ts";

type Value = string | number | boolean;
type Tree = Record<string, unknown>;

const OPTION_REGEXP = /^-(?<long>-(?<no>no-)?)?(?<key>.+?)(?:=(?<value>.*))?$/s;
const NUMBER_AT_END_REGEXP = /-?\d+(\.\d*)?(e-?\d+)?$/;

/**
 * Parses command-line arguments.
 *
 * @param args The arguments.
 * @param options What is declared.
 * @returns Positional arguments under `_`, options under their names.
 */
export function parseArgs<
  B extends string = never,
  S extends string = never,
  C extends string = never,
  N extends string = never,
  D extends Record<string, unknown> = Record<never, never>,
  const A extends Aliases = Record<never, never>,
  X extends boolean = false,
>(
  args: readonly string[],
  options: ParseOptions<B, S, C, N, D, A, X> = {},
): Args<Values<B, S, C, N, D, A>, X> {
  const parser = new Parser(options as ParseOptions);
  return parser.parse(args) as Args<Values<B, S, C, N, D, A>, X>;
}

class Parser {
  readonly #options: ParseOptions;
  readonly #aliases: Map<string, string[]>;
  readonly #booleans: Set<string>;
  readonly #strings: Set<string>;
  readonly #collected: Set<string>;
  readonly #negatable: Set<string>;
  readonly #positionals: Array<string | number> = [];
  readonly #result: Tree = { _: this.#positionals };

  constructor(options: ParseOptions) {
    this.#options = options;
    this.#aliases = everyAlias(options.alias ?? {});
    this.#booleans = this.#withAliases(typeof options.boolean === "boolean" ? [] : options.boolean);
    this.#strings = this.#withAliases(options.string);
    this.#collected = this.#withAliases(options.collect);
    this.#negatable = this.#withAliases(options.negatable);
  }

  parse(args: readonly string[]): Tree {
    const end = args.indexOf("--");
    const before = end < 0 ? args : args.slice(0, end);
    const after = end < 0 ? [] : args.slice(end + 1);
    for (let at = 0; at < before.length; at++) {
      const option = OPTION_REGEXP.exec(before[at]!)?.groups;
      if (option !== undefined) {
        at += option["long"] === undefined
          ? this.#short(before[at]!, before[at + 1])
          : this.#long({ arg: before[at]!, ...option }, before[at + 1]);
        continue;
      }
      this.#positional(before[at]!);
      if (this.#options.stopEarly) {
        this.#positionals.push(...before.slice(at + 1));
        break;
      }
    }
    this.#fillIn();
    if (this.#options["--"]) this.#result["--"] = after;
    else this.#positionals.push(...after);
    return this.#result;
  }

  /** `--key`, `--key=value`, `--no-key`, `--key value`; gives how many arguments more it took. */
  #long(option: { arg: string; no?: string; key?: string; value?: string }, next?: string): number {
    const { arg, no, value } = option;
    const key = option.key!;
    if (value !== undefined) {
      this.#set(key, this.#booleans.has(key) ? value !== "false" : value, arg);
      return 0;
    }
    if (no !== undefined && this.#negatable.has(key)) {
      this.#set(key, false, arg, { collect: false });
      return 0;
    }
    const name = no === undefined ? key : `no-${key}`;
    const free = this.#options.boolean !== true && !next?.startsWith("-");
    return this.#setWithNext(name, arg, { next, free });
  }

  /** `-k`, `-abc`, `-n5`, `-k=value`, `-k value`; gives how many arguments more it took. */
  #short(arg: string, next?: string): number {
    for (let at = 1; at < arg.length - 1; at++) {
      const letter = arg[at]!;
      const rest = arg.slice(at + 1);
      const value = attached(letter, rest);
      if (value !== undefined) {
        this.#set(letter, value, arg);
        return 0;
      }
      this.#set(letter, rest === "-" ? "-" : this.#strings.has(letter) ? "" : true, arg);
    }
    const last = arg.at(-1)!;
    if (last === "-") return 0;
    return this.#setWithNext(last, arg, { next, free: !/^--?[^-]/.test(next ?? "") });
  }

  /** Sets an option to the next argument where that is its value; gives how many it took. */
  #setWithNext(key: string, arg: string, given: { next: string | undefined; free: boolean }) {
    const { next, free } = given;
    if (next && free && !this.#booleans.has(key)) {
      this.#set(key, next, arg);
      return 1;
    }
    if (next === "true" || next === "false") {
      this.#set(key, next === "true", arg);
      return 1;
    }
    this.#set(key, this.#strings.has(key) ? "" : true, arg);
    return 0;
  }

  #positional(arg: string): void {
    if (this.#options.unknown?.(arg) === false) return;
    this.#positionals.push(this.#strings.has("_") ? arg : asNumber(arg));
  }

  #set(key: string, value: Value, arg: string, { collect = true } = {}): void {
    const { unknown } = this.#options;
    if (!this.#isDeclared(key, arg) && unknown?.(arg, key, value) === false) return;
    const kept = typeof value === "string" && !this.#strings.has(key) ? asNumber(value) : value;
    const collected = collect && this.#collected.has(key);
    for (const name of [key, ...this.#aliases.get(key) ?? []]) {
      put(this.#result, name, { value: kept, collected });
    }
  }

  #isDeclared(key: string, arg: string): boolean {
    return this.#booleans.has(key) || this.#strings.has(key) || this.#aliases.has(key) ||
      this.#collected.has(key) || (this.#options.boolean === true && /^--[^=]+$/.test(arg));
  }

  /** Gives the options that were not there their defaults, `false` or an empty list. */
  #fillIn(): void {
    for (const [key, value] of Object.entries(this.#options.default ?? {})) {
      if (has(this.#result, key)) continue;
      for (const name of [key, ...this.#aliases.get(key) ?? []]) put(this.#result, name, { value });
    }
    for (const key of this.#booleans) {
      if (has(this.#result, key)) continue;
      put(this.#result, key, { value: this.#collected.has(key) ? [] : false });
    }
    for (const key of this.#strings) {
      if (this.#collected.has(key) && !has(this.#result, key)) {
        put(this.#result, key, { value: [] });
      }
    }
  }

  #withAliases(names: Names<string> | undefined): Set<string> {
    const list = names === undefined || names === ""
      ? []
      : typeof names === "string"
      ? [names]
      : names;
    return new Set(list.flatMap((name) => [name, ...this.#aliases.get(name) ?? []]));
  }
}

function everyAlias(aliases: Aliases): Map<string, string[]> {
  const every = new Map<string, string[]>();
  for (const [name, others] of Object.entries(aliases)) {
    const group = [name, ...(typeof others === "string" ? [others] : others)];
    for (const one of group) every.set(one, group.filter((other) => other !== one));
  }
  return every;
}

/** The value that stands behind a letter in the same argument, as in `-n5` and `-o=file`. */
function attached(letter: string, rest: string): string | undefined {
  if (rest === "=") return "";
  if (/[A-Za-z]/.test(letter)) {
    const value = /=(.+)/.exec(rest)?.[1];
    if (value !== undefined) return value;
    if (NUMBER_AT_END_REGEXP.test(rest)) return rest;
  }
  return rest.length > 1 && /\W/.test(rest[0]!) ? rest : undefined;
}

function asNumber(text: string): string | number {
  return /\S/.test(text) && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** A key with dots names a member of a member; those that would reach a prototype are dropped. */
function put(root: Tree, key: string, entry: { value: unknown; collected?: boolean }): void {
  const path = key.split(".");
  if (path.some((name) => name === "__proto__" || name === "constructor")) return;
  const last = path.pop()!;
  let at = root;
  for (const name of path) at = (at[name] ??= {}) as Tree;
  const there = at[last];
  if (!entry.collected) at[last] = entry.value;
  else if (Array.isArray(there)) there.push(entry.value);
  else at[last] = there ? [there, entry.value] : [entry.value];
}

function has(root: Tree, key: string): boolean {
  let at: unknown = root;
  for (const name of key.split(".")) {
    if (at === null || typeof at !== "object" || !Object.hasOwn(at, name)) return false;
    at = (at as Tree)[name];
  }
  return true;
}
