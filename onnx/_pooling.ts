/**
 * Seeing that a node pools over all of a map, in each of the ways in which exporters write that.
 *
 * @module
 */

import { type GraphView, LAYOUT } from "./_graph_view.ts";
import type { OnnxNode } from "./node.ts";
import { toNumbers } from "./tensor.ts";

/** The input of a node that averages (or maximises) over all of H and W, as [N, C, H, W]. */
export function pooledMap(node: OnnxNode, view: GraphView): string | undefined {
  switch (node.opType) {
    case "GlobalAveragePool":
    case "GlobalMaxPool":
      return node.inputs[0];
    case "AveragePool":
    case "MaxPool":
      return windowCoversAll(node, view) ? node.inputs[0] : undefined;
    case "ReduceMean":
    case "ReduceMax":
      return reducedMap(node, view);
    default:
      return undefined;
  }
}

function windowCoversAll(node: OnnxNode, view: GraphView): boolean {
  const shape = view.shape(node.inputs[0]);
  const result = view.shape(node.outputs[0]);
  const kernel = node.ints("kernel_shape");
  return result?.[2] === 1 && result[3] === 1 && shape?.[2] === kernel?.[0] &&
    shape?.[3] === kernel?.[1];
}

/** The map behind a reduction of H and W: as it is, with channels last, or with H and W as one. */
function reducedMap(node: OnnxNode, view: GraphView): string | undefined {
  const x = node.inputs[0];
  const axes = reducedAxes(node, view);
  const shape = view.shape(x);
  if (axes === undefined || shape === undefined) return undefined;
  const rank = shape.length;
  const sorted = String(
    axes.map((axis) => axis < 0 ? axis + rank : axis).sort((a, b) => a - b),
  );
  const maker = view.producer(x);
  if (rank === 4 && sorted === "2,3") return x;
  if (rank === 4 && sorted === "1,2" && maker?.opType === "Transpose") {
    return String(maker.ints("perm")) === "0,2,3,1" ? maker.inputs[0] : undefined;
  }
  if (rank === 3 && sorted === "2" && maker !== undefined && LAYOUT.has(maker.opType)) {
    const before = view.shape(maker.inputs[0]);
    return before?.length === 4 && before[1] === shape[1] ? maker.inputs[0] : undefined;
  }
  return undefined;
}

function reducedAxes(node: OnnxNode, view: GraphView): number[] | undefined {
  const attribute = node.ints("axes");
  if (attribute !== undefined) return attribute;
  const constant = view.constant(node.inputs[1]);
  return constant === undefined ? undefined : toNumbers(constant);
}
