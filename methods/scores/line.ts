/**
 * LINe: the energy of a head that keeps what the predicted class needs.
 *
 * @module
 */

import { gatedProduct, rowArgmax, rowLogSumExp } from "../../kernels/mod.ts";
import type { GraphBuilder } from "../../onnx/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { type CheckedHead, readHead } from "../_fit.ts";
import { activationPercentile, valueAtPercentile } from "../_percentile.ts";
import { defineScore, type Learned, type LearnInput } from "../define.ts";
import type { FittedState, ScoreMethod } from "../score.ts";
import { placeArray, stateArray } from "../_state.ts";
import { type ClassMeans, classMeans, emptyClassWarnings } from "./_classes.ts";
import { constantArray, logSumExp } from "./_graph.ts";

const ASKING = { name: "line", title: "LINe" };

/**
 * LINe, log sum exp((W * M_y) (m_y * min(a, c)) + b): y is the class that the whole head gives the
 * clipped features. With s_y = (mean feature of class y) * W_y what each feature contributes to it,
 * m_y keeps the features whose s_y exceeds a percentile of them, and M_y the weights whose product
 * with |s_y| exceeds a percentile of all K * C such products.
 *
 * The authors clip at 0.8 for ImageNet, with both percentiles 10, and at 1 for CIFAR, with both 90
 * (CIFAR-100: 10 for features); without a wish c is a percentile of the training activations. Masks
 * are made while the product runs; the fit keeps |s_y| and one bound for each class. Classes without
 * rows keep nothing, with a warning: what is taken for them gets the energy of the bias.
 *
 * @example Nothing is left out but the least feature and weight
 * ```ts
 * import { line } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([3, 1, 0, 2]), shape: [2, 2] },
 *   labels: { data: new Int32Array([0, 1]), shape: [2] },
 *   "head.weight": { data: new Float32Array([1, 0.5, 0.1, 1]), shape: [2, 2] },
 * });
 * const parameters = { clip: 5, "activation_percentile": 0, "weight_percentile": 0 };
 * const fitted = await line.fit({ train, context: host, parameters });
 * const features = host.upload(new Float32Array([4, 9]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * // Clipped to (4, 5), class 0 is predicted: its contributions are (3, 0.5), and only the first of
 * // them stays, along with the weights 1 and 0.1.
 * assertAlmostEquals(scores![0]!, Math.log(Math.exp(4) + Math.exp(0.4)), 1e-5);
 * ```
 */
export const line: ScoreMethod = defineScore({
  ...ASKING,
  source: "Ahn et al. 2023, arXiv 2303.13995",
  summary: "The energy of the features and weights that the predicted class needs most",
  needs: ["features"],
  fitNeeds: ["features", "labels", "head.weight"],
  usesValidation: false,
  parameters: [
    {
      name: "percentile",
      description: "Which percentile of training activations clip is, where clip is not given",
      default: 90,
      minimum: 0,
      maximum: 100,
      search: [80, 85, 90, 95],
    },
    {
      name: "clip",
      description: "Where activations are clipped",
      rule: "the percentile of training activations",
      search: [0.8, 1],
    },
    {
      name: "activation_percentile",
      description: "Share of a class's features that count as zero",
      default: 90,
      minimum: 0,
      maximum: 100,
      search: [10, 50, 90],
    },
    {
      name: "weight_percentile",
      description: "Share of all weights that count as zero for a class",
      default: 90,
      minimum: 0,
      maximum: 100,
      search: [10, 50, 90],
    },
  ],
  evidence: { quantity: "energy of what the predicted class needs", negated: false },
  arrays: { weight: 2, bias: 1, gates: 2, bounds: 1 },
  learn,
  place(context, state) {
    const weight = placeArray(context, state, "weight");
    const bias = placeArray(context, state, "bias");
    const gates = placeArray(context, state, "gates");
    const bounds = placeArray(context, state, "bounds");
    const options = { clip: state.parameters["clip"]! };
    return (scope, batch) => {
      const head = { features: batch["features"]!, weight, bias };
      using whole = gatedProduct(scope, head, options);
      using index = rowArgmax(scope, { x: whole });
      using masked = gatedProduct(scope, { ...head, mask: { gates, bounds, index } }, options);
      return rowLogSumExp(scope, { x: masked });
    };
  },
  // A row's masked weights are written before they are multiplied, with their products and whether
  // these exceed the bound.
  graphRowBytes: (state) => 9 * state.arrays["weight"]!.shape.reduce((a, b) => a * b, 1),
  graph: maskedGraph,
});

function maskedGraph(
  builder: GraphBuilder,
  inputs: Readonly<Record<string, string>>,
  state: FittedState,
): string {
  const weight = constantArray(builder, state, "weight");
  const bias = constantArray(builder, state, "bias");
  const zero = builder.constant(0);
  const clipped = builder.clip(inputs["features"]!, { max: state.parameters["clip"]! });
  const whole = builder.node("Gemm", [clipped, weight, bias], { attributes: { transB: 1n } });
  const index = builder.node("ArgMax", [whole], { attributes: { axis: 1n, keepdims: 0n } });
  const of = (name: string) =>
    builder.node("Gather", [constantArray(builder, state, name), index], {
      attributes: { axis: 0n },
    });
  const gates = of("gates");
  const features = builder.node("Where", [builder.node("Less", [gates, zero]), zero, clipped]);
  const products = builder.node("Mul", [builder.unsqueeze(gates, [1]), weight]);
  const above = builder.node("Greater", [products, builder.unsqueeze(of("bounds"), [1, 2])]);
  const kept = builder.node("Where", [above, weight, zero]);
  const z = builder.node("MatMul", [kept, builder.unsqueeze(features, [2])]);
  return logSumExp(builder, builder.node("Add", [builder.squeeze(z, [2]), bias]));
}

async function learn(input: LearnInput): Promise<Learned> {
  const { train, parameters } = input;
  const head = await readHead(input, "line");
  const { weight, bias, K, C } = head;
  const classes = await classMeans(input, ASKING, K);
  if (classes.counts.length > K) {
    throw new UserError(
      `Cannot fit "line": "${train.path}" has the label ${
        classes.counts.length - 1
      }, and its head ` +
        `has ${K} classes`,
    );
  }
  const clip = parameters["clip"] ?? await activationPercentile(input, parameters["percentile"]!);
  const { gates, bounds } = gatesOf(input, head, classes);
  return {
    arrays: {
      weight: stateArray(weight, [K, C]),
      bias: stateArray(bias, [K]),
      gates: stateArray(gates, [K, C]),
      bounds: stateArray(bounds, [K]),
    },
    parameters: { clip },
    warnings: [...head.warnings, ...emptyClassWarnings(train.path, ASKING, classes.counts)],
  };
}

/** A gate that keeps a feature out. */
const SHUT = -1;

/**
 * For each class |s_y|, or a negative number where the feature is left out, and the largest product
 * of a weight and |s_y| that is left out.
 */
function gatesOf(
  input: LearnInput,
  head: CheckedHead,
  classes: ClassMeans,
): { gates: Float32Array<ArrayBuffer>; bounds: Float32Array<ArrayBuffer> } {
  const { weight, K, C } = head;
  const gates = new Float32Array(K * C);
  const bounds = new Float32Array(K);
  // Rounded as they are where scores are computed, so that the bound separates the same ones there.
  const products = new Float32Array(K * C);
  for (let y = 0; y < K; y++) {
    const gate = gates.subarray(y * C, (y + 1) * C);
    const contributions = Float64Array.from(
      gate,
      (_, c) => classes.means[y * C + c]! * weight[y * C + c]!,
    );
    contributions.forEach((value, c) => gate[c] = Math.abs(value));
    for (let k = 0; k < K; k++) {
      for (let c = 0; c < C; c++) products[k * C + c] = weight[k * C + c]! * gate[c]!;
    }
    bounds[y] = valueAtPercentile(products, input.parameters["weight_percentile"]!);
    const least = valueAtPercentile(
      contributions.slice(),
      input.parameters["activation_percentile"]!,
    );
    contributions.forEach((value, c) => {
      if (value <= least) gate[c] = SHUT;
    });
    const done = Math.floor((y + 1) / K * input.train.count);
    input.onProgress?.({ stage: "masks", done, total: input.train.count });
  }
  return { gates, bounds };
}
