/**
 * Linear layers, of rows and of tokens.
 *
 * @module
 */

import { linear } from "../../nn/mod.ts";
import type { OnnxNode } from "../node.ts";
import { shaped } from "./_arrange.ts";
import { attention, softmaxStep } from "./_attention.ts";
import type { Compiler, Operator, Step } from "./_compiler.ts";

/** Linear layers, other products, and softmax. */
export const ROW_OPERATORS: Readonly<Record<string, Operator>> = {
  Gemm: gemm,
  MatMul: matMul,
  Einsum: attention,
  Softmax: softmaxStep,
};

function gemm(node: OnnxNode, compiler: Compiler): Step {
  const [rows, matrix, offset] = node.inputs as [string, string, string?];
  const shape = compiler.shape(rows, node);
  if (shape.length !== 2) {
    throw compiler.refuse(node, `"${rows}" is [${shape.join(", ")}] and [N, C] was expected`);
  }
  const x = linearInput(rows, node, compiler);
  if (node.int("transA", 0) === 1) throw compiler.refuse(node, "transA=1 is not supported");
  const [alpha, beta] = [node.float("alpha", 1), node.float("beta", 1)];
  if (alpha === 0) throw compiler.refuse(node, "alpha is 0");
  const transposed = node.int("transB", 0) === 0;
  const [outputs, weight] = matrixOf(node, compiler, { matrix, transposed, factor: alpha });
  const [output] = node.outputs as [string];
  compiler.setLayout(output, compiler.layout(x, node).withLength(1, outputs));
  if (!offset || beta === 0) return linearStep(node, compiler, { x, weight, outputs, output });
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
  return linearStep(node, compiler, { x, weight, outputs, bias, output });
}

function matMul(node: OnnxNode, compiler: Compiler): Step | readonly Step[] {
  const [given, matrix] = node.inputs as [string, string];
  if (compiler.view.constant(matrix) === undefined) return attention(node, compiler);
  const { rank } = compiler.layout(given, node);
  if (rank < 2) throw compiler.refuse(node, `"${given}" has one axis alone`);
  const x = linearInput(given, node, compiler);
  const [outputs, weight] = matrixOf(node, compiler, { matrix, transposed: true, factor: 1 });
  compiler.setLayout(node.outputs[0]!, compiler.layout(x, node).withLength(rank - 1, outputs));
  const added = compiler.withBias(node.outputs[0]!, outputs);
  const bias = added.bias === undefined ? undefined : compiler.weights.parameter(added.bias, {
    node,
    layout: "same",
    shape: [outputs],
  });
  return linearStep(node, compiler, { x, weight, outputs, bias, output: added.output });
}

/** Rows whose elements lie side by side. */
function linearInput(given: string, node: OnnxNode, compiler: Compiler): string {
  const layout = compiler.layout(given, node);
  return layout.isLast(layout.rank - 1)
    ? given
    : compiler.arranged(given, layout.axes.flat(), node);
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
  node: OnnxNode,
  compiler: Compiler,
  how: {
    readonly x: string;
    readonly weight: string;
    readonly outputs: number;
    readonly bias?: string | undefined;
    readonly output: string;
  },
): Step {
  const { x, weight, bias, output } = how;
  const layout = compiler.layout(output, node);
  const [, columns] = compiler.weights.parameters.get(weight)!.shape;
  return {
    inputs: [x],
    output,
    run: ({ tape, value, parameter }) => {
      const given = value(x);
      const rows = given.value.size / columns!;
      const y = linear(tape, shaped(tape, given, [rows, columns!]), {
        weight: parameter(weight),
        bias: bias === undefined ? undefined : parameter(bias),
      });
      return shaped(tape, y, layout.shape(y.value.size / layout.each));
    },
  };
}
