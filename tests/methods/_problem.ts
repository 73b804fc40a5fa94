/**
 * A small problem to fit scores to, and ways to score it.
 *
 * @module
 */

import { type FeatureSet, type HostArray, memoryFeatures } from "../../data/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import {
  chooseExecutor,
  type Fitted,
  formatTextLabels,
  scoreFeatures,
  type ScoreMethod,
} from "../../methods/mod.ts";
import { Host } from "../../runtime/mod.ts";

/** Floats with a shape. */
export function floats(values: ArrayLike<number>, shape: readonly number[]): HostArray {
  return { data: Float32Array.from(values), shape };
}

/** Whole numbers in one dimension. */
export function labelsOf(values: ArrayLike<number>): HostArray {
  return { data: Int32Array.from(values), shape: [values.length] };
}

/** Sizes of a problem. */
export interface ProblemSize {
  readonly rows: number;
  readonly channels: number;
  readonly classes: number;
}

/** A training set and a test set of one made-up model. */
export interface Problem extends ProblemSize {
  readonly seed: number;
  readonly arrays: {
    readonly train: Record<string, HostArray>;
    readonly test: Record<string, HostArray>;
  };
  readonly train: FeatureSet;
  readonly test: FeatureSet;
}

/** Negative labels of a problem. */
const NEGATIVES = 23;

/** The names of a problem's labels, as its metadata hold them. */
function labelNames(classes: number): Record<string, string> {
  const names = (count: number, name: string) => Array.from({ length: count }, (_, i) => name + i);
  const negatives = names(NEGATIVES, "other");
  const kinds = negatives.map(() => "word" as const);
  return formatTextLabels({ ids: names(classes, "class"), negatives, kinds, mining: "given" });
}

/** Clusters with noise of unequal variances behind a ReLU, and a head that tells them apart. */
export function makeProblem(seed: number, size: ProblemSize): Problem {
  const { rows, channels, classes } = size;
  const rng = new Rng(seed);
  const normals = (count: number) => Float32Array.from({ length: count }, () => rng.normal());
  const centres = normals(classes * channels).map((value) => 1.5 * value);
  const weight = centres.map((value) => 0.4 * value);
  const bias = normals(classes).map((value) => 0.3 * value);
  const text = new Rng(seed, 1);
  const embed = (count: number) => Float32Array.from({ length: count * 9 }, () => text.normal());
  const texts = floats(embed(classes + NEGATIVES), [classes + NEGATIVES, 9]);
  const make = (count: number, spread: number): Record<string, HostArray> => {
    const labels = Int32Array.from(
      { length: count },
      (_, n) => n < classes ? n : rng.integer(classes),
    );
    const features = new Float32Array(count * channels);
    for (let n = 0; n < count; n++) {
      for (let c = 0; c < channels; c++) {
        const noise = rng.normal() * spread * (0.3 + c / channels);
        features[n * channels + c] = Math.max(0, centres[labels[n]! * channels + c]! + noise);
      }
    }
    const logits = new Float32Array(count * classes);
    for (let n = 0; n < count; n++) {
      for (let k = 0; k < classes; k++) {
        let sum = bias[k]!;
        for (let c = 0; c < channels; c++) {
          sum += weight[k * channels + c]! * features[n * channels + c]!;
        }
        logits[n * classes + k] = sum;
      }
    }
    return {
      features: floats(features, [count, channels]),
      logits: floats(logits, [count, classes]),
      odin_logits: floats(logits.map((value) => 1.1 * value + 0.01), [count, classes]),
      labels: { data: labels, shape: [count] },
      feature_map: floats(normals(count * 3 * 4), [count, 3, 2, 2]),
      "head.weight": floats(weight, [classes, channels]),
      "head.bias": floats(bias, [classes]),
      image_embed: floats(embed(count), [count, 9]),
      text_embed: texts,
      logit_scale: floats([20], [1]),
    };
  };
  const arrays = { train: make(rows, 1), test: make(Math.ceil(rows / 3), 2) };
  return {
    ...size,
    seed,
    arrays,
    train: memoryFeatures(arrays.train, { path: "train", metadata: labelNames(classes) }),
    test: memoryFeatures(arrays.test, { path: "test" }),
  };
}

/** Parameters that fit small problems; the rest keeps its defaults. */
export const SMALL_PARAMETERS: Readonly<Record<string, Record<string, number>>> = {
  knn: { k: 3 },
  "neg_label": { groups: 5 },
};

/** Fits on the host. */
export function fitOnHost(
  method: ScoreMethod,
  train: FeatureSet,
  parameters: Readonly<Record<string, number>> = SMALL_PARAMETERS[method.name] ?? {},
): Promise<Fitted> {
  return method.fit({ train, parameters, context: new Host() });
}

/** Scores with the reference or in WebAssembly. */
export async function scoreOn(
  device: "reference" | "wasm",
  fitted: Fitted,
  set: FeatureSet,
): Promise<Float32Array> {
  using executor = await chooseExecutor(device);
  return await scoreFeatures(fitted, set, { executor });
}
