/**
 * Normalisations: of batches, of groups of channels, of maps, of rows; as nodes of their own and as
 * exporters take them apart.
 *
 * @module
 */

import {
  batchNorm as normalize,
  groupNorm,
  layerNorm,
  repeatRows,
  reshape,
  type Tape,
  toChannelsLast,
  Variable,
} from "../../nn/mod.ts";
import { toNumbers } from "../tensor.ts";
import type { OnnxNode } from "../node.ts";
import { shaped } from "./_arrange.ts";
import type { Compiler, Operator, Run, Step } from "./_compiler.ts";
import { endsWith, product } from "./_layout.ts";
import { relayout } from "./_layout_operators.ts";
import { movesOf } from "./_norms.ts";
import { reduceMean } from "./_window_operators.ts";

/** Normalisations, and nodes with which those that were taken apart begin. */
export const NORM_OPERATORS: Readonly<Record<string, Operator>> = {
  BatchNormalization: batchNormalization,
  GroupNormalization: groupNormalization,
  InstanceNormalization: instanceNormalization,
  LayerNormalization: layerNormalization,
  Reshape: (node, compiler) => groupNormInParts(node, compiler) ?? relayout(node, compiler),
  ReduceMean: (node, compiler) => layerNormInParts(node, compiler) ?? reduceMean(node, compiler),
};

function batchNormalization(node: OnnxNode, compiler: Compiler): Step {
  const [given, scale, offset, mean, variance] = node.inputs as [string, ...string[]];
  compiler.requireOneOutput(node);
  if (node.int("spatial", 1) === 0) throw compiler.refuse(node, "spatial=0 is not supported");
  const channels = compiler.channels(given, node);
  const x = compiler.standard(given, node);
  const use = { node, layout: "same", shape: [channels] } as const;
  const weight = compiler.weights.parameter(scale!, use);
  const bias = compiler.weights.parameter(offset!, use);
  const runningMean = compiler.weights.statistic(mean!, use);
  const runningVariance = compiler.weights.statistic(variance!, use);
  const { output, activation } = compiler.withRelu(node.outputs[0]!);
  const epsilon = node.float("epsilon", 1e-5);
  const { momentum, moves } = movesOf(compiler.options);
  return {
    inputs: [x],
    output,
    run: (run) =>
      normalize(run.tape, run.value(x), {
        weight: run.parameter(weight),
        bias: run.parameter(bias),
        runningMean: run.statistic(runningMean),
        runningVariance: run.statistic(runningVariance),
      }, { epsilon, momentum, activation, mode: run.training && moves ? "train" : "frozen" }),
  };
}

/** A vector over channels that a run looks up. */
type Vector = (run: Run) => Variable;

/** A normalisation of groups of channels. */
interface Grouped {
  readonly x: string;
  readonly groups: number;
  readonly epsilon: number;
  readonly weight: Vector;
  readonly bias: Vector;
  /** The value that comes out when all nodes that belong to it are taken in. */
  readonly output: string;
}

/** Maps or lists whose second axis lies last in memory, behind the batch and the places. */
function channelsLast(given: string, node: OnnxNode, compiler: Compiler): string {
  const layout = compiler.layout(given, node);
  const [batch, channels, ...places] = layout.axes;
  if (places.length === 0 || batch!.length !== 1 || !batch![0]!.batch) {
    throw compiler.refuse(
      node,
      `"${given}" is [${compiler.shape(given, node).join(", ")}] and [N, C, …] was expected`,
    );
  }
  const { memory } = layout;
  // The order of places does not matter.
  if (memory[0] === batch![0] && endsWith(memory, channels!)) return given;
  return compiler.arranged(given, [...batch!, ...places.flat(), ...channels!], node);
}

function channelsOf(given: string, node: OnnxNode, compiler: Compiler): number {
  const channels = compiler.layout(given, node).length(1);
  if (channels !== undefined && !Number.isNaN(channels)) return channels;
  throw compiler.refuse(node, `the number of channels of "${given}" is not known`);
}

function groupedStep(node: OnnxNode, compiler: Compiler, how: Grouped): Step {
  const { groups, epsilon, weight, bias } = how;
  const channels = channelsOf(how.x, node, compiler);
  if (channels % groups !== 0) {
    throw compiler.refuse(node, `${groups} groups do not divide ${channels} channels`);
  }
  const x = channelsLast(how.x, node, compiler);
  compiler.sameLayout(how.output, x, node);
  const { output, activation } = compiler.withSilu(how.output);
  const { each } = compiler.layout(x, node);
  return {
    inputs: [x],
    output,
    run: (run) => {
      const given = run.value(x);
      const n = given.value.size / each;
      const maps = given.shape.length === 4
        ? given
        : reshape(run.tape, given, [n, each / channels, 1, channels]);
      const parameters = { weight: weight(run), bias: bias(run) };
      const y = groupNorm(run.tape, maps, parameters, { groups, epsilon, activation });
      return shaped(run.tape, y, given.shape);
    },
  };
}

function parameterVector(name: string): Vector {
  return (run) => run.parameter(name);
}

function filledVector(compiler: Compiler, channels: number, value: number): Vector {
  const name = compiler.weights.constant(new Float32Array(channels).fill(value));
  return (run) => new Variable(run.constant(name));
}

function instanceNormalization(node: OnnxNode, compiler: Compiler): Step {
  const [x, scale, offset] = node.inputs as [string, string, string];
  const channels = channelsOf(x, node, compiler);
  const use = { node, layout: "same", shape: [channels] } as const;
  return groupedStep(node, compiler, {
    x,
    groups: channels,
    epsilon: node.float("epsilon", 1e-5),
    weight: parameterVector(compiler.weights.parameter(scale, use)),
    bias: parameterVector(compiler.weights.parameter(offset, use)),
    output: node.outputs[0]!,
  });
}

function groupNormalization(node: OnnxNode, compiler: Compiler): Step {
  const [x, scale, offset] = node.inputs as [string, string, string];
  const channels = channelsOf(x, node, compiler);
  const groups = node.int("num_groups", 1);
  // Operator set 18 has a scale for each group, 21 one for each channel.
  const vector = (name: string, input: number): Vector => {
    const count = compiler.constant(node, input)?.data.length ?? 0;
    const shape = [count === groups ? groups : channels];
    const parameter = compiler.weights.parameter(name, { node, layout: "same", shape });
    if (count !== groups || groups === channels) return parameterVector(parameter);
    return (run) => repeated(run.tape, run.parameter(parameter), channels / groups);
  };
  return groupedStep(node, compiler, {
    x,
    groups,
    epsilon: node.float("epsilon", 1e-5),
    weight: vector(scale, 1),
    bias: vector(offset, 2),
    output: node.outputs[0]!,
  });
}

/** A vector with each element so often. */
function repeated(tape: Tape, x: Variable, times: number): Variable {
  const count = x.value.size;
  if (times === 1) return x;
  const rows = repeatRows(tape, reshape(tape, x, [1, count]), { times });
  const columns = toChannelsLast(tape, reshape(tape, rows, [1, times, count, 1]));
  return reshape(tape, columns, [count * times]);
}

/**
 * The normalisation of groups that begins with a Reshape to [N, G, rest]: an InstanceNormalization
 * that neither scales nor shifts, a Reshape back, and a factor and an offset for each channel.
 */
function groupNormInParts(node: OnnxNode, compiler: Compiler): Step | undefined {
  const [x] = node.inputs as [string];
  const middle = compiler.onlyReader(node.outputs[0]!);
  if (middle?.opType !== "InstanceNormalization") return undefined;
  const back = compiler.onlyReader(middle.outputs[0]!);
  if (back?.opType !== "Reshape") return undefined;
  const [whole, split] = [compiler.shape(x, node), compiler.shape(node.outputs[0]!, node)];
  const [, channels] = whole;
  const [, groups] = split;
  const returned = compiler.view.shape(back.outputs[0]);
  const fits = whole.length > 2 && split.length > 2 && typeof groups === "number" &&
    typeof channels === "number" && channels % groups === 0 &&
    compiler.scalar(middle.inputs[1]!) === 1 && compiler.scalar(middle.inputs[2]!) === 0 &&
    returned?.length === whole.length &&
    returned.every((length, i) => i === 0 || length === whole[i]);
  if (!fits) return undefined;
  let output = compiler.take(back, node.outputs[0]!);
  compiler.take(middle, node.outputs[0]!);
  const vector = (opType: string, fallback: number): Vector => {
    const reader = compiler.onlyReader(output);
    const name = reader?.inputs[reader.inputs[0] === output ? 1 : 0];
    const constant = compiler.view.constant(name);
    const isVector = constant?.data.length === channels &&
      constant.shape[constant.shape.length - whole.length + 1] === channels;
    if (reader?.opType !== opType || !isVector) return filledVector(compiler, channels, fallback);
    output = compiler.take(reader, output);
    const use = { node: reader, layout: "same", shape: [channels] } as const;
    return parameterVector(compiler.weights.parameter(name!, use));
  };
  const weight = vector("Mul", 1);
  const bias = vector("Add", 0);
  const epsilon = middle.float("epsilon", 1e-5);
  return groupedStep(node, compiler, { x, groups, epsilon, weight, bias, output });
}

function layerNormalization(node: OnnxNode, compiler: Compiler): Step {
  const [x, scale, offset] = node.inputs as [string, string, string?];
  compiler.requireOneOutput(node);
  const { rank } = compiler.layout(x, node);
  const axis = node.int("axis", -1);
  return rowsStep(node, compiler, {
    x,
    from: axis < 0 ? axis + rank : axis,
    epsilon: node.float("epsilon", 1e-5),
    scale: { name: scale, node },
    offset: offset ? { name: offset, node } : undefined,
    output: node.outputs[0]!,
  });
}

/** A normalisation of the last axes. */
interface Rows {
  readonly x: string;
  /** The first of the axes. */
  readonly from: number;
  readonly epsilon: number;
  readonly scale: { readonly name: string; readonly node: OnnxNode } | undefined;
  readonly offset: { readonly name: string; readonly node: OnnxNode } | undefined;
  readonly output: string;
}

function rowsStep(node: OnnxNode, compiler: Compiler, how: Rows): Step {
  const { from, epsilon, output } = how;
  const given = compiler.layout(how.x, node);
  const factors = given.axes.slice(from).flat();
  const columns = product(factors);
  if (factors.some(({ batch }) => batch) || Number.isNaN(columns)) {
    throw compiler.refuse(node, `the axes of "${how.x}" from ${from} on have no fixed length`);
  }
  const x = endsWith(given.memory, factors)
    ? how.x
    : compiler.arranged(how.x, given.axes.flat(), node);
  compiler.sameLayout(output, x, node);
  const vector = (part: Rows["scale"], fallback: number): Vector => {
    if (part === undefined) return filledVector(compiler, columns, fallback);
    const use = { node: part.node, layout: "same", shape: [columns] } as const;
    return parameterVector(compiler.weights.parameter(part.name, use));
  };
  const [weight, bias] = [vector(how.scale, 1), vector(how.offset, 0)];
  return {
    inputs: [x],
    output,
    run: (run) => {
      const value = run.value(x);
      const rows = shaped(run.tape, value, [value.value.size / columns, columns]);
      const parameters = { weight: weight(run), bias: bias(run) };
      return shaped(run.tape, layerNorm(run.tape, rows, parameters, { epsilon }), value.shape);
    },
  };
}

/** The normalisation of rows that begins with their mean, as exporters write it below set 17. */
function layerNormInParts(node: OnnxNode, compiler: Compiler): Step | undefined {
  const [x] = node.inputs as [string];
  const { rank } = compiler.layout(x, node);
  const isLast = (mean: OnnxNode) => {
    const constant = compiler.view.constant(mean.inputs[1]);
    const axes = mean.ints("axes") ?? (constant === undefined ? [] : toNumbers(constant));
    return mean.opType === "ReduceMean" && mean.int("keepdims", 1) === 1 && axes.length === 1 &&
      (axes[0] === -1 || axes[0] === rank - 1);
  };
  const readBy = (value: string, opType: string) => {
    const reader = compiler.onlyReader(value);
    return reader?.opType === opType ? reader : undefined;
  };
  if (!isLast(node)) return undefined;
  const centred = readBy(node.outputs[0]!, "Sub");
  if (centred === undefined || centred.inputs[0] !== x) return undefined;
  const [difference] = centred.outputs as [string];
  const quotient = compiler.readers(difference).find(({ opType }) => opType === "Div");
  const square = compiler.readers(difference).find((reader) => reader !== quotient);
  const isSquare = square?.opType === "Pow"
    ? compiler.otherNumber(square, difference) === 2
    : square?.opType === "Mul" && square.inputs.every((input) => input === difference);
  if (!isSquare || quotient?.inputs[0] !== difference) return undefined;
  const variance = readBy(square!.outputs[0]!, "ReduceMean");
  const sum = variance && isLast(variance) ? readBy(variance.outputs[0]!, "Add") : undefined;
  const epsilon = sum && compiler.otherNumber(sum, variance!.outputs[0]!);
  const root = sum && readBy(sum.outputs[0]!, "Sqrt");
  const last = root && compiler.onlyReader(root.outputs[0]!);
  if (epsilon === undefined || last !== quotient || last.inputs[1] !== root!.outputs[0]) {
    return undefined;
  }
  if (compiler.isKept(difference)) return undefined;
  for (const taken of [centred, square!, variance!, sum!, root!]) compiler.take(taken, x);
  let output = compiler.take(quotient, x);
  const columns = compiler.layout(x, node).length(rank - 1);
  const part = (opType: string) => {
    const reader = readBy(output, opType);
    const name = reader?.inputs[reader.inputs[0] === output ? 1 : 0];
    const constant = compiler.view.constant(name);
    const isVector = constant?.data.length === columns && constant?.shape.at(-1) === columns;
    if (reader === undefined || !isVector) return undefined;
    output = compiler.take(reader, output);
    return { name: name!, node: reader };
  };
  const scale = part("Mul");
  const offset = part("Add");
  return rowsStep(node, compiler, { x, from: rank - 1, epsilon, scale, offset, output });
}
