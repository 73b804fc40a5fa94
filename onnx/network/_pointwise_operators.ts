/**
 * Operators on single elements and channels: activations, sums, products, dropout.
 *
 * @module
 */

import { activation as activate, dropout as drop, mul, type Variable } from "../../nn/mod.ts";
import {
  affine,
  type AffinePart,
  difference,
  product,
  quotient,
  scaled,
  sum,
} from "./_arithmetic.ts";
import type { OnnxNode } from "../node.ts";
import type { Compiler, Operator, Run, Step } from "./_compiler.ts";

/** Activations, sums, products, dropout. */
export const POINTWISE_OPERATORS: Readonly<Record<string, Operator>> = {
  Relu: (node, compiler) => activation(node, compiler, { kind: "relu" }),
  Sigmoid: sigmoid,
  Tanh: tanh,
  Pow: power,
  Neg: (node, compiler) => line(node, compiler, { weight: { number: -1 }, bias: { number: 0 } }),
  Gelu: gelu,
  Clip: clip,
  HardSigmoid: (node, compiler) => hardSigmoid(node, compiler, { swish: false }),
  HardSwish: (node, compiler) => hardSigmoid(node, compiler, { swish: true }),
  Identity: passed,
  Cast: passed,
  Dropout: dropout,
  Add: sum,
  Sub: difference,
  Mul: (node, compiler) => geluOfErf(node, compiler) ?? product(node, compiler),
  Div: (node, compiler) => geluOfErf(node, compiler) ?? quotient(node, compiler),
};

/** A step from the first input to an output that lies in memory as the input does. */
function simple(
  node: OnnxNode,
  compiler: Compiler,
  how: { readonly output?: string; readonly run: (run: Run, x: Variable) => Variable },
): Step {
  const x = node.inputs[0]!;
  const { output = node.outputs[0]!, run } = how;
  compiler.sameLayout(output, x, node);
  return { inputs: [x], output, run: (state) => run(state, state.value(x)) };
}

function activation(
  node: OnnxNode,
  compiler: Compiler,
  options: Parameters<typeof activate>[2],
): Step {
  return simple(node, compiler, { run: ({ tape }, x) => activate(tape, x, options) });
}

/** A Sigmoid, or with the product behind it a SiLU. */
function sigmoid(node: OnnxNode, compiler: Compiler): Step {
  const [x] = node.inputs as [string];
  const gate = node.outputs[0]!;
  const reader = compiler.onlyReader(gate);
  const silu = reader?.opType === "Mul" && reader.domain === "" && reader.inputs.includes(x);
  if (!silu) return activation(node, compiler, { kind: "sigmoid" });
  const output = compiler.take(reader, x);
  return simple(node, compiler, {
    output,
    run: ({ tape }, x) => activate(tape, x, { kind: "silu" }),
  });
}

/** 2 s(2 x) - 1 with the Sigmoid s. */
function tanh(node: OnnxNode, compiler: Compiler): Step {
  const inner = line(node, compiler, { weight: { number: 2 }, bias: { number: 0 } });
  const outer = scaled(node, compiler, { weight: { number: 2 }, bias: { number: -1 } });
  return {
    ...inner,
    run: (run) => outer(run, activate(run.tape, inner.run(run), { kind: "sigmoid" })),
  };
}

/** A small whole power, by products. */
function power(node: OnnxNode, compiler: Compiler): Step {
  const exponent = compiler.scalar(node.inputs[1]!);
  if (exponent !== 2 && exponent !== 3) {
    throw compiler.refuse(node, `only the powers 2 and 3 are supported`);
  }
  return simple(node, compiler, {
    run: ({ tape }, x) => {
      const square = mul(tape, x, x);
      return exponent === 2 ? square : mul(tape, square, x);
    },
  });
}

/** A factor and an offset for all elements. */
function line(
  node: OnnxNode,
  compiler: Compiler,
  parts: { readonly weight: AffinePart; readonly bias: AffinePart },
): Step {
  return affine(node, compiler, { x: node.inputs[0]!, ...parts });
}

function gelu(node: OnnxNode, compiler: Compiler): Step {
  const approximate = node.string("approximate", "none") === "tanh" ? "tanh" : "none";
  return activation(node, compiler, { kind: "gelu", approximate });
}

/** The GELU of which a node is the first step: x / √2, its Erf, and one, times x, times a half. */
function geluOfErf(node: OnnxNode, compiler: Compiler): Step | undefined {
  const erf = compiler.onlyReader(node.outputs[0]!);
  if (erf?.opType !== "Erf") return undefined;
  const swapped = compiler.scalar(node.inputs[0]!) !== undefined;
  const [x, factor] = swapped ? [node.inputs[1]!, node.inputs[0]!] : node.inputs as string[];
  const root = compiler.scalar(factor!);
  const by = root === undefined ? undefined : node.opType === "Div" ? 1 / root : root;
  if (by === undefined || node.opType === "Div" && swapped) return undefined;
  if (Math.abs(by - Math.SQRT1_2) > 1e-4) return undefined;
  const plus = compiler.onlyReader(erf.outputs[0]!);
  if (plus?.opType !== "Add" || compiler.otherNumber(plus, erf.outputs[0]!) !== 1) return undefined;
  const ends = halfTimes(compiler, { x: x!, value: plus.outputs[0]! });
  if (ends === undefined) return undefined;
  for (const taken of [erf, plus, ...ends]) compiler.take(taken, x!);
  const output = ends.at(-1)!.outputs[0]!;
  compiler.sameLayout(output, x!, node);
  return {
    inputs: [x!],
    output,
    run: ({ tape, value }) => activate(tape, value(x!), { kind: "gelu" }),
  };
}

/** The products of a value by x and by a half, in whichever order they are written. */
function halfTimes(
  compiler: Compiler,
  { x, value }: { readonly x: string; readonly value: string },
): readonly OnnxNode[] | undefined {
  const first = compiler.onlyReader(value);
  if (first?.opType !== "Mul") return undefined;
  const other = otherInput(first, value);
  const second = compiler.onlyReader(first.outputs[0]!);
  if (other === x) {
    const half = second?.opType === "Mul" &&
      compiler.otherNumber(second, first.outputs[0]!) === 0.5;
    return half ? [first, second] : undefined;
  }
  if (compiler.scalar(other) === 0.5) {
    const byX = second?.opType === "Mul" && otherInput(second, first.outputs[0]!) === x;
    return byX ? [first, second] : undefined;
  }
  // Half of x, times the rest.
  const half = compiler.view.producer(other);
  const isHalf = half?.opType === "Mul" && half.inputs.includes(x) &&
    compiler.otherNumber(half, x) === 0.5 && compiler.onlyReader(other) === first;
  return isHalf && !compiler.taken(half) ? [half, first] : undefined;
}

function otherInput(node: OnnxNode, value: string): string {
  return node.inputs[0] === value ? node.inputs[1]! : node.inputs[0]!;
}

function clip(node: OnnxNode, compiler: Compiler): Step {
  const LARGEST = 3.4028234e38;
  const bound = (attribute: "min" | "max", input: number, fallback: number) => {
    const value = compiler.number(node, { attribute, input, fallback });
    return Math.min(LARGEST, Math.max(-LARGEST, value));
  };
  const min = bound("min", 1, -LARGEST);
  const max = bound("max", 2, LARGEST);
  return activation(node, compiler, { kind: "clip", min, max });
}

/** clip(alpha x + beta, 0, 1), and for HardSwish, whose alpha is 1/6 and beta 1/2, x times that. */
function hardSigmoid(node: OnnxNode, compiler: Compiler, { swish }: { swish: boolean }): Step {
  const x = node.inputs[0]!;
  const weight = { number: Math.fround(swish ? 1 / 6 : node.float("alpha", 0.2)) };
  const bias = { number: Math.fround(swish ? 1 / 2 : node.float("beta", 0.5)) };
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
  return { ...simple(node, compiler, { run: (_, x) => x }), view: true };
}

function dropout(node: OnnxNode, compiler: Compiler): Step {
  compiler.requireOneOutput(node);
  const rate = compiler.number(node, { attribute: "ratio", input: 1, fallback: 0.5 });
  if (rate === 0 || compiler.options.dropout === false) return passed(node, compiler);
  const step = simple(node, compiler, {
    run: ({ tape, training, seed }, x) => {
      if (!training) return x;
      if (seed === undefined) {
        throw new TypeError(
          `Cannot train through Dropout "${node.label}" without a seed: pass one, or import the ` +
            `network with dropout: false`,
        );
      }
      return drop(tape, x, { rate, seed, stream: node.index });
    },
  });
  return { ...step, view: true };
}
