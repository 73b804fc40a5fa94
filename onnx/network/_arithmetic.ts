/**
 * Sums, differences, products and quotients: with constants, with values of one shape, and with one
 * number per element of the batch and channel.
 *
 * @module
 */

import {
  add,
  addChannels,
  channelAffine,
  mul,
  reshape,
  type Tape,
  Variable,
} from "../../nn/mod.ts";
import type { OnnxNode } from "../node.ts";
import { toFloat32 } from "../tensor.ts";
import { byColumns, shaped } from "./_arrange.ts";
import type { Compiler, Run, Step } from "./_compiler.ts";
import { endsWith, type Layout, product as productOf } from "./_layout.ts";
import { type Spread, spreadOut } from "./_spread.ts";

/** Factors or offsets of an affine map: a parameter, a vector that stays, or one number. */
export interface AffinePart {
  /** Name of a parameter. */
  readonly parameter?: string;
  /** Name of a constant. */
  readonly constant?: string;
  /** The number. */
  readonly number?: number;
}

/** x weight + bias, over the last axis in memory or over several. */
export function affine(
  node: OnnxNode,
  compiler: Compiler,
  how: {
    readonly x: string;
    readonly weight: AffinePart;
    readonly bias: AffinePart;
    /** How long the vectors are; as the last axis in memory by default. */
    readonly count?: number | undefined;
    readonly relu?: boolean;
  },
): Step {
  const { x } = how;
  const [result] = node.outputs as [string];
  compiler.sameLayout(result, x, node);
  const none = { output: result, activation: "none" } as const;
  const { output, activation } = how.relu ? compiler.withRelu(result) : none;
  compiler.noteRaw(node, x);
  const columns = how.count ?? lastLength(compiler.layout(x, node));
  const line = lineOf(compiler, { ...how, columns, activation });
  return { inputs: [x], output, run: (run) => line(run, run.value(x)) };
}

/** A factor and an offset for all elements of a value that lies as the first input of a node. */
export function scaled(
  node: OnnxNode,
  compiler: Compiler,
  parts: { readonly weight: AffinePart; readonly bias: AffinePart },
): Change {
  const columns = lastLength(compiler.layout(node.inputs[0]!, node));
  return lineOf(compiler, { ...parts, columns, activation: "none" });
}

function lastLength({ memory }: Layout): number {
  const last = memory.at(-1);
  return last === undefined || last.batch ? 1 : last.size!;
}

/** What multiplies and shifts a value, over so many columns of its memory. */
function lineOf(
  compiler: Compiler,
  how: {
    readonly columns: number;
    readonly weight: AffinePart;
    readonly bias: AffinePart;
    readonly activation: "none" | "relu";
  },
): Change {
  const { columns, activation } = how;
  const filled = (value: number) =>
    compiler.weights.constant(new Float32Array(columns).fill(value));
  const [zeros, halves] = [filled(0), filled(0.5)];
  const named = (part: AffinePart): AffinePart =>
    part.number === undefined ? part : { constant: filled(part.number) };
  const [weight, bias] = [named(how.weight), named(how.bias)];
  const find = (run: Run, { parameter, constant }: AffinePart) =>
    parameter === undefined ? new Variable(run.constant(constant!)) : run.parameter(parameter);
  return (run, x) =>
    byColumns(run.tape, x, {
      columns,
      run: (rows) =>
        channelAffine(run.tape, rows, {
          weight: find(run, weight),
          bias: find(run, bias),
          zeros: run.constant(zeros),
          halves: run.constant(halves),
        }, { activation }),
    });
}

/** A node of two inputs, with the constant one second. */
interface Operands {
  readonly x: string;
  readonly other: string;
  readonly swapped: boolean;
  /** What the constant is to the value; undefined when both are values. */
  readonly spread: Exclude<Spread, { kind: "other" }> | undefined;
}

function operands(node: OnnxNode, compiler: Compiler): Operands {
  const [a, b] = node.inputs as [string, string];
  const still = (value: string) => compiler.view.constant(value) !== undefined;
  const swapped = still(a) || !still(b) && compiler.scalar(a) !== undefined;
  const [x, other] = swapped ? [b, a] : [a, b];
  const constant = compiler.view.constant(other);
  const spread = compiler.spread(constant, x, node);
  if (spread.kind !== "other") return { x, other, swapped, spread };
  const keeps = sameShape(compiler.shape(node.outputs[0]!, node), compiler.shape(x, node));
  if (compiler.scalar(other) !== undefined && keeps) {
    return { x, other, swapped, spread: { kind: "scalar" } };
  }
  if (constant === undefined) return { x, other, swapped, spread: undefined };
  throw compiler.refuse(
    node,
    `the constant "${other}" is [${constant.shape.join(", ")}] beside [${
      compiler.shape(x, node).join(", ")
    }], and only what is the same for the whole batch is supported`,
  );
}

/** A constant as a factor or an offset: learnt where it is a vector over channels, behind the image. */
function part(
  node: OnnxNode,
  compiler: Compiler,
  { x, other, spread }: Operands,
  map?: (value: number) => number,
): AffinePart {
  if (spread!.kind === "scalar") {
    const value = compiler.scalar(other)!;
    return { number: map === undefined ? value : map(value) };
  }
  if (
    spread!.kind === "channels" && map === undefined && !compiler.isRaw(x) &&
    !isMask(other, compiler)
  ) {
    const use = { node, layout: "same", shape: [spread!.count] } as const;
    return { parameter: compiler.weights.parameter(other, use) };
  }
  const constant = compiler.view.constant(other)!;
  const data = spread!.kind === "spread"
    ? spreadOut(constant, compiler.layout(x, node), spread!.factors)
    : toFloat32(constant);
  return { constant: compiler.weights.constant(map === undefined ? data : data.map(map)) };
}

/** What is beyond all weights masks scores, and does not learn. */
const MASKING = 1e9;

function isMask(value: string, compiler: Compiler): boolean {
  return compiler.view.constant(value)!.data.some((item: number | bigint) =>
    !(Math.abs(Number(item)) < MASKING)
  );
}

function countOf(spread: Operands["spread"]): number | undefined {
  return spread === undefined || spread.kind === "scalar" ? undefined : spread.count;
}

/** Whether a scalar changes nothing: 0 in a sum, 1 in a product. */
function isNothing(compiler: Compiler, { other, spread }: Operands, neutral: number): boolean {
  return spread?.kind === "scalar" && compiler.scalar(other) === neutral;
}

function unchanged(node: OnnxNode, compiler: Compiler, x: string): Step {
  compiler.noteRaw(node, x);
  compiler.sameLayout(node.outputs[0]!, x, node);
  return { inputs: [x], output: node.outputs[0]!, view: true, run: ({ value }) => value(x) };
}

/** Add. */
export function sum(node: OnnxNode, compiler: Compiler): Step {
  const given = operands(node, compiler);
  const { x, spread } = given;
  if (isNothing(compiler, given, 0)) return unchanged(node, compiler, x);
  if (spread !== undefined) {
    const bias = part(node, compiler, given);
    const count = countOf(spread);
    return affine(node, compiler, { x, weight: { number: 1 }, bias, count, relu: true });
  }
  return valuesSum(node, compiler);
}

/** Sub. */
export function difference(node: OnnxNode, compiler: Compiler): Step {
  const given = operands(node, compiler);
  const { x, spread, swapped } = given;
  if (spread === undefined) return valuesDifference(node, compiler);
  if (!swapped && isNothing(compiler, given, 0)) return unchanged(node, compiler, x);
  const bias = part(node, compiler, given, (value) => swapped ? value : -value);
  const count = countOf(spread);
  return affine(node, compiler, { x, weight: { number: swapped ? -1 : 1 }, bias, count });
}

/** Mul. */
export function product(node: OnnxNode, compiler: Compiler): Step {
  const given = operands(node, compiler);
  const { x, spread } = given;
  if (isNothing(compiler, given, 1)) return unchanged(node, compiler, x);
  if (spread !== undefined) {
    const weight = part(node, compiler, given);
    const count = countOf(spread);
    return affine(node, compiler, { x, weight, bias: { number: 0 }, count, relu: true });
  }
  const { a, b, columns, output } = pair(node, compiler);
  return {
    inputs: [a, b],
    output,
    run: ({ tape, value }) => {
      if (columns === undefined) return mul(tape, value(a), value(b));
      const { map, gate } = spreadPair(tape, { map: value(a), gate: value(b), columns });
      return shaped(tape, mul(tape, map, gate), value(a).shape);
    },
  };
}

/** Div. */
export function quotient(node: OnnxNode, compiler: Compiler): Step {
  const given = operands(node, compiler);
  const { x, spread, swapped } = given;
  if (spread === undefined || swapped) {
    throw compiler.refuse(node, "only the division by a constant is supported");
  }
  if (isNothing(compiler, given, 1)) return unchanged(node, compiler, x);
  const weight = part(node, compiler, given, (value) => 1 / value);
  return affine(node, compiler, { x, weight, bias: { number: 0 }, count: countOf(spread) });
}

/** Changes a value while the network runs. */
type Change = (run: Run, value: Variable) => Variable;

/** Two values that lie alike, or one with one number for each element of the batch and channel. */
interface Pair {
  readonly a: string;
  readonly b: string;
  /** Whether the node names them the other way round. */
  readonly swapped: boolean;
  /** Columns of the second value when it is spread over the first. */
  readonly columns: number | undefined;
  readonly output: string;
}

function pair(node: OnnxNode, compiler: Compiler): Pair {
  const values = node.inputs as readonly [string, string];
  const [a, b] = values;
  const [output] = node.outputs as [string];
  if (sameShape(compiler.shape(a, node), compiler.shape(b, node))) {
    const alike = compiler.layout(a, node).order === compiler.layout(b, node).order;
    const [first, second] = alike ? values : values.map((value) => compiler.standard(value, node));
    compiler.sameLayout(output, first!, node);
    return { a: first!, b: second!, swapped: false, columns: undefined, output };
  }
  for (const [map, gate] of [[a, b], [b, a]] as const) {
    const columns = gateColumns(compiler, { map, gate, node });
    if (columns === undefined) continue;
    compiler.setLayout(output, compiler.layout(map, node));
    return { a: map, b: gate, swapped: map !== a, columns, output };
  }
  const shapes = values.map((value) => `"${value}" is [${compiler.shape(value, node).join(", ")}]`);
  throw compiler.refuse(
    node,
    `${shapes.join(" and ")}, and one shape, or one number for each element of the batch and ` +
      `channel beside a map, was expected`,
  );
}

/** Whether two shapes are one; batches of different names count as one. */
function sameShape(
  a: readonly (number | string)[],
  b: readonly (number | string)[],
): boolean {
  return a.length === b.length && a.every((length, i) => i === 0 || length === b[i]);
}

/** The columns of a value that has one number for each element of the batch and channel of another. */
function gateColumns(
  compiler: Compiler,
  { map, gate, node }: { readonly map: string; readonly gate: string; readonly node: OnnxNode },
): number | undefined {
  const [wide, narrow] = [compiler.layout(map, node), compiler.layout(gate, node)];
  const lead = wide.rank - narrow.rank;
  if (lead !== 0) return undefined;
  const kept = narrow.axes.flatMap((factors, axis) => factors.length === 0 ? [] : [axis]);
  if (kept[0] !== 0 || !wide.memory[0]?.batch || !narrow.memory[0]?.batch) return undefined;
  const axes = kept.slice(1);
  if (axes.some((axis) => wide.length(axis) !== narrow.length(axis))) return undefined;
  const factors = axes.flatMap((axis) => wide.axes[axis]!);
  const own = axes.flatMap((axis) => narrow.axes[axis]!);
  const fits = endsWith(wide.memory, factors) && narrow.liesAs([narrow.memory[0], ...own]);
  return fits ? productOf(factors) : undefined;
}

/** A map as [N, places, 1, C], and what is spread over it as [N, 1, 1, C]. */
function spreadPair(
  tape: Tape,
  { map, gate, columns }: {
    readonly map: Variable;
    readonly gate: Variable;
    readonly columns: number;
  },
): { readonly map: Variable; readonly gate: Variable } {
  const n = gate.value.size / columns;
  const isMap = map.shape.length === 4 && map.shape[3] === columns;
  return {
    map: isMap ? map : reshape(tape, map, [n, map.value.size / n / columns, 1, columns]),
    gate: shaped(tape, gate, [n, 1, 1, columns]),
  };
}

/** The sum of two values, of which the second may be changed before. */
function valuesSum(node: OnnxNode, compiler: Compiler, change?: Change): Step {
  const { a, b, swapped, columns, output } = pair(node, compiler);
  const first = (run: Run) => swapped && change ? change(run, run.value(a)) : run.value(a);
  const second = (run: Run) => !swapped && change ? change(run, run.value(b)) : run.value(b);
  if (columns === undefined) {
    const fused = compiler.withRelu(output);
    return {
      inputs: [a, b],
      output: fused.output,
      run: (run) => add(run.tape, first(run), second(run), { activation: fused.activation }),
    };
  }
  return {
    inputs: [a, b],
    output,
    run: (run) => {
      const { tape } = run;
      const { map, gate } = spreadPair(tape, { map: first(run), gate: second(run), columns });
      const v = reshape(tape, gate, [gate.shape[0]!, columns]);
      return shaped(tape, addChannels(tape, map, v), run.value(a).shape);
    },
  };
}

/** The difference of two values: the sum of one and the other's negative. */
function valuesDifference(node: OnnxNode, compiler: Compiler): Step {
  const columns = lastLength(compiler.layout(node.inputs[1]!, node));
  const parts = { weight: { number: -1 }, bias: { number: 0 }, activation: "none" } as const;
  return valuesSum(node, compiler, lineOf(compiler, { columns, ...parts }));
}
