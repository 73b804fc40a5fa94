/**
 * Mahalanobis: the distance to the nearest class mean under a shared covariance.
 *
 * @module
 */

import { combineRows, euclideanMin, matmul } from "../../kernels/mod.ts";
import { defineScore, type Learned, type LearnInput } from "../define.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray, stateArray, wholeArray } from "../_state.ts";
import { classMeans, emptyClassWarnings, times, whitenClasses } from "./_classes.ts";
import { constantArray, negatedDistance, rankingDistances, squaredNorms } from "./_graph.ts";

const ASKING = { name: "mahalanobis", title: "Mahalanobis" };

/**
 * Mahalanobis (MDS), -min_c (a - mu_c)' pinv(S) (a - mu_c) with S the covariance within classes,
 * divided by N.
 *
 * Means and S are float64. Eigenvalues of S at or below C * 2^-23 of the largest one count as zero.
 * The fit keeps L with L L' = pinv(S) and the whitened means, so that scoring is one product and
 * the nearest of K points. Training rows without a label are left out, and so are classes without
 * rows, with a warning.
 *
 * @example One class with unit variance
 * ```ts
 * import { mahalanobis } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([1, -1]), shape: [2, 1] },
 *   labels: { data: new Int32Array(2), shape: [2] },
 * });
 * const fitted = await mahalanobis.fit({ train, context: host });
 * const features = host.upload(new Float32Array([3]), [1, 1]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, -9, 1e-5);
 * ```
 */
export const mahalanobis: ScoreMethod = defineScore({
  ...ASKING,
  source: "Lee et al. 2018, arXiv 1807.03888",
  summary: "Minus the squared distance to the nearest class mean under a shared covariance",
  needs: ["features"],
  fitNeeds: ["features", "labels"],
  usesValidation: false,
  parameters: [],
  evidence: {
    quantity: "squared Mahalanobis distance to the nearest class",
    negated: true,
  },
  arrays: { whitening: 2, offset: 1, centres: 2 },
  learn,
  place(context, state) {
    const b = placeArray(context, state, "whitening");
    const bias = placeArray(context, state, "offset");
    const centres = placeArray(context, state, "centres");
    return (scope, batch) => {
      const features = matmul(scope, { a: batch["features"]!, b, bias });
      return combineRows(scope, { a: euclideanMin(scope, { features, centres }).value }, {
        scale: -1,
      });
    };
  },
  graph(builder, inputs, state) {
    const table = constantArray(builder, state, "centres");
    const x = builder.node("Gemm", [
      inputs["features"]!,
      constantArray(builder, state, "whitening"),
      constantArray(builder, state, "offset"),
    ]);
    const distances = rankingDistances(builder, x, {
      name: table,
      squaredNorms: squaredNorms(wholeArray(state, "centres"), state.arrays["centres"]!.shape[1]!),
    });
    const index = builder.node("ArgMin", [distances], { attributes: { axis: 1n, keepdims: 0n } });
    return negatedDistance(builder, { x, table, index });
  },
});

async function learn(input: LearnInput): Promise<Learned> {
  const classes = await classMeans(input, ASKING);
  const { whitening, middle, centres } = await whitenClasses(input, ASKING, classes);
  const { matrix, rank } = whitening;
  return {
    arrays: {
      whitening: stateArray(matrix, [classes.columns, rank]),
      offset: stateArray(times(middle, matrix, rank).map((value) => -value), [rank]),
      centres: stateArray(centres, [classes.present.length, rank]),
    },
    warnings: emptyClassWarnings(input.train.path, ASKING, classes.counts),
  };
}
