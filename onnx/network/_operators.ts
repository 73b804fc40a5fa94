/**
 * All operators, and the steps of a part of a graph.
 *
 * @module
 */

import type { GraphView } from "../_graph_view.ts";
import type { OnnxNode } from "../node.ts";
import type { Compiler, Operator, Step } from "./_compiler.ts";
import { LAYOUT_OPERATORS } from "./_layout_operators.ts";
import { NORM_OPERATORS } from "./_norm_operators.ts";
import { POINTWISE_OPERATORS } from "./_pointwise_operators.ts";
import { ROW_OPERATORS } from "./_row_operators.ts";
import { SLICE_OPERATORS } from "./_slice_operators.ts";
import { WINDOW_OPERATORS } from "./_window_operators.ts";

const OPERATORS: ReadonlyMap<string, Operator> = new Map(Object.entries({
  ...WINDOW_OPERATORS,
  ...POINTWISE_OPERATORS,
  ...ROW_OPERATORS,
  ...LAYOUT_OPERATORS,
  ...SLICE_OPERATORS,
  ...NORM_OPERATORS,
}));

/** What a part of a graph computes, step by step. */
export interface Program {
  /** The steps in order. */
  readonly steps: readonly Step[];
  /** The values that it keeps, by the names under which steps make them as operators take values. */
  readonly kept: ReadonlyMap<string, string>;
}

/**
 * Turns nodes into steps.
 *
 * @param compiler What knows the graph around them.
 * @param nodes The nodes in an order in which they can run.
 * @param kept The values that are asked for.
 * @returns The steps, and where the values are found.
 * @throws {UserError} When a node is not supported.
 */
export function compileNodes(
  compiler: Compiler,
  nodes: readonly OnnxNode[],
  kept: readonly string[],
): Program {
  const steps: Step[] = [];
  for (const node of nodes) {
    if (isKnown(node, compiler.view) || compiler.taken(node)) continue;
    const made = compile(node, compiler);
    steps.push(...compiler.takePending(), ...made.map((step) => ({ ...step, node })));
  }
  const found = new Map<string, string>();
  for (const value of new Set(kept)) {
    const node = compiler.view.producer(value) ?? compiler.view.graph.consumers(value)[0];
    found.set(value, node === undefined ? value : compiler.standard(value, node));
    steps.push(...compiler.takePending());
  }
  return { steps, kept: found };
}

function isKnown(node: OnnxNode, view: GraphView): boolean {
  const [output] = node.outputs;
  return view.constant(output) !== undefined ||
    output !== undefined && view.numbers.uniform(output) !== undefined;
}

function compile(node: OnnxNode, compiler: Compiler): Step[] {
  const operator = node.domain === "" ? OPERATORS.get(node.opType) : undefined;
  if (operator !== undefined) return [operator(node, compiler)].flat();
  throw compiler.refuse(
    node,
    `there is no training: supported operators are ${[...OPERATORS.keys()].sort().join(", ")}; ` +
      `if it lies in front of what is to be trained, begin behind it (trainable)`,
  );
}
