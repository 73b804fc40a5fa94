/**
 * SSD: the Mahalanobis distance of normalised features to all of the training data as one cluster.
 *
 * @module
 */

import { combineRows, l2Normalize, quadraticForm } from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { floats, streamRows, sumOfProducts } from "../_fit.ts";
import { defineScore, type Learned, type LearnInput } from "../define.ts";
import { FLOAT32_EPSILON, whitening } from "../numerics/mod.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray, stateArray } from "../_state.ts";
import { constantArray } from "./_graph.ts";

/** Below this length a vector counts as zero, as in the normalising kernel. */
const EPSILON = 1e-12;
/** Added to deviations, as the method's authors do. */
const DEVIATION_SHIFT = 1e-10;

/**
 * SSD, -(s - m)' pinv(S) (s - m): features at unit length, each channel less its training mean and
 * over its training deviation; one mean and one covariance (divided by N) for all of them.
 *
 * Eigenvalues of S at or below C * 2^-23 of the largest one count as zero; channels that do not vary
 * are left out. SSD+ is this score on the features of an encoder that was trained with the
 * supervised contrastive loss; features of an ordinary classifier give it less to see.
 *
 * @example Far from two neighbours on the unit circle
 * ```ts
 * import { ssd } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([0.8, 0.6, 8, -6]), shape: [2, 2] },
 * });
 * const fitted = await ssd.fit({ train, context: host });
 * const features = host.upload(new Float32Array([0, 7]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, -((1 / 0.6) ** 2), 1e-5);
 * ```
 */
export const ssd: ScoreMethod = defineScore({
  name: "ssd",
  title: "SSD",
  source: "Sehwag et al. 2021, arXiv 2103.12051",
  summary: "Minus the squared Mahalanobis distance of normalised features to the training data",
  needs: ["features"],
  fitNeeds: ["features"],
  usesValidation: false,
  parameters: [],
  evidence: { quantity: "squared distance to the training data", negated: true },
  arrays: { mean: 1, whitening: 2 },
  learn,
  place(context, state) {
    const mean = placeArray(context, state, "mean");
    const whitening = placeArray(context, state, "whitening");
    return (scope, batch) => {
      using x = l2Normalize(scope, { x: batch["features"]! }, { epsilon: EPSILON });
      using a = quadraticForm(scope, { x, mean, whitening });
      return combineRows(scope, { a }, { scale: -1 });
    };
  },
  graph(builder, inputs, state) {
    const features = inputs["features"]!;
    const norm = builder.reduce("ReduceL2", features, { axes: [1], keepDims: true });
    const unit = builder.node("Div", [features, builder.clip(norm, { min: EPSILON })]);
    const gap = builder.node("Sub", [unit, constantArray(builder, state, "mean")]);
    const whitened = builder.node("MatMul", [gap, constantArray(builder, state, "whitening")]);
    return builder.node("Neg", [builder.reduce("ReduceSumSquare", whitened, { axes: [1] })]);
  },
});

async function learn(input: LearnInput): Promise<Learned> {
  const { train, context } = input;
  const columns = train.shape("features")[1]!;
  const rows = train.count;
  const mean = new Float64Array(columns);
  for await (const unit of unitRows(input, "mean")) {
    unit.forEach((value, i) => mean[i % columns] = mean[i % columns]! + value / rows);
  }
  const scatter = await sumOfProducts(context, aboutMean(input, mean), { rows, columns });
  // Standardising scales rows and columns of the covariance. A channel that varies by no more than
  // float32 rounds stays out.
  const scales = mean.map((value, c) => {
    const deviation = Math.sqrt(Math.max(0, scatter[c * columns + c]! / rows));
    const rounding = FLOAT32_EPSILON * Math.abs(value);
    return deviation <= rounding ? 0 : 1 / (deviation + DEVIATION_SHIFT);
  });
  const covariance = scatter.map((value, i) =>
    value / rows * scales[Math.floor(i / columns)]! * scales[i % columns]!
  );
  const { matrix, rank } = whitening(covariance, columns);
  if (rank === 0) {
    throw new UserError(
      `Cannot fit "ssd": the features of "${train.path}" do not vary once they are normalised`,
    );
  }
  return {
    arrays: {
      mean: stateArray(mean, [columns]),
      whitening: stateArray(
        matrix.map((value, i) => value * scales[Math.floor(i / rank)]!),
        [columns, rank],
      ),
    },
  };
}

/** Training rows at unit length, in float64. */
async function* unitRows(
  input: LearnInput,
  stage: string,
): AsyncGenerator<Float64Array<ArrayBuffer>> {
  const columns = input.train.shape("features")[1]!;
  for await (const batch of streamRows(input.train, ["features"], { input, stage })) {
    const rows = Float64Array.from(floats(batch, "features"));
    for (let start = 0; start < rows.length; start += columns) {
      const row = rows.subarray(start, start + columns);
      let squared = 0;
      for (const value of row) squared += value * value;
      const length = Math.max(Math.sqrt(squared), EPSILON);
      for (let c = 0; c < columns; c++) row[c] = row[c]! / length;
    }
    yield rows;
  }
}

async function* aboutMean(
  input: LearnInput,
  mean: Float64Array,
): AsyncGenerator<Float64Array<ArrayBuffer>> {
  for await (const rows of unitRows(input, "covariance")) {
    yield rows.map((value, i) => value - mean[i % mean.length]!);
  }
}
