/**
 * Operators on rows, and those that lay values out anew.
 *
 * @module
 */

import { concatChannels, linear, reshape, toChannelsFirst, toChannelsLast } from "../../nn/mod.ts";
import type { OnnxNode } from "../node.ts";
import type { Compiler, Operator, Step } from "./_compiler.ts";
import { dataInputs } from "./_part.ts";

/** Linear layers, and changes of layout. */
export const ROW_OPERATORS: Readonly<Record<string, Operator>> = {
  Gemm: gemm,
  MatMul: matMul,
  Flatten: relayout,
  Reshape: relayout,
  Squeeze: relayout,
  Unsqueeze: relayout,
  Concat: concat,
};

function gemm(node: OnnxNode, compiler: Compiler): Step {
  const [x, matrix, offset] = node.inputs as [string, string, string?];
  requireRows(x, node, compiler);
  if (node.int("transA", 0) === 1) throw compiler.refuse(node, "transA=1 is not supported");
  const [alpha, beta] = [node.float("alpha", 1), node.float("beta", 1)];
  if (alpha === 0) throw compiler.refuse(node, "alpha is 0");
  const transposed = node.int("transB", 0) === 0;
  const [outputs, weight] = matrixOf(node, compiler, { matrix, transposed, factor: alpha });
  if (!offset || beta === 0) return linearStep({ x, weight, output: node.outputs[0]! });
  const dims = compiler.constant(node, 2)!.shape;
  if (dims.at(-1) !== outputs || dims.slice(0, -1).some((length) => length !== 1)) {
    throw compiler.refuse(node, `the bias is [${dims.join(", ")}] and [${outputs}] was expected`);
  }
  const bias = compiler.weights.parameter(offset, {
    node,
    layout: "same",
    shape: [outputs],
    factor: beta,
  });
  return linearStep({ x, weight, bias, output: node.outputs[0]! });
}

function matMul(node: OnnxNode, compiler: Compiler): Step {
  const [x, matrix] = node.inputs as [string, string];
  requireRows(x, node, compiler);
  const [outputs, weight] = matrixOf(node, compiler, { matrix, transposed: true, factor: 1 });
  const added = compiler.withBias(node.outputs[0]!, outputs);
  const bias = added.bias === undefined ? undefined : compiler.weights.parameter(added.bias, {
    node,
    layout: "same",
    shape: [outputs],
  });
  return linearStep({ x, weight, ...(bias === undefined ? {} : { bias }), output: added.output });
}

/** Plans a matrix as [outputs, inputs]. */
function matrixOf(
  node: OnnxNode,
  compiler: Compiler,
  how: { readonly matrix: string; readonly transposed: boolean; readonly factor: number },
): readonly [outputs: number, name: string] {
  const { matrix, transposed, factor } = how;
  const dims = compiler.constant(node, 1)?.shape ?? [];
  if (dims.length !== 2) {
    throw compiler.refuse(node, `the weight is [${dims.join(", ")}] and a matrix was expected`);
  }
  const [rows, columns] = dims as [number, number];
  const shape = transposed ? [columns, rows] as const : [rows, columns] as const;
  const name = compiler.weights.parameter(matrix, {
    node,
    layout: transposed ? "transposed" : "same",
    shape,
    factor,
  });
  return [shape[0], name];
}

function linearStep(
  how: {
    readonly x: string;
    readonly weight: string;
    readonly bias?: string;
    readonly output: string;
  },
): Step {
  const { x, weight, bias, output } = how;
  return {
    inputs: [x],
    output,
    run: (run) =>
      linear(run.tape, run.value(x), {
        weight: run.parameter(weight),
        bias: bias === undefined ? undefined : run.parameter(bias),
      }),
  };
}

function requireRows(value: string, node: OnnxNode, compiler: Compiler): void {
  const shape = compiler.shape(value, node);
  if (shape.length === 2) return;
  throw compiler.refuse(node, `"${value}" is [${shape.join(", ")}] and [N, C] was expected`);
}

/** From maps to rows in ONNX's order, and back; the batch stays. */
function relayout(node: OnnxNode, compiler: Compiler): Step {
  const [x] = node.inputs as [string];
  const from = compiler.shape(x, node);
  const to = compiler.shape(node.outputs[0]!, node);
  const refuse = () =>
    compiler.refuse(
      node,
      `[${from.join(", ")}] becomes [${
        to.join(", ")
      }], and only rows of [N, C, H, W] (and the way ` +
        `back) are supported`,
    );
  if (![2, 4].includes(from.length) || ![2, 4].includes(to.length)) throw refuse();
  const count = (shape: readonly (number | string)[]) =>
    shape.slice(1).reduce<number>((a, b) => a * (typeof b === "number" ? b : NaN), 1);
  if (count(from) !== count(to)) throw refuse();
  const step = { inputs: [x], output: node.outputs[0]!, view: true };
  const [channels, height, width] = to.slice(1) as number[];
  if (from.length === to.length) {
    if (from.slice(1).some((length, i) => length !== to[i + 1])) throw refuse();
    return { ...step, run: (run) => run.value(x) };
  }
  if (to.length === 2) {
    return {
      ...step,
      run: ({ tape, value }) => {
        const map = value(x);
        const [n, h, w] = map.shape;
        const planes = h! * w! === 1 ? map : toChannelsFirst(tape, map);
        return reshape(tape, planes, [n!, channels!]);
      },
    };
  }
  return {
    ...step,
    run: ({ tape, value }) => {
      const rows = value(x);
      const n = rows.shape[0]!;
      if (height! * width! === 1) return reshape(tape, rows, [n, 1, 1, channels!]);
      return toChannelsLast(tape, reshape(tape, rows, [n, channels!, height!, width!]));
    },
  };
}

function concat(node: OnnxNode, compiler: Compiler): Step {
  const parts = node.inputs;
  const rank = compiler.shape(node.outputs[0]!, node).length;
  const axis = node.int("axis", 1);
  const data = dataInputs(node, compiler.view);
  if ((axis < 0 ? axis + rank : axis) !== 1 || rank !== 4 && rank !== 2) {
    throw compiler.refuse(node, `axis ${axis} is not that of the channels`);
  }
  if (data.length !== parts.length) throw compiler.refuse(node, "constant parts are not supported");
  return {
    inputs: parts,
    output: node.outputs[0]!,
    run: ({ tape, value }) => {
      const values = parts.map(value);
      if (rank === 4) return concatChannels(tape, values);
      const maps = values.map((rows) =>
        reshape(tape, rows, [rows.shape[0]!, 1, 1, rows.shape[1]!])
      );
      const joined = concatChannels(tape, maps);
      return reshape(tape, joined, [joined.shape[0]!, joined.shape[3]!]);
    },
  };
}
