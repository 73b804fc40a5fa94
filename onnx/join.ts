/**
 * Joining graphs: one file that goes from a model's inputs through a second graph.
 *
 * @module
 */

import { pruneUnused, renamedGraph } from "./edit.ts";
import { OnnxModel } from "./model.ts";
import type { GraphProto, OperatorSetIdProto, ValueInfoProto } from "./proto/mod.ts";

/** How two graphs are joined. */
export interface JoinOptions {
  /** For every input of the second graph, the value of the first that feeds it. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Outputs of the result, from either graph; all outputs of both by default. */
  readonly outputs?: readonly string[];
  /** What names of the second graph get in front where they clash; `ood/` by default. */
  readonly prefix?: string;
}

/**
 * Joins a graph to a model: one file that goes from the model's inputs through both.
 *
 * Names of the second graph that are taken in the first get a prefix; its outputs keep theirs
 * where they are free. Nodes that no output needs are dropped.
 *
 * @param backbone The model whose values feed the second graph.
 * @param scorer The second graph, built for the backbone's operator set (`new GraphBuilder({
 * opset: backbone.opset() })`).
 * @param options What feeds its inputs, and which outputs the result has.
 * @returns The joined model.
 * @throws {TypeError} When an input is not fed, a name is unknown, or the operator sets differ.
 *
 * @example A classifier that also says how large its largest logit is
 * ```ts
 * import { GraphBuilder, joinGraphs, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const builder = new GraphBuilder({ opset: model.opset() });
 * const x = builder.input("x", ["N", 10]);
 * builder.output("score", builder.reduce("ReduceMax", x, { axes: [1] }));
 * const joined = joinGraphs(model, builder.build(), {
 *   inputs: { x: "logits" },
 *   outputs: ["logits", "score"],
 * });
 * assertEquals(joined.graph.outputs.map((output) => output.name), ["logits", "score"]);
 * ```
 */
export function joinGraphs(
  backbone: OnnxModel,
  scorer: OnnxModel,
  options: JoinOptions,
): OnnxModel {
  checkOperatorSets(backbone, scorer);
  const feeds = new Map(Object.entries(options.inputs));
  checkFeeds(feeds, { backbone, scorer });
  const second = renamedScorer(scorer, { backbone, feeds, prefix: options.prefix ?? "ood/" });
  const first = backbone.graph.proto;
  const outputs = [...first.output, ...second.output];
  const graph: GraphProto = {
    ...first,
    node: [...first.node, ...second.node],
    initializer: [...first.initializer, ...second.initializer],
    output: options.outputs?.map((name) => outputNamed(name, { outputs, scorer })) ?? outputs,
    valueInfo: [...first.valueInfo, ...second.valueInfo],
    sparseInitializer: [...first.sparseInitializer, ...second.sparseInitializer],
  };
  const joined = new OnnxModel({
    ...backbone.proto,
    irVersion: Math.max(backbone.proto.irVersion ?? 0, scorer.proto.irVersion ?? 0),
    opsetImport: mergedSets(backbone, scorer),
    graph,
  }, { name: backbone.name });
  return pruneUnused(joined);
}

/** A file has one version of each operator set, so both graphs must be written for the same. */
function checkOperatorSets(backbone: OnnxModel, scorer: OnnxModel): void {
  for (const set of scorer.proto.opsetImport) {
    const present = backbone.opset(set.domain ?? "");
    if (present !== 0 && present !== set.version) {
      throw new TypeError(
        `Cannot join "${scorer.name}" to "${backbone.name}": it is built for operator set ` +
          `${set.version} and the model uses ${present}; build it with that`,
      );
    }
  }
}

function checkFeeds(
  feeds: ReadonlyMap<string, string>,
  { backbone, scorer }: { backbone: OnnxModel; scorer: OnnxModel },
): void {
  for (const input of scorer.graph.inputs) {
    const feed = feeds.get(input.name);
    if (feed === undefined) {
      throw new TypeError(`Cannot join "${scorer.name}": its input "${input.name}" is not fed`);
    }
    if (!backbone.graph.has(feed)) {
      throw new TypeError(
        `Cannot join "${scorer.name}": the model has no value "${feed}" to feed "${input.name}"`,
      );
    }
  }
}

/** The second graph with what feeds it in place of its inputs, and no name that is taken. */
function renamedScorer(
  scorer: OnnxModel,
  { backbone, feeds, prefix }: {
    backbone: OnnxModel;
    feeds: ReadonlyMap<string, string>;
    prefix: string;
  },
): GraphProto {
  const valueName = renamer(namesOf(backbone), { own: namesOf(scorer), prefix });
  const renamed = renamedGraph(
    scorer.graph.proto,
    (name) => feeds.get(name) ?? valueName(name),
  );
  // Runtimes refuse two nodes of one name.
  const nodeNames = ({ graph }: OnnxModel) => graph.proto.node.map(({ name = "" }) => name);
  const nodeName = renamer(nodeNames(backbone), { own: nodeNames(scorer), prefix });
  const node = renamed.node.map((item) => ({ ...item, name: nodeName(item.name ?? "") }));
  return { ...renamed, node };
}

/** The names of all values of a graph. */
function namesOf({ graph }: OnnxModel): string[] {
  return [
    ...graph.inputs.map((input) => input.name),
    ...graph.initializers.keys(),
    ...graph.valueNames(),
  ];
}

/** Puts the prefix in front of names that are taken, until they are free; others stay. */
function renamer(
  taken: readonly string[],
  { own, prefix }: { own: readonly string[]; prefix: string },
): (name: string) => string {
  const clashing = new Set(taken);
  const used = new Set([...taken, ...own]);
  const renamed = new Map<string, string>();
  return (name) => {
    if (name === "" || !clashing.has(name)) return name;
    let found = renamed.get(name);
    if (found === undefined) {
      found = prefix + name;
      while (used.has(found)) found = prefix + found;
      used.add(found);
      renamed.set(name, found);
    }
    return found;
  };
}

function outputNamed(
  name: string,
  { outputs, scorer }: { outputs: readonly ValueInfoProto[]; scorer: OnnxModel },
): ValueInfoProto {
  const found = outputs.find((output) => output.name === name);
  if (found !== undefined) return found;
  throw new TypeError(`Cannot join "${scorer.name}": neither graph has the output "${name}"`);
}

function mergedSets(backbone: OnnxModel, scorer: OnnxModel): OperatorSetIdProto[] {
  const sets = [...backbone.proto.opsetImport, ...scorer.proto.opsetImport];
  return [...new Map(sets.map((set) => [set.domain ?? "", set])).values()];
}
