/**
 * Seeing that the class scores are a linear function of pooled features, and of which.
 *
 * @module
 */

import { type GraphView, lastLength } from "./_graph_view.ts";
import { HINT } from "./_hints.ts";
import { pooledMap } from "./_pooling.ts";
import type { ClassifierHead, ValueSource } from "./inspection.ts";
import type { OnnxNode } from "./node.ts";

/** What lies before class scores. */
export interface HeadMatch {
  /** The linear head. */
  readonly head?: ClassifierHead;
  /** Why there is none. */
  readonly headReason?: string;
  /** The penultimate features. */
  readonly features?: ValueSource;
}

/** Looks for a linear head that ends in a node, which is the last to change a number. */
export function matchHead(node: OnnxNode, view: GraphView): HeadMatch {
  if (node.opType === "Gemm") return matchGemm(node, view);
  if (node.opType === "MatMul") return matchMatMul(node, view);
  if (node.opType === "Add") {
    for (const [at, other] of [[0, 1], [1, 0]] as const) {
      const product = view.producer(node.inputs[at]);
      const bias = node.inputs[other]!;
      if (view.constant(bias) === undefined) continue;
      if (product?.opType === "MatMul") return matchMatMul(product, view, { bias });
    }
  }
  if (node.opType === "Conv") return matchConvolution(node, view);
  const map = pooledMap(node, view);
  if (map !== undefined) return matchPooledScores(node, view, { map });
  return {
    headReason: `the logits come out of ${node.opType} "${node.label}", which is no Gemm, ` +
      `MatMul or 1x1 convolution; ${HINT.head}`,
  };
}

function matchGemm(node: OnnxNode, view: GraphView): HeadMatch {
  const [x, weight, bias] = node.inputs;
  const dims = view.constant(weight)?.shape;
  if (dims?.length !== 2 || node.int("transA", 0) === 1) {
    return { headReason: `the weight of Gemm "${node.label}" is no constant; ${HINT.head}` };
  }
  const transposed = node.int("transB", 0) === 0;
  const head: ClassifierHead = {
    kind: "gemm",
    node: node.label,
    weight: weight!,
    ...(bias ? { bias } : {}),
    transposed,
    factors: [node.float("alpha", 1), node.float("beta", 1)],
    classes: dims[transposed ? 1 : 0]!,
    channels: dims[transposed ? 0 : 1]!,
  };
  return { head, features: view.asRows(x!) };
}

function matchMatMul(
  node: OnnxNode,
  view: GraphView,
  { bias }: { bias?: string } = {},
): HeadMatch {
  const [x, weight] = node.inputs;
  const dims = view.constant(weight)?.shape;
  const rank = view.shape(x)?.length ?? 2;
  if (dims?.length !== 2) {
    return { headReason: `the weight of MatMul "${node.label}" is no constant; ${HINT.head}` };
  }
  const features = view.asRows(x!);
  if (rank !== 2 && lastLength(features.shape) !== dims[0]) {
    return {
      headReason: `MatMul "${node.label}" classifies every token rather than the image; ` +
        HINT.head,
    };
  }
  const head: ClassifierHead = {
    kind: "matmul",
    node: node.label,
    weight: weight!,
    ...(bias === undefined ? {} : { bias }),
    transposed: true,
    factors: [1, 1],
    classes: dims[1]!,
    channels: dims[0]!,
  };
  return { head, features };
}

/** A 1x1 convolution on pooled features, or (`pooledAfter`) directly before the pooling. */
function matchConvolution(
  node: OnnxNode,
  view: GraphView,
  { pooledAfter = false }: { pooledAfter?: boolean } = {},
): HeadMatch {
  const [x, weight, bias] = node.inputs;
  const dims = view.constant(weight)?.shape;
  const shape = view.shape(x);
  const onVector = shape?.[2] === 1 && shape[3] === 1;
  const features = onVector && !pooledAfter ? view.asRows(x!) : view.asPooled(x!);
  if (dims === undefined || !isPointwise(node, dims)) {
    return {
      headReason: `convolution "${node.label}" makes the class scores and is not 1x1, so the ` +
        `logits are no linear function of pooled features`,
      features,
    };
  }
  if (!pooledAfter && !onVector) {
    return {
      headReason: `convolution "${node.label}" makes class scores per location and nothing ` +
        `pools them; ${HINT.head}`,
    };
  }
  const head: ClassifierHead = {
    kind: "conv",
    node: node.label,
    weight: weight!,
    ...(bias ? { bias } : {}),
    transposed: false,
    factors: [1, 1],
    classes: dims[0]!,
    channels: dims[1]!,
  };
  return { head, features };
}

function isPointwise(node: OnnxNode, dims: readonly number[]): boolean {
  return dims.length === 4 && dims[2] === 1 && dims[3] === 1 && node.int("group", 1) === 1 &&
    (node.ints("strides") ?? []).every((step) => step === 1) &&
    (node.ints("pads") ?? []).every((pad) => pad === 0);
}

/** Class scores that come out of pooling a map of scores. */
function matchPooledScores(
  pool: OnnxNode,
  view: GraphView,
  { map }: { map: string },
): HeadMatch {
  let node = view.producer(map);
  while (node !== undefined && ["Identity", "Dropout", "Cast"].includes(node.opType)) {
    node = view.producer(node.inputs[0]);
  }
  const averages = !pool.opType.includes("Max");
  if (node?.opType === "Conv" && averages) {
    return matchConvolution(node, view, { pooledAfter: true });
  }
  const inner = view.producer(node?.inputs[0]);
  if (node !== undefined && inner?.opType === "Conv") {
    const { features } = matchConvolution(inner, view, { pooledAfter: true });
    return {
      headReason: `the last convolution "${inner.label}" is followed by ${node.opType} before ` +
        `global pooling, so the logits are no linear function of the pooled features`,
      ...(features && { features }),
    };
  }
  if (node?.opType === "Conv") {
    return {
      headReason: `"${pool.label}" pools class scores by their maximum, so the logits are no ` +
        `linear function of pooled features`,
      features: { value: node.inputs[0]!, via: "pool" },
    };
  }
  return {
    headReason: `the output comes straight out of pooling ("${pool.label}"), so no classifier ` +
      `was found; ${HINT.head}`,
  };
}
