/**
 * An order in which nodes can run.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import type { OnnxNode } from "./node.ts";

/** Finds the node that makes a value. */
type Producer = (value: string) => OnnxNode | undefined;

/** Nodes behind the nodes whose outputs they read; what is in such an order stays as it is. */
export function sortNodes(nodes: readonly OnnxNode[], producer: Producer): readonly OnnxNode[] {
  const { waiting, readers } = dependencies(nodes, producer);
  const sorted: OnnxNode[] = [];
  const ready = nodes.filter((node) => waiting.get(node)!.size === 0);
  while (ready.length > 0) {
    // The earliest in the file first keeps a sorted file as it is.
    const next = takeEarliest(ready);
    sorted.push(next);
    for (const reader of readers.get(next) ?? []) {
      const makers = waiting.get(reader)!;
      makers.delete(next);
      if (makers.size === 0) ready.push(reader);
    }
  }
  if (sorted.length < nodes.length) {
    const done = new Set(sorted);
    const stuck = nodes.find((node) => !done.has(node))!;
    throw new UserError(`Cannot order the graph: node "${stuck.label}" lies on a cycle`);
  }
  return sorted;
}

/** For every node those that it waits for, and for every maker those that wait for it, once each. */
function dependencies(nodes: readonly OnnxNode[], producer: Producer): {
  waiting: Map<OnnxNode, Set<OnnxNode>>;
  readers: Map<OnnxNode, OnnxNode[]>;
} {
  const waiting = new Map<OnnxNode, Set<OnnxNode>>();
  const readers = new Map<OnnxNode, OnnxNode[]>();
  for (const node of nodes) {
    const inputs = [...node.inputs, ...node.captured];
    const makers = new Set(inputs.map(producer).filter((maker) => maker !== undefined));
    waiting.set(node, makers);
    for (const maker of makers) readers.set(maker, [...readers.get(maker) ?? [], node]);
  }
  return { waiting, readers };
}

/** Removes the node from the list that stands first in the file. */
function takeEarliest(ready: OnnxNode[]): OnnxNode {
  let best = 0;
  for (let i = 1; i < ready.length; i++) if (ready[i]!.index < ready[best]!.index) best = i;
  return ready.splice(best, 1)[0]!;
}
