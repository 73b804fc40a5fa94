/**
 * Reading and checking the numbers that scores are tuned with.
 *
 * @module
 */

import { UserError } from "../runtime/mod.ts";
import { suggestion } from "./_suggestion.ts";
import type { ParameterSpec, ScoreMethod } from "./score.ts";

/** What names a score and its parameters: enough of a score to check wishes against. */
export type Tunable = Pick<ScoreMethod, "name" | "parameters">;

/**
 * Checks wishes against a score's parameters and fills in the defaults. A parameter whose default
 * follows from the data stays absent.
 *
 * @param method The score.
 * @param wishes Values by parameter name.
 * @returns The values.
 * @throws {UserError} When a name is unknown or a value out of range.
 *
 * @example Defaults
 * ```ts
 * import { findScore, resolveParameters } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(resolveParameters(findScore("gen"), { top: 10 }), { gamma: 0.1, top: 10 });
 * ```
 */
export function resolveParameters(
  method: Tunable,
  wishes: Readonly<Record<string, number>> = {},
): Record<string, number> {
  for (const name of Object.keys(wishes)) requireParameter(method, name);
  const values: Record<string, number> = {};
  for (const spec of method.parameters) {
    const value = wishes[spec.name] ?? spec.default;
    if (value === undefined) continue;
    requireInRange(`${method.name}.${spec.name}`, value, spec);
    values[spec.name] = value;
  }
  return values;
}

function requireParameter(method: Tunable, name: string): ParameterSpec {
  const spec = method.parameters.find((candidate) => candidate.name === name);
  if (spec !== undefined) return spec;
  const names = method.parameters.map((candidate) => candidate.name);
  const has = names.length === 0
    ? `"${method.name}" has no parameters`
    : `"${method.name}" has ${names.join(", ")}`;
  throw new UserError(
    `Cannot set "${method.name}.${name}": ${has}${suggestion(name, names)}`,
  );
}

function requireInRange(name: string, value: number, spec: ParameterSpec): void {
  const { minimum = -Infinity, maximum = Infinity, exclusive = false, integer = false } = spec;
  const inside = Number.isFinite(value) && value <= maximum &&
    (exclusive ? value > minimum : value >= minimum) && (!integer || Number.isInteger(value)) &&
    (spec.choices === undefined || spec.choices[value] !== undefined);
  if (inside) return;
  throw new UserError(`Cannot set "${name}" to ${value}: it must be ${describeRange(spec)}`);
}

/**
 * The values that a parameter may take, in words.
 *
 * @param spec The parameter.
 * @returns For example `a whole number of at least 1`.
 *
 * @example A percentile
 * ```ts
 * import { describeRange, findScore } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(describeRange(findScore("react").parameters[0]!), "a number from 0 to 100");
 * ```
 */
export function describeRange(spec: ParameterSpec): string {
  if (spec.choices !== undefined) return `one of ${spec.choices.join(", ")}`;
  const kind = spec.integer ? "a whole number" : "a number";
  const { minimum, maximum } = spec;
  if (minimum !== undefined && maximum !== undefined) {
    return `${kind} from ${minimum} to ${maximum}`;
  }
  if (minimum !== undefined) {
    return `${kind} ${spec.exclusive ? "above" : "of at least"} ${minimum}`;
  }
  return maximum === undefined ? kind : `${kind} of at most ${maximum}`;
}

/**
 * Parameters as people read them: choices by their names.
 *
 * @param method The score.
 * @param values Values by parameter name.
 * @returns The values, with names in place of the numbers of choices.
 *
 * @example A choice
 * ```ts
 * import { describeParameters, findScore } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const described = describeParameters(findScore("ash"), { variant: 2, percentile: 90 });
 * assertEquals(described, { variant: "s", percentile: 90 });
 * ```
 */
export function describeParameters(
  method: Tunable,
  values: Readonly<Record<string, number>>,
): Record<string, number | string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const choices = method.parameters.find((spec) => spec.name === name)?.choices;
      return [name, choices?.[value] ?? value];
    }),
  );
}

const ASSIGNMENT_REGEXP = /^([\w-]+)\.([\w-]+)=(.*)$/;

/**
 * Reads assignments such as `react.percentile=90`.
 *
 * @param assignments The assignments; a later one wins over an earlier one.
 * @param methods The scores that they may name.
 * @returns Values by score and parameter.
 * @throws {UserError} When one is malformed, names an unknown score or parameter, or is out of
 * range.
 *
 * @example Two wishes
 * ```ts
 * import { parseAssignments, SCORES } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(parseAssignments(["react.percentile=95", "knn.k=10"], SCORES), {
 *   react: { percentile: 95 },
 *   knn: { k: 10 },
 * });
 * ```
 */
export function parseAssignments(
  assignments: readonly string[],
  methods: readonly Tunable[],
): Record<string, Record<string, number>> {
  const values: Record<string, Record<string, number>> = {};
  for (const text of assignments) {
    const [, methodName, name, number] = ASSIGNMENT_REGEXP.exec(text) ?? [];
    if (methodName === undefined || name === undefined || number === undefined) {
      throw new UserError(
        `Cannot read the parameter "${text}": METHOD.NAME=VALUE was expected, such as knn.k=50`,
      );
    }
    const method = methods.find((candidate) => candidate.name === methodName);
    if (method === undefined) {
      const names = methods.map((candidate) => candidate.name);
      throw new UserError(
        `Cannot set "${methodName}.${name}": there is no method "${methodName}"${
          suggestion(methodName, names)
        }; there are ${names.join(", ")}`,
      );
    }
    const spec = requireParameter(method, name);
    const value = valueOf(number.trim(), spec);
    if (Number.isNaN(value)) {
      throw new UserError(
        `Cannot set "${methodName}.${name}" to "${number}": it must be ${describeRange(spec)}`,
      );
    }
    requireInRange(`${methodName}.${name}`, value, spec);
    (values[methodName] ??= {})[name] = value;
  }
  return values;
}

/** The number that a text stands for: that of a choice by its name too. */
function valueOf(text: string, spec: ParameterSpec): number {
  const choice = spec.choices?.indexOf(text.toLowerCase()) ?? -1;
  if (choice >= 0) return choice;
  return text === "" ? NaN : Number(text);
}
