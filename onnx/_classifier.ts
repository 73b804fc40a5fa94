/**
 * Finding class scores: at which output, and behind which softmax.
 *
 * @module
 */

import { type GraphView, LAYOUT } from "./_graph_view.ts";
import { type HeadMatch, matchHead } from "./_head.ts";
import { HINT } from "./_hints.ts";
import { pooledMap } from "./_pooling.ts";
import type { ValueSource } from "./inspection.ts";
import type { OnnxNode } from "./node.ts";
import type { SidecarOutputs } from "./sidecar.ts";
import type { ValueInfo } from "./value_info.ts";

/** Class scores and what lies before them. */
export interface Classifier extends HeadMatch {
  /** Class scores before softmax. */
  readonly logits?: ValueSource;
  /** Why there are none. */
  readonly logitsReason?: string;
}

/** Operators that turn class scores into probabilities. */
const PROBABILITY: ReadonlySet<string> = new Set(["Softmax", "LogSoftmax", "Sigmoid"]);

/** Pooling, normalising and picking a token end feature extractors, not classifiers. */
const FEATURES_REGEXP =
  /^(LayerNormalization|LpNormalization|Gather|Slice|Div|Reduce|Global|AveragePool|MaxPool|Relu)/;

/** The classifier of a model; values that the sidecar names go before what is found. */
export function findClassifier(
  view: GraphView,
  { logits, features }: SidecarOutputs = {},
): Classifier {
  const found = logits === undefined ? bestOutput(view) : classifierAt(logits, view);
  return {
    ...found,
    ...(features !== undefined && { features: view.asRows(features) }),
    ...(logits !== undefined && { logits: view.asRows(logits) }),
  };
}

/** The output that looks most like class scores. */
function bestOutput(view: GraphView): Classifier {
  const candidates = view.graph.outputs
    .filter((output) => mayBeScores(output, view))
    .map(({ name }) => {
      const found = classifierAt(name, view);
      return { found, name, rank: (found.head ? 4 : 0) + rankOfName(name) };
    });
  const best = candidates.reduce<typeof candidates[number] | undefined>(
    (a, b) => a !== undefined && a.rank >= b.rank ? a : b,
    undefined,
  );
  if (best === undefined) {
    return { logitsReason: `no output has the shape [N, K] of class scores; ${HINT.logits}` };
  }
  const maker = view.core(best.name);
  if (best.rank > 0 || maker === undefined || !endsFeatures(maker, view)) return best.found;
  return {
    logitsReason: `the output "${best.name}" comes straight from ${maker.opType} ` +
      `"${maker.label}", so it is a feature vector without a classifier; ${HINT.logits}`,
    features: view.asRows(best.name),
    headReason: "the model has no classifier",
  };
}

function mayBeScores(output: ValueInfo, view: GraphView): boolean {
  const shape = view.shape(output.name);
  return shape === undefined || shape.length === 2 ||
    shape.length === 4 && shape[2] === 1 && shape[3] === 1;
}

function rankOfName(output: string): number {
  return (/logit/i.test(output) ? 2 : 0) + (/prob|class|score|softmax/i.test(output) ? 1 : 0);
}

function endsFeatures(node: OnnxNode, view: GraphView): boolean {
  return pooledMap(node, view) !== undefined || FEATURES_REGEXP.test(node.opType);
}

/** What lies before an output, behind its softmax if it has one. */
function classifierAt(output: string, view: GraphView): Classifier {
  let value = output;
  for (let node = view.producer(output); node !== undefined;) {
    if (PROBABILITY.has(node.opType)) value = node.inputs[0]!;
    else if (!LAYOUT.has(node.opType)) break;
    node = view.producer(node.inputs[0]);
  }
  const logits = view.asRows(value);
  const node = view.core(value);
  if (node === undefined) {
    return { logits, headReason: `no node makes "${value}"; ${HINT.head}` };
  }
  return { logits, ...matchHead(node, view) };
}
