/**
 * Graphs within nodes, and what they take from around them.
 *
 * @module
 */

import type { GraphProto, NodeProto, TensorProto } from "./proto/mod.ts";

/** Subgraphs of a node: those of If, Loop and Scan. */
function subgraphs(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap((attribute) => attribute.g === undefined ? [] : [attribute.g]);
}

/** Names that the subgraphs of a node read and do not make. */
export function capturedNames(node: NodeProto): string[] {
  const names = new Set<string>();
  for (const graph of subgraphs(node)) {
    const own = new Set([
      ...graph.input.map((info) => info.name ?? ""),
      ...graph.initializer.map((tensor) => tensor.name ?? ""),
      ...graph.node.flatMap((inner) => inner.output),
    ]);
    const read = [
      ...graph.node.flatMap((inner) => [...inner.input, ...capturedNames(inner)]),
      ...graph.output.map((info) => info.name ?? ""),
    ];
    for (const name of read) if (name !== "" && !own.has(name)) names.add(name);
  }
  return [...names];
}

/** Every tensor that a graph holds, its subgraphs' included. */
export function allTensors(graph: GraphProto): TensorProto[] {
  const inNodes = graph.node.flatMap((node) => [
    ...node.attribute.flatMap((attribute) => attribute.t === undefined ? [] : [attribute.t]),
    ...subgraphs(node).flatMap(allTensors),
  ]);
  return [...graph.initializer, ...inNodes];
}
