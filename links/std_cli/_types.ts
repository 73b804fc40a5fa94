/** One name or several. */
export type Names<N extends string> = N | readonly N[];

/** How to parse. */
export interface ParseOptions<
  B extends string = string,
  S extends string = string,
  C extends string = string,
  N extends string = string,
  D extends Record<string, unknown> = Record<string, unknown>,
  A extends Aliases = Aliases,
  X extends boolean = boolean,
> {
  /** Whether arguments after `--` are kept apart, under `--`; else they are positional. */
  "--"?: X;
  /** Other names of options. */
  alias?: A;
  /** Options that take no value; `true` for all that are written `--name`. */
  boolean?: boolean | Names<B>;
  /** Values of options that are not given. */
  default?: D;
  /** Whether everything after the first positional argument is positional. */
  stopEarly?: boolean;
  /** Options whose value stays text; `_` keeps positional arguments as text. */
  string?: Names<S>;
  /** Options whose values are collected into an array; of others the last value holds. */
  collect?: Names<C>;
  /** Options for which `--no-NAME` means false. */
  negatable?: Names<N>;
  /** Told of every argument that is not declared; returning false drops it. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Other names by name. */
export type Aliases = Record<string, string | readonly string[]>;

/** The values by the options' names. */
export type Values<
  B extends string,
  S extends string,
  C extends string,
  N extends string,
  D extends Record<string, unknown>,
  A extends Aliases,
> = [B | S | C] extends [never] ? Untyped : Simplify<
  & Record<string, unknown>
  & Aliased<
    & { [K in Exclude<S, C | keyof D | "_">]?: string | (K extends N ? false : never) }
    & { [K in Extract<Exclude<S, C>, keyof D>]: string | D[K] | (K extends N ? false : never) }
    & { [K in Extract<S, C>]: string[] | (K extends keyof D ? D[K] : never) }
    & { [K in Exclude<B, C>]: boolean | (K extends keyof D ? D[K] : never) }
    & { [K in Extract<B, C>]: boolean[] | (K extends keyof D ? D[K] : never) }
    & { [K in Exclude<C, B | S>]: unknown[] }
    & { [K in Exclude<keyof D, B | S | C>]: unknown },
    A
  >
>;

// deno-lint-ignore no-explicit-any -- the real package types undeclared options so
type Untyped = Record<string, any>;

type Simplify<T> = { [K in keyof T]: T[K] };

type Aliased<T, A extends Aliases> = {
  [K in keyof T as K | (K extends keyof A ? OneOf<A[K]> : never)]: T[K];
};

type OneOf<T> = T extends readonly (infer N extends string)[] ? N : Extract<T, string>;

/** The parsed arguments: positional ones under `_`, options under their names. */
export type Args<
  T extends Record<string, unknown> = Untyped,
  X extends boolean = boolean,
> =
  & T
  & {
    /** Positional arguments. */
    _: Array<string | number>;
  }
  & (X extends true ? {
      /** Arguments after `--`. */
      "--": string[];
    }
    : {
      /** Arguments after `--`, when they are kept apart. */
      "--"?: string[];
    });
