/**
 * What every graph must hold to before anything else looks at it.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import type { OnnxGraph } from "./graph.ts";

/** Refuses graphs that no runtime could run, so that the rest can rely on names. */
export function checkGraph(graph: OnnxGraph, refuse: (why: string) => UserError): void {
  const known = new Set([
    ...graph.inputs.map((info) => info.name),
    ...graph.initializers.keys(),
    ...graph.valueNames(),
    ...graph.proto.sparseInitializer.map((sparse) => sparse.values?.name ?? ""),
  ]);
  checkNodes(graph, { known, refuse });
  if (graph.outputs.length === 0) throw refuse("the graph has no outputs");
  for (const output of graph.outputs) {
    if (!known.has(output.name)) throw refuse(`nothing makes the output "${output.name}"`);
  }
  try {
    graph.sorted();
  } catch (error) {
    throw error instanceof UserError ? refuse(error.message) : error;
  }
}

function checkNodes(
  graph: OnnxGraph,
  { known, refuse }: { known: ReadonlySet<string>; refuse: (why: string) => UserError },
): void {
  const made = new Set<string>();
  for (const node of graph.nodes) {
    if (node.opType === "") throw refuse(`node "${node.label}" names no operator`);
    for (const output of node.outputs) {
      if (output === "") continue;
      if (made.has(output)) throw refuse(`two nodes make the value "${output}"`);
      made.add(output);
    }
    for (const input of node.inputs) {
      if (input !== "" && !known.has(input)) {
        throw refuse(
          `node "${node.label}" reads "${input}", which is neither an input nor made by a node`,
        );
      }
    }
  }
}
