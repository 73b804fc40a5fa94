/**
 * Which nodes of a graph are trained, and which values cross from the others to them.
 *
 * @module
 */

import { nearestName, UserError } from "../../runtime/mod.ts";
import type { GraphView } from "../_graph_view.ts";
import type { Inspection } from "../inspection.ts";
import type { OnnxNode } from "../node.ts";
import type { Trainable } from "./options.ts";

/** A part of a graph. */
export interface Part {
  /** Its nodes in an order in which they can run. */
  readonly nodes: readonly OnnxNode[];
  /** Values that it reads and does not make, constants aside. */
  readonly crossing: readonly string[];
  /** Whether it makes a value or is given it. */
  has(value: string): boolean;
}

/** Operators that read data in their first input alone; the others hold shapes and settings. */
const FIRST_INPUT: ReadonlySet<string> = new Set(
  ("Reshape Clip Pad Dropout Squeeze Unsqueeze ReduceMean Slice Split Resize Upsample Cast " +
    "Expand Tile").split(" "),
);

/** The values that a node computes with; constants, and what follows from shapes, aside. */
export function dataInputs(node: OnnxNode, view: GraphView): string[] {
  const inputs = FIRST_INPUT.has(node.opType) ? node.inputs.slice(0, 1) : node.inputs;
  return [...inputs, ...node.captured].filter((input) =>
    input !== "" && view.constant(input) === undefined &&
    view.numbers.uniform(input) === undefined
  );
}

/**
 * The part of a graph that computes some values.
 *
 * @param view The graph.
 * @param what Where the part begins, the values that it must compute, and those that it computes
 * where it can.
 * @returns The part.
 * @throws {UserError} When it does not compute a value that it must.
 */
export function partOf(
  view: GraphView,
  what: {
    readonly trainable: Exclude<Trainable, "head">;
    readonly inspection: Inspection;
    readonly needed: readonly string[];
    readonly optional: readonly string[];
  },
): Part {
  const behind = nodesBehind(view, what.trainable, what.inspection);
  const made = new Set([...behind].flatMap((node) => node.outputs));
  const [logits] = what.needed;
  if (logits !== undefined && !made.has(logits)) {
    throw new UserError(
      `Cannot train "${view.name}" from "${nameOf(what.trainable)}": the logits ` +
        `"${logits}" do not depend on it`,
    );
  }
  const wanted = [...what.needed, ...what.optional].filter((value) => made.has(value));
  const { nodes, crossing, own } = nodesFor(view, wanted, (node) => behind.has(node));
  const has = (value: string) => own.has(value) || crossing.includes(value);
  const missing = what.needed.find((value) => !has(value));
  if (missing !== undefined) throw notInPart(view, missing);
  return { nodes, crossing, has };
}

/** The nodes that values need, as far as they may be taken, and what these read and do not make. */
function nodesFor(
  view: GraphView,
  values: readonly string[],
  may: (node: OnnxNode) => boolean,
): Pick<Part, "nodes" | "crossing"> & { readonly own: ReadonlySet<string> } {
  const wanted = new Set(values);
  const taken = new Set<OnnxNode>();
  for (const node of view.graph.sorted().toReversed()) {
    if (!may(node) || !node.outputs.some((output) => wanted.has(output))) continue;
    taken.add(node);
    for (const input of dataInputs(node, view)) wanted.add(input);
  }
  const nodes = view.graph.sorted().filter((node) => taken.has(node));
  const own = new Set(nodes.flatMap((node) => node.outputs));
  const crossing = new Set(
    nodes.flatMap((node) => dataInputs(node, view)).filter((input) => !own.has(input)),
  );
  return { nodes, crossing: [...crossing], own };
}

/**
 * The part of a graph between values.
 *
 * @param view The graph.
 * @param what The values at which it begins, all inputs of the graph by default, and those at which it
 * ends.
 * @returns The part.
 * @throws {UserError} When a value does not exist, or the part needs others, or not all of them.
 */
export function partBetween(
  view: GraphView,
  { inputs, outputs }: {
    readonly inputs: readonly string[] | undefined;
    readonly outputs: readonly string[];
  },
): Part {
  const { graph, name } = view;
  for (const value of [...inputs ?? [], ...outputs]) {
    if (!graph.has(value)) throw noValue(view, value);
  }
  if (outputs.length === 0) throw new UserError(`Cannot import "${name}": no output is named`);
  const begins = new Set(inputs);
  const cut = (node: OnnxNode) => node.outputs.some((output) => begins.has(output));
  const { nodes, crossing, own } = nodesFor(view, outputs, (node) => !cut(node));
  const given = [...new Set([...crossing, ...outputs.filter((value) => !own.has(value))])];
  const has = (value: string) => own.has(value) || given.includes(value);
  if (inputs === undefined) return { nodes, crossing: given, has };
  const other = given.find((value) => !begins.has(value));
  const ends = outputs.map((value) => `"${value}"`).join(", ");
  if (other !== undefined) {
    throw new UserError(
      `Cannot import "${name}" from ${
        inputs.map((value) => `"${value}"`).join(", ")
      } to ${ends}: ` +
        `"${other}" is needed too; name it among the inputs`,
    );
  }
  const idle = inputs.find((value) => !given.includes(value));
  if (idle === undefined) return { nodes, crossing: inputs, has };
  throw new UserError(`Cannot import "${name}" from "${idle}": ${ends} can be had without it`);
}

function noValue(view: GraphView, value: string): UserError {
  const close = nearestName(value, [
    ...view.graph.valueNames(),
    ...view.graph.inputs.map((input) => input.name),
  ]);
  const hint = close === undefined ? "" : `; did you mean "${close}"`;
  return new UserError(`"${view.name}" has no value "${value}"${hint}`);
}

function notInPart(view: GraphView, value: string): UserError {
  if (view.graph.has(value)) {
    return new UserError(
      `Cannot return "${value}" of "${view.name}": it lies before the part that is trained`,
    );
  }
  return noValue(view, value);
}

function nameOf(trainable: Trainable): string {
  return typeof trainable === "string" ? trainable : trainable.from;
}

/** All nodes at which training begins, and those that depend on them. */
function nodesBehind(
  view: GraphView,
  trainable: Exclude<Trainable, "head">,
  inspection: Inspection,
): ReadonlySet<OnnxNode> {
  const nodes = view.graph.sorted();
  if (trainable === "all" || trainable === "none") return new Set(nodes);
  const begins = trainable === "last-block"
    ? readsValue(secondLastBlock(view, inspection), view)
    : beginsAt(trainable.from, view);
  const behind = new Set<OnnxNode>();
  const made = new Set<string>();
  for (const node of nodes) {
    if (!begins(node) && !dataInputs(node, view).some((input) => made.has(input))) continue;
    behind.add(node);
    for (const output of node.outputs) made.add(output);
  }
  return behind;
}

function readsValue(value: string, view: GraphView): (node: OnnxNode) => boolean {
  return (node) => dataInputs(node, view).includes(value);
}

function secondLastBlock(view: GraphView, { blocks }: Inspection): string {
  const block = blocks.at(-2)?.value;
  if (block !== undefined) return block;
  throw new UserError(
    `Cannot train the last block of "${view.name}": ${
      blocks.length === 0 ? "no blocks were" : "only one block was"
    } found in it; name the node at which training begins instead (trainable: { from: NODE })`,
  );
}

function beginsAt(from: string, view: GraphView): (node: OnnxNode) => boolean {
  const { graph } = view;
  const named = graph.nodes.find((node) => node.proto.name === from) ?? graph.producer(from);
  if (named !== undefined) return (node) => node === named;
  if (graph.inputs.some((input) => input.name === from)) return readsValue(from, view);
  const names = graph.nodes.flatMap((node) => [node.proto.name ?? "", ...node.outputs]);
  const close = nearestName(from, names);
  throw new UserError(
    `Cannot train "${view.name}" from "${from}": it has no node and no value of that name${
      close === undefined ? "" : `; did you mean "${close}"`
    }`,
  );
}
