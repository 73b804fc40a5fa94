/**
 * RMDS: the Mahalanobis distance to the nearest class, relative to the one to all classes as one.
 *
 * @module
 */

import { combineRows, euclideanMin, matmul, quadraticForm } from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { defineScore, type Learned, type LearnInput } from "../define.ts";
import { eigh, GramSum } from "../numerics/mod.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray, stateArray, wholeArray } from "../_state.ts";
import {
  classMeans,
  emptyClassWarnings,
  times,
  whitenClasses,
  type WhitenedClasses,
} from "./_classes.ts";
import { constantArray, negatedDistance, rankingDistances, squaredNorms } from "./_graph.ts";

const ASKING = { name: "rmds", title: "RMDS" };

/**
 * Variances between classes at or below this share of the largest one, or of the one within classes,
 * are rounding of float64; a difference of distances goes with their root.
 */
const BETWEEN_EPSILON = 2 ** -44;

/**
 * RMDS, max_c(-d_c) + d_0: d_c the squared Mahalanobis distance to class c under the covariance
 * within classes, d_0 the one to the mean of all rows under the covariance of all rows, both divided
 * by N.
 *
 * The covariance of all rows is the one within classes plus the one of the class means, so both
 * distances agree in all directions but those that class means differ in. Only these are kept: with
 * v the row in whitened units along them, v_c the class means and b_j their variance along axis j,
 * the score is -min_c |v - v_c|^2 + sum_j v_j^2 / (1 + b_j). That is K - 1 numbers instead of C, and
 * no difference of two large ones.
 *
 * Eigenvalues within classes at or below C * 2^-23 of the largest one count as zero, and what lies
 * along them is left out of both distances. So are rows without a label and, with a warning, classes
 * without rows.
 *
 * @example Two classes with unit variance about -2 and 2
 * ```ts
 * import { rmds } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([-3, -1, 1, 3]), shape: [4, 1] },
 *   labels: { data: new Int32Array([0, 0, 1, 1]), shape: [4] },
 * });
 * const fitted = await rmds.fit({ train, context: host });
 * const features = host.upload(new Float32Array([5]), [1, 1]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, -(3 ** 2) + 5 ** 2 / (1 + 2 ** 2), 1e-5);
 * ```
 */
export const rmds: ScoreMethod = defineScore({
  ...ASKING,
  source: "Ren et al. 2021, arXiv 2106.09022",
  summary: "The Mahalanobis score less that of all classes taken as one",
  needs: ["features"],
  fitNeeds: ["features", "labels"],
  usesValidation: false,
  parameters: [],
  evidence: { quantity: "relative squared Mahalanobis distance", negated: true },
  arrays: { projection: 2, offset: 1, centres: 2, shrink: 1 },
  learn,
  place(context, state) {
    const b = placeArray(context, state, "projection");
    const bias = placeArray(context, state, "offset");
    const centres = placeArray(context, state, "centres");
    const shrink = wholeArray(state, "shrink");
    const r = shrink.length;
    const mean = context.upload(new Float32Array(r), [r]);
    const whitening = context.upload(diagonal(shrink), [r, r]);
    return (scope, batch) => {
      using features = matmul(scope, { a: batch["features"]!, b, bias });
      using near = euclideanMin(scope, { features, centres }).value;
      using all = quadraticForm(scope, { x: features, mean, whitening });
      return combineRows(scope, { a: near, b: all }, { scale: -1 });
    };
  },
  graph(builder, inputs, state) {
    const table = constantArray(builder, state, "centres");
    const x = builder.node("Gemm", [
      inputs["features"]!,
      constantArray(builder, state, "projection"),
      constantArray(builder, state, "offset"),
    ]);
    const distances = rankingDistances(builder, x, {
      name: table,
      squaredNorms: squaredNorms(wholeArray(state, "centres"), state.arrays["centres"]!.shape[1]!),
    });
    const index = builder.node("ArgMin", [distances], { attributes: { axis: 1n, keepdims: 0n } });
    const shrunk = builder.node("Mul", [x, constantArray(builder, state, "shrink")]);
    const all = builder.reduce("ReduceSumSquare", shrunk, { axes: [1] });
    return builder.node("Add", [negatedDistance(builder, { x, table, index }), all]);
  },
});

function diagonal(values: Float32Array): Float32Array<ArrayBuffer> {
  const matrix = new Float32Array(values.length ** 2);
  values.forEach((value, i) => matrix[i * values.length + i] = value);
  return matrix;
}

async function learn(input: LearnInput): Promise<Learned> {
  const classes = await classMeans(input, ASKING);
  const { present, counts, labelled, columns } = classes;
  if (present.length < 2) {
    throw new UserError(
      `Cannot fit "rmds": the rows of "${input.train.path}" are of one class, and two or more were ` +
        "expected; with one class the score is zero everywhere",
    );
  }
  const whitened = await whitenClasses(input, ASKING, classes);
  const { matrix, rank } = whitened.whitening;
  const shares = Float64Array.from(present, (k) => counts[k]! / labelled);
  const { axes, variances } = axesBetween(whitened, shares);
  const r = variances.length;
  if (r === 0) {
    throw new UserError(
      `Cannot fit "rmds": the classes of "${input.train.path}" have the same mean`,
    );
  }
  const along = (rows: Float64Array, width: number): Float64Array<ArrayBuffer> => {
    const result = new Float64Array(rows.length / width * r);
    for (let i = 0; i * width < rows.length; i++) {
      result.set(times(rows.subarray(i * width, (i + 1) * width), axes, r), i * r);
    }
    return result;
  };
  const projection = along(matrix, rank);
  return {
    arrays: {
      projection: stateArray(projection, [columns, r]),
      offset: stateArray(times(whitened.middle, projection, r).map((value) => -value), [r]),
      centres: stateArray(along(whitened.centres, rank), [present.length, r]),
      shrink: stateArray(variances.map((value) => 1 / Math.sqrt(1 + value)), [r]),
    },
    warnings: emptyClassWarnings(input.train.path, ASKING, counts),
  };
}

/**
 * Directions that whitened class means differ in, as orthonormal columns [rank, r], and the variance
 * of the means along each.
 */
function axesBetween(
  classes: WhitenedClasses,
  shares: Float64Array,
): { axes: Float64Array<ArrayBuffer>; variances: Float64Array<ArrayBuffer> } {
  const { whitening: { rank }, centres } = classes;
  const scaled = centres.map((value, i) => value * Math.sqrt(shares[Math.floor(i / rank)]!));
  // The smaller of the two Gram matrices has the same eigenvalues but for zeros.
  const wide = shares.length < rank;
  const rows = wide ? transpose(scaled, rank) : scaled;
  const size = wide ? shares.length : rank;
  const gram = new GramSum(size);
  gram.add(rows, rows.length / size);
  const { values, vectors } = eigh(gram.value(), size);
  // Within classes the variance is one, which is what a small one is small against.
  const cutOff = size * BETWEEN_EPSILON * Math.max(1, values[size - 1]!);
  const kept = [...values.keys()].filter((i) => values[i]! > cutOff);
  const r = kept.length;
  const axes = new Float64Array(rank * r);
  kept.forEach((from, column) => {
    const vector = vectors.subarray(from * size, (from + 1) * size);
    const axis = wide ? times(vector, scaled, rank) : vector;
    const scale = wide ? 1 / Math.sqrt(values[from]!) : 1;
    for (let i = 0; i < rank; i++) axes[i * r + column] = axis[i]! * scale;
  });
  return { axes, variances: Float64Array.from(kept, (i) => values[i]!) };
}

function transpose(rows: Float64Array, columns: number): Float64Array<ArrayBuffer> {
  const count = rows.length / columns;
  return Float64Array.from(rows, (_, i) => rows[i % count * columns + Math.floor(i / count)]!);
}
