/**
 * Mahalanobis: the distance to the nearest class mean under a shared covariance.
 *
 * @module
 */

import { combineRows, euclideanMin, matmul } from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { chunkRows, floats, streamRows, sumOfProducts } from "../_fit.ts";
import { defineScore, type Learned, type LearnInput } from "../define.ts";
import { whitening } from "../numerics/mod.ts";
import type { ScoreMethod } from "../score.ts";
import { placeArray, stateArray, wholeArray } from "../_state.ts";
import { constantArray, negatedDistance, rankingDistances, squaredNorms } from "./_graph.ts";

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
  name: "mahalanobis",
  title: "Mahalanobis",
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

/** Sums of a class. */
interface ClassMeans {
  /** [K, C]; rows of classes without samples are zero. */
  readonly means: Float64Array<ArrayBuffer>;
  /** Samples by class. */
  readonly counts: Float64Array<ArrayBuffer>;
  /** Samples with a label. */
  readonly labelled: number;
}

async function learn(input: LearnInput): Promise<Learned> {
  const { train, context } = input;
  const columns = train.shape("features")[1]!;
  const classes = await classMeans(input, columns);
  const { means, counts, labelled } = classes;
  if (labelled === 0) {
    throw new UserError(
      `Cannot fit "mahalanobis": no row of "${train.path}" has a label; extract with --labels ` +
        "to store them",
    );
  }
  const residuals = centredRows(input, { classes, columns });
  const scatter = await sumOfProducts(context, residuals, { rows: labelled, columns });
  const covariance = scatter.map((value) => value / labelled);
  const { matrix, rank } = whitening(covariance, columns);
  if (rank === 0) {
    throw new UserError(
      `Cannot fit "mahalanobis": the features of "${train.path}" do not vary within any class`,
    );
  }
  const present = [...counts.keys()].filter((k) => counts[k]! > 0);
  // Whitened values are taken about the overall mean: far from zero they would cancel in float32.
  const middle = new Float64Array(columns);
  for (const k of present) {
    for (let c = 0; c < columns; c++) {
      middle[c] = middle[c]! + means[k * columns + c]! * counts[k]! / labelled;
    }
  }
  const whiten = (row: Float64Array): Float64Array<ArrayBuffer> => times(row, matrix, rank);
  const centres = new Float64Array(present.length * rank);
  present.forEach((k, i) => {
    const mean = means.subarray(k * columns, (k + 1) * columns);
    centres.set(whiten(mean.map((value, c) => value - middle[c]!)), i * rank);
  });
  return {
    arrays: {
      whitening: stateArray(matrix, [columns, rank]),
      offset: stateArray(whiten(middle).map((value) => -value), [rank]),
      centres: stateArray(centres, [present.length, rank]),
    },
    warnings: emptyClassWarnings(train.path, counts),
  };
}

async function classMeans(input: LearnInput, columns: number): Promise<ClassMeans> {
  const { train } = input;
  const sums: Float64Array<ArrayBuffer>[] = [];
  const counts: number[] = [];
  let labelled = 0;
  const known = train.has("logits") ? train.shape("logits")[1]! : 0;
  const ensure = (k: number): void => {
    while (sums.length <= k) {
      sums.push(new Float64Array(columns));
      counts.push(0);
    }
  };
  if (known > 0) ensure(known - 1);
  const stream = streamRows(train, ["features", "labels"], { input, stage: "class means" });
  for await (const batch of stream) {
    const data = floats(batch, "features");
    const labels = batch.get("labels").data;
    for (let n = 0; n < batch.rows; n++) {
      const label = labels[n]!;
      if (label < 0) continue;
      requireLabel(label, train.path);
      ensure(label);
      const sum = sums[label]!;
      for (let c = 0; c < columns; c++) sum[c] = sum[c]! + data[n * columns + c]!;
      counts[label] = counts[label]! + 1;
      labelled++;
    }
  }
  const means = new Float64Array(sums.length * columns);
  sums.forEach((sum, k) => {
    for (let c = 0; c < columns; c++) means[k * columns + c] = sum[c]! / Math.max(1, counts[k]!);
  });
  return { means, counts: Float64Array.from(counts), labelled };
}

/** More classes than this are a mistake: identifiers, for example, taken for labels. */
const MAX_CLASSES = 1_000_000;

function requireLabel(label: number, path: string): void {
  if (label < MAX_CLASSES) return;
  throw new UserError(
    `Cannot fit "mahalanobis": "${path}" has the label ${label}, and class numbers below ` +
      `${MAX_CLASSES} were expected`,
  );
}

/** Labelled rows less the mean of their class, in float64. */
async function* centredRows(
  input: LearnInput,
  about: { readonly classes: ClassMeans; readonly columns: number },
): AsyncGenerator<Float64Array<ArrayBuffer>> {
  const { columns } = about;
  const { means } = about.classes;
  const rows = new Float64Array(chunkRows(columns) * columns);
  const stream = streamRows(input.train, ["features", "labels"], { input, stage: "covariance" });
  for await (const batch of stream) {
    const data = floats(batch, "features");
    const labels = batch.get("labels").data;
    let end = 0;
    for (let n = 0; n < batch.rows; n++) {
      const mean = labels[n]! * columns;
      if (mean < 0) continue;
      for (let c = 0; c < columns; c++) rows[end++] = data[n * columns + c]! - means[mean + c]!;
    }
    yield rows.slice(0, end);
  }
}

/** row * matrix, with the matrix [row.length, columns]. */
function times(
  row: Float64Array,
  matrix: Float64Array,
  columns: number,
): Float64Array<ArrayBuffer> {
  const result = new Float64Array(columns);
  row.forEach((value, r) => {
    for (let c = 0; c < columns; c++) result[c] = result[c]! + value * matrix[r * columns + c]!;
  });
  return result;
}

const LISTED_CLASSES = 10;

function emptyClassWarnings(path: string, counts: Float64Array): string[] {
  const empty = [...counts.keys()].filter((k) => counts[k] === 0);
  if (empty.length === 0) return [];
  const listed = empty.slice(0, LISTED_CLASSES).join(", ");
  const more = empty.length > LISTED_CLASSES ? ", ..." : "";
  return [
    `Mahalanobis leaves out ${empty.length} of ${counts.length} classes that have no rows in ` +
    `"${path}": ${listed}${more}`,
  ];
}
