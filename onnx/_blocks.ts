/**
 * Finding where the blocks of a network end.
 *
 * @module
 */

import type { GraphView } from "./_graph_view.ts";
import type { NetworkBlock } from "./inspection.ts";
import type { OnnxNode } from "./node.ts";

/** An activation behind a residual sum, which belongs to the block. */
const ACTIVATION_REGEXP = /^(Relu|Clip|LeakyRelu|PRelu)$/;

/** Ends of blocks that make maps: where branches join, or before poolings when none do. */
export function findBlocks(view: GraphView): NetworkBlock[] {
  const nodes = view.graph.sorted();
  const joins = nodes.filter((node) => joinsMaps(node, view)).flatMap((node) => {
    const kind = node.opType === "Concat" ? "concat" : "residual";
    return blockAt(behindActivation(node.outputs[0] ?? "", view), { view, kind });
  });
  if (joins.length > 0) return joins;
  return nodes.map((node) => node.outputs[0] ?? "")
    .filter((value) => isPooled(value, view))
    .flatMap((value) => blockAt(value, { view, kind: "stage" }));
}

function blockAt(
  value: string,
  { view, kind }: { view: GraphView; kind: NetworkBlock["kind"] },
): NetworkBlock[] {
  return view.isMap(value) ? [{ value, shape: view.shape(value)!, kind }] : [];
}

function behindActivation(value: string, view: GraphView): string {
  const [reader, ...others] = view.graph.consumers(value);
  if (reader === undefined || others.length > 0) return value;
  return ACTIVATION_REGEXP.test(reader.opType) ? reader.outputs[0] ?? value : value;
}

function isPooled(value: string, view: GraphView): boolean {
  return view.graph.consumers(value).some((reader) => /Pool$|^Flatten$/.test(reader.opType));
}

function joinsMaps(node: OnnxNode, view: GraphView): boolean {
  if (node.opType !== "Add" && node.opType !== "Concat") return false;
  const maps = node.inputs.filter((input) =>
    view.shape(input)?.length === 4 && view.constant(input) === undefined
  );
  if (node.opType === "Concat") return node.int("axis", 1) === 1 && maps.length > 1;
  return maps.length === 2 && maps.every((input) => view.isMap(input));
}
