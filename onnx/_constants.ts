/**
 * Constants as a classifier's parameters are found: not only as they are stored.
 *
 * @module
 */

import type { OnnxGraph } from "./graph.ts";
import type { OnnxNode } from "./node.ts";
import { type OnnxTensor, toFloat32 } from "./tensor.ts";

/** A constant, also behind nodes that only lay it out anew, widen it or undo its quantisation. */
export function constantOf(graph: OnnxGraph, value: string): OnnxTensor | undefined {
  const constant = graph.constant(value);
  if (constant !== undefined) return constant;
  const node = graph.producer(value);
  const input = node?.inputs[0];
  if (node === undefined || input === undefined) return undefined;
  switch (node.opType) {
    case "Identity":
    case "Cast":
      return constantOf(graph, input);
    case "Transpose": {
      const matrix = constantOf(graph, input);
      if (matrix?.shape.length !== 2) return undefined;
      return String(node.ints("perm") ?? "1,0") === "1,0" ? transposedMatrix(matrix) : matrix;
    }
    case "DequantizeLinear":
      return dequantized(graph, node);
    default:
      return undefined;
  }
}

function transposedMatrix(matrix: OnnxTensor): OnnxTensor {
  const [rows, columns] = matrix.shape as [number, number];
  const source = toFloat32(matrix);
  const data = new Float32Array(source.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) data[c * rows + r] = source[r * columns + c]!;
  }
  return { type: "f32", shape: [columns, rows], data };
}

function dequantized(graph: OnnxGraph, node: OnnxNode): OnnxTensor | undefined {
  const [x, scale, zero] = node.inputs.map((input) =>
    input === "" ? undefined : constantOf(graph, input)
  );
  if (x === undefined || scale === undefined || node.inputs[2] && zero === undefined) {
    return undefined;
  }
  const axis = node.int("axis", 1);
  const at = axis < 0 ? axis + x.shape.length : axis;
  const inner = x.shape.slice(at + 1).reduce((a, b) => a * b, 1);
  const count = scale.data.length;
  if (count !== 1 && count !== x.shape[at]) return undefined;
  const data = new Float32Array(x.data.length);
  for (let i = 0; i < data.length; i++) {
    const channel = count === 1 ? 0 : Math.floor(i / inner) % count;
    const offset = zero === undefined ? 0 : Number(zero.data[channel]!);
    data[i] = (Number(x.data[i]!) - offset) * Number(scale.data[channel]!);
  }
  return { type: "f32", shape: x.shape, data };
}
