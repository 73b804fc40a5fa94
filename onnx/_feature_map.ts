/**
 * Finding the last feature map: back from the penultimate features to the value that was pooled.
 *
 * @module
 */

import { type GraphView, LAYOUT } from "./_graph_view.ts";
import { HINT } from "./_hints.ts";
import { pooledMap } from "./_pooling.ts";
import { doesNotFit } from "./_sidecar_fit.ts";
import type { FeatureMap, ValueSource } from "./inspection.ts";
import type { OnnxNode } from "./node.ts";

/** Operators on vectors that may stand between pooling and the penultimate features. */
const ON_VECTORS: ReadonlySet<string> = new Set(
  ("Relu LeakyRelu PRelu Clip Sigmoid HardSigmoid HardSwish Swish Mish Gelu Elu Celu Selu Tanh Erf " +
    "Softplus BatchNormalization LayerNormalization LpNormalization Gemm MatMul Add Sub Mul Div " +
    "Pow Sqrt ReduceL2 Conv Max Min").split(" "),
);

/** Operators whose result is never negative. */
const NON_NEGATIVE: ReadonlySet<string> = new Set("Relu Sigmoid HardSigmoid Softmax".split(" "));

/** Operators whose result is not negative when no input is. */
const KEEPS_SIGN: ReadonlySet<string> = new Set(
  "MaxPool AveragePool Concat Add Mul Identity Dropout Cast Pad Transpose".split(" "),
);

/** How many operators that keep the sign are followed back. */
const MAX_DEPTH = 8;

/** Where a walk back from the features ends. */
interface Walk {
  /** The map. */
  readonly value?: string;
  /** Whether the mean over H and W of the map is exactly the features. */
  readonly exact: boolean;
  /** Why there is no map. */
  readonly reason?: string;
}

/** The last feature map, or why there is none; a name from the sidecar goes before. */
export function findFeatureMap(
  features: ValueSource | undefined,
  { view, named }: { view: GraphView; named: string | undefined },
): { featureMap?: FeatureMap; reason?: string } {
  if (named !== undefined) {
    checkRank(named, view);
    return { featureMap: mapAt(named, { view, features }) };
  }
  const walk = features && walkToMap(features, view);
  if (walk === undefined) {
    return {
      reason: `the map is looked for behind the penultimate features, and those were not found; ` +
        HINT.featureMap,
    };
  }
  const { value, exact, reason } = walk;
  if (value === undefined) return { reason: `${reason}; ${HINT.featureMap}` };
  return { featureMap: describeMap(value, { view, pooledToFeatures: exact }) };
}

/** A value as the feature map. */
export function mapAt(
  value: string,
  { view, features }: { view: GraphView; features: ValueSource | undefined },
): FeatureMap {
  const walk = features && walkToMap(features, view);
  const pooledToFeatures = walk !== undefined && walk.value === value && walk.exact;
  return describeMap(value, { view, pooledToFeatures });
}

function checkRank(named: string, view: GraphView): void {
  const shape = view.shape(named);
  if (shape === undefined || shape.length === 4) return;
  throw doesNotFit(
    view,
    `"outputs.feature_map" names "${named}", which has the shape [${shape.join(", ")}] and not ` +
      `[N, C, H, W]`,
  );
}

function describeMap(
  value: string,
  { view, pooledToFeatures }: { view: GraphView; pooledToFeatures: boolean },
): FeatureMap {
  return { ...view.asIs(value), afterRelu: isNonNegative(value, view), pooledToFeatures };
}

function walkToMap(features: ValueSource, view: GraphView): Walk {
  if (features.via === "pool") return { value: features.value, exact: true };
  let { value } = features;
  let exact = true;
  for (;;) {
    const node = view.producer(value);
    if (node === undefined) {
      return { exact, reason: `nothing between "${value}" and the features pools over H and W` };
    }
    // Flattened without pooling, or a graph whose pooling was not recognised.
    if (view.isMap(value)) return { value, exact: false };
    const pooled = pooledMap(node, view);
    if (pooled !== undefined) {
      return { value: pooled, exact: exact && !node.opType.includes("Max") };
    }
    const step = stepBack(node, view);
    if ("reason" in step) return { exact, reason: step.reason };
    value = step.value;
    exact &&= step.exact;
  }
}

/** The value that a node works on, and whether the node leaves its numbers alone. */
function stepBack(
  node: OnnxNode,
  view: GraphView,
): { value: string; exact: boolean } | { reason: string } {
  if (node.opType.startsWith("Reduce") && node.opType !== "ReduceL2") {
    return {
      reason: `"${node.label}" reduces tokens or a layout other than [N, C, H, W], so there is ` +
        `no spatial map`,
    };
  }
  const inputs = node.inputs.filter((input) => input !== "" && view.constant(input) === undefined);
  const value = inputs[0] ?? "";
  if (LAYOUT.has(node.opType)) return { value, exact: true };
  if (ON_VECTORS.has(node.opType) && (node.opType !== "MatMul" || inputs.length === 1)) {
    return { value, exact: false };
  }
  return {
    reason: `the features come through ${node.opType} "${node.label}", as in models that work on ` +
      `tokens, so there is no spatial map`,
  };
}

function isNonNegative(value: string, view: GraphView, depth = 0): boolean {
  const node = view.producer(value);
  if (node === undefined || depth > MAX_DEPTH) return false;
  if (NON_NEGATIVE.has(node.opType)) return true;
  if (node.opType === "Clip") return clipsNegatives(node, view);
  if (!KEEPS_SIGN.has(node.opType)) return false;
  const inputs = node.opType === "Pad" ? node.inputs.slice(0, 1) : node.inputs;
  const data = inputs.filter((input) => input !== "" && view.shape(input)?.length === 4);
  return data.length > 0 && data.every((input) => isNonNegative(input, view, depth + 1));
}

function clipsNegatives(node: OnnxNode, view: GraphView): boolean {
  const low = view.constant(node.inputs[1]);
  return (low === undefined ? node.float("min", -Infinity) : Number(low.data[0])) >= 0;
}
