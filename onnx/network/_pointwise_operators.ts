/**
 * Operators on single elements and channels: activations, sums, products, normalisation, dropout.
 *
 * @module
 */

import {
  activation as activate,
  add,
  batchNorm as normalize,
  channelAffine,
  dropout as drop,
  mul,
  Variable,
} from "../../nn/mod.ts";
import type { OnnxNode } from "../node.ts";
import { toFloat32 } from "../tensor.ts";
import { type Compiler, type Operator, perChannel, type Run, type Step } from "./_compiler.ts";
import { movesOf } from "./_norms.ts";

/** Activations, sums, products, normalisation, dropout. */
export const POINTWISE_OPERATORS: Readonly<Record<string, Operator>> = {
  Relu: (node) => simple(node, ({ tape }, x) => activate(tape, x, { kind: "relu" })),
  Sigmoid: (node) => simple(node, ({ tape }, x) => activate(tape, x, { kind: "sigmoid" })),
  Clip: clip,
  HardSigmoid: (node, compiler) => hardSigmoid(node, compiler, { swish: false }),
  HardSwish: (node, compiler) => hardSigmoid(node, compiler, { swish: true }),
  Identity: passed,
  Cast: passed,
  Dropout: dropout,
  BatchNormalization: batchNormalization,
  Add: (node, compiler) => sum(node, compiler),
  Sub: difference,
  Mul: product,
  Div: quotient,
};

/** A step from the first input to the first output. */
function simple(node: OnnxNode, run: (run: Run, x: Variable) => Variable): Step {
  const x = node.inputs[0]!;
  return { inputs: [x], output: node.outputs[0]!, run: (state) => run(state, state.value(x)) };
}

function clip(node: OnnxNode, compiler: Compiler): Step {
  const LARGEST = 3.4028234e38;
  const bound = (attribute: "min" | "max", input: number, fallback: number) => {
    const value = compiler.number(node, { attribute, input, fallback });
    return Math.min(LARGEST, Math.max(-LARGEST, value));
  };
  const min = bound("min", 1, -LARGEST);
  const max = bound("max", 2, LARGEST);
  return simple(node, ({ tape }, x) => activate(tape, x, { kind: "clip", min, max }));
}

/** clip(alpha x + beta, 0, 1), and for HardSwish, whose alpha is 1/6 and beta 1/2, x times that. */
function hardSigmoid(node: OnnxNode, compiler: Compiler, { swish }: { swish: boolean }): Step {
  const x = node.inputs[0]!;
  const constant = (value: number) => ({
    constant: compiler.weights.constant(
      new Float32Array(compiler.channels(x, node)).fill(Math.fround(value)),
    ),
  });
  const weight = constant(swish ? 1 / 6 : node.float("alpha", 0.2));
  const bias = constant(swish ? 1 / 2 : node.float("beta", 0.5));
  const line = affine(node, compiler, { x, weight, bias });
  return {
    ...line,
    run: (run) => {
      const gate = activate(run.tape, line.run(run), { kind: "clip", min: 0, max: 1 });
      return swish ? mul(run.tape, run.value(x), gate) : gate;
    },
  };
}

/** What changes no number here: everything is computed in float32. */
function passed(node: OnnxNode, compiler: Compiler): Step {
  compiler.noteRaw(node, node.inputs[0]!);
  return { ...simple(node, (_, x) => x), view: true };
}

function dropout(node: OnnxNode, compiler: Compiler): Step {
  compiler.requireOneOutput(node);
  const rate = compiler.number(node, { attribute: "ratio", input: 1, fallback: 0.5 });
  if (rate === 0 || compiler.options.dropout === false) return passed(node, compiler);
  const step = simple(node, ({ tape, training, seed }, x) => {
    if (!training) return x;
    if (seed === undefined) {
      throw new TypeError(
        `Cannot train through Dropout "${node.label}" without a seed: pass one, or import the ` +
          `network with dropout: false`,
      );
    }
    return drop(tape, x, { rate, seed, stream: node.index });
  });
  return { ...step, view: true };
}

function batchNormalization(node: OnnxNode, compiler: Compiler): Step {
  const [x, scale, offset, mean, variance] = node.inputs as [string, ...string[]];
  compiler.requireOneOutput(node);
  if (node.int("spatial", 1) === 0) throw compiler.refuse(node, "spatial=0 is not supported");
  const channels = compiler.channels(x, node);
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

/** The inputs of a node of two, with the constant one second. */
function operands(node: OnnxNode, compiler: Compiler): {
  readonly x: string;
  readonly other: string;
  readonly swapped: boolean;
  readonly kind: "values" | "scalar" | "channels";
} {
  const [a, b] = node.inputs as [string, string];
  const swapped = compiler.view.constant(a) !== undefined;
  const [x, other] = swapped ? [b, a] : [a, b];
  const constant = compiler.view.constant(other);
  if (constant === undefined) return { x, other, swapped, kind: "values" };
  const channels = compiler.channels(x, node);
  const { kind } = perChannel(constant, { rank: compiler.shape(x, node).length, channels });
  if (kind !== "other") return { x, other, swapped, kind };
  throw compiler.refuse(
    node,
    `the constant "${other}" is [${constant.shape.join(", ")}], and only one number, or one for ` +
      `each channel, is supported`,
  );
}

/** Factors and offsets of an affine map of channels: a parameter, or a vector that stays. */
interface AffinePart {
  readonly parameter?: string;
  readonly constant?: string;
}

function affine(
  node: OnnxNode,
  compiler: Compiler,
  how: {
    readonly x: string;
    readonly weight: AffinePart;
    readonly bias: AffinePart;
    readonly relu?: boolean;
  },
): Step {
  const { x, weight, bias } = how;
  const { output, activation } = how.relu
    ? compiler.withRelu(node.outputs[0]!)
    : { output: node.outputs[0]!, activation: "none" as const };
  compiler.noteRaw(node, x);
  const channels = compiler.channels(x, node);
  const zeros = compiler.weights.constant(new Float32Array(channels));
  const halves = compiler.weights.constant(new Float32Array(channels).fill(0.5));
  const find = (run: Run, { parameter, constant }: AffinePart) =>
    parameter === undefined ? new Variable(run.constant(constant!)) : run.parameter(parameter);
  return {
    inputs: [x],
    output,
    run: (run) =>
      channelAffine(run.tape, run.value(x), {
        weight: find(run, weight),
        bias: find(run, bias),
        zeros: run.constant(zeros),
        halves: run.constant(halves),
      }, { activation }),
  };
}

/** A constant as a vector over the channels: learnt where it is one already, behind the image. */
function vector(
  node: OnnxNode,
  compiler: Compiler,
  how: {
    readonly x: string;
    readonly constant: string;
    readonly kind: "scalar" | "channels";
    readonly map?: (value: number) => number;
  },
): AffinePart {
  const { x, constant, kind, map } = how;
  const channels = compiler.channels(x, node);
  if (kind === "channels" && map === undefined && !compiler.isRaw(x)) {
    const use = { node, layout: "same", shape: [channels] } as const;
    return { parameter: compiler.weights.parameter(constant, use) };
  }
  const data = toFloat32(compiler.view.constant(constant)!);
  const values = Float32Array.from({ length: channels }, (_, i) => {
    const value = data[kind === "scalar" ? 0 : i]!;
    return map === undefined ? value : map(value);
  });
  return { constant: compiler.weights.constant(values) };
}

function same(node: OnnxNode, compiler: Compiler, value: number): AffinePart {
  const channels = compiler.channels(
    node.inputs.find((input) => compiler.view.constant(input) === undefined)!,
    node,
  );
  return { constant: compiler.weights.constant(new Float32Array(channels).fill(value)) };
}

function sum(node: OnnxNode, compiler: Compiler): Step {
  const { x, other, kind } = operands(node, compiler);
  if (kind !== "values") {
    const bias = vector(node, compiler, { x, constant: other, kind });
    return affine(node, compiler, { x, weight: same(node, compiler, 1), bias, relu: true });
  }
  requireSameShape(node, compiler);
  const { output, activation } = compiler.withRelu(node.outputs[0]!);
  return {
    inputs: [x, other],
    output,
    run: (run) => add(run.tape, run.value(x), run.value(other), { activation }),
  };
}

function difference(node: OnnxNode, compiler: Compiler): Step {
  const { x, other, kind, swapped } = operands(node, compiler);
  if (kind === "values") {
    throw compiler.refuse(node, "only the difference to a constant is supported");
  }
  if (swapped) {
    const bias = vector(node, compiler, { x, constant: other, kind, map: (value) => value });
    return affine(node, compiler, { x, weight: same(node, compiler, -1), bias });
  }
  const bias = vector(node, compiler, { x, constant: other, kind, map: (value) => -value });
  return affine(node, compiler, { x, weight: same(node, compiler, 1), bias });
}

function product(node: OnnxNode, compiler: Compiler): Step {
  const { x, other, kind } = operands(node, compiler);
  if (kind !== "values") {
    const weight = vector(node, compiler, { x, constant: other, kind });
    return affine(node, compiler, { x, weight, bias: same(node, compiler, 0), relu: true });
  }
  const [a, b] = gateSecond(node, compiler);
  return {
    inputs: [a, b],
    output: node.outputs[0]!,
    run: (run) => mul(run.tape, run.value(a), run.value(b)),
  };
}

function quotient(node: OnnxNode, compiler: Compiler): Step {
  const { x, other, kind, swapped } = operands(node, compiler);
  if (kind === "values" || swapped) {
    throw compiler.refuse(node, "only the division by a constant is supported");
  }
  const weight = vector(node, compiler, { x, constant: other, kind, map: (value) => 1 / value });
  return affine(node, compiler, { x, weight, bias: same(node, compiler, 0) });
}

/** Whether two values are known to have one shape; batches of different names count as one. */
function sameShape(node: OnnxNode, compiler: Compiler): boolean {
  const [a, b] = node.inputs.map((input) => compiler.shape(input, node));
  return a!.length === b!.length && a!.every((length, i) => i === 0 || length === b![i]);
}

function requireSameShape(node: OnnxNode, compiler: Compiler): void {
  if (sameShape(node, compiler)) return;
  throw compiler.refuse(node, `${shapesOf(node, compiler)}, and one shape was expected`);
}

/** The factors of a product, with one number per image and channel second. */
function gateSecond(node: OnnxNode, compiler: Compiler): readonly [string, string] {
  const [a, b] = node.inputs as [string, string];
  if (sameShape(node, compiler)) return [a, b];
  const isGate = (value: string, map: string) => {
    const gate = compiler.shape(value, node);
    const [, channels] = compiler.shape(map, node);
    return gate.length === 4 && compiler.shape(map, node).length === 4 && gate[1] === channels &&
      gate[2] === 1 && gate[3] === 1;
  };
  if (isGate(b, a)) return [a, b];
  if (isGate(a, b)) return [b, a];
  throw compiler.refuse(
    node,
    `${shapesOf(node, compiler)}, and one shape, or [N, C, 1, 1] beside [N, C, H, W], was expected`,
  );
}

function shapesOf(node: OnnxNode, compiler: Compiler): string {
  return node.inputs.map((input) => `"${input}" is [${compiler.shape(input, node).join(", ")}]`)
    .join(" and ");
}
