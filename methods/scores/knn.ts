/**
 * KNN: how far the k-th nearest training image is.
 *
 * @module
 */

import { combineRows, kNearest, l2Normalize } from "../../kernels/mod.ts";
import { type Context, type Tensor, UserError } from "../../runtime/mod.ts";
import { floats, streamRows } from "../_fit.ts";
import { defineScore, type LearnInput } from "../define.ts";
import type { FittedState, ScoreMethod, Scorer, StateArray } from "../score.ts";
import { wholeArray } from "../_state.ts";
import { negatedDistance, rankingDistances, squaredNorms } from "./_graph.ts";

/** Bytes of one part of the bank: well below the smallest binding. */
const PART_BYTES = 32 << 20;
/** A bank up to this size stays where scoring runs; a larger one passes through part by part. */
const RESIDENT_BYTES = 1 << 30;
/** What the kernel keeps for each row at most. */
const MAX_NEIGHBOURS = 1024;
/** Below this length a vector counts as zero, as in the normalising kernel. */
const EPSILON = 1e-12;

/**
 * KNN, minus the squared Euclidean distance from a normalised feature vector to its k-th nearest
 * neighbour among the normalised training features.
 *
 * The bank is held on the host in parts; a bank beyond 1 GiB passes through the device part by part
 * for each batch.
 *
 * @example The nearest of two
 * ```ts
 * import { knn } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const train = memoryFeatures({
 *   features: { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] },
 * });
 * const fitted = await knn.fit({ train, context: host, parameters: { k: 1 } });
 * const features = host.upload(new Float32Array([-5, 0]), [1, 2]);
 * const [scores] = await host.read(fitted.score(host, { features }));
 * assertAlmostEquals(scores![0]!, -2, 1e-6);
 * ```
 */
export const knn: ScoreMethod = defineScore({
  name: "knn",
  title: "KNN",
  source: "Sun et al. 2022, arXiv 2204.06507",
  summary: "Minus the squared distance to the k-th nearest training feature, both normalised",
  needs: ["features"],
  fitNeeds: ["features"],
  usesValidation: false,
  parameters: [{
    name: "k",
    description: "Which neighbour's distance counts",
    default: 50,
    minimum: 1,
    maximum: MAX_NEIGHBOURS,
    integer: true,
    search: [50, 100, 200, 500, 1000],
  }],
  evidence: { quantity: "squared distance to the k-th nearest training image", negated: true },
  arrays: { bank: 2 },
  async learn(input) {
    const { train } = input;
    const k = input.parameters["k"]!;
    if (k > train.count) {
      throw new UserError(
        `Cannot fit "knn": knn.k is ${k} and "${train.path}" has ${train.count} rows; choose a ` +
          "smaller k",
      );
    }
    return { arrays: { bank: await normalizedBank(input) } };
  },
  place: placeBank,
  // A row's distances to the whole bank are written before the nearest are taken.
  graphRowBytes: (state) => 4 * state.arrays["bank"]!.shape[0]!,
  graph(builder, inputs, state) {
    const [, columns] = state.arrays["bank"]!.shape;
    // Distances do not change when both sides move; about the mean they cancel less.
    const { mean, table } = centred(wholeArray(state, "bank"), columns!);
    const norm = builder.reduce("ReduceL2", inputs["features"]!, { axes: [1], keepDims: true });
    const safe = builder.clip(norm, { min: EPSILON });
    const unit = builder.node("Div", [inputs["features"]!, safe]);
    const x = builder.node("Sub", [unit, builder.constant(mean, { name: "mean" })]);
    const bank = builder.constant(table, { shape: state.arrays["bank"]!.shape, name: "bank" });
    const distances = rankingDistances(builder, x, {
      name: bank,
      squaredNorms: squaredNorms(table, columns!),
    });
    const k = state.parameters["k"]!;
    const { indices } = builder.topK(distances, { k, largest: false });
    const kth = builder.slice(indices, { axis: 1, start: k - 1, end: k });
    return negatedDistance(builder, { x, table: bank, index: builder.squeeze(kth, [1]) });
  },
});

/** The training features at unit length, in parts. */
async function normalizedBank(input: LearnInput): Promise<StateArray> {
  const { train } = input;
  const shape = train.shape("features");
  const [rows, columns] = [shape[0]!, shape[1]!];
  const partRows = Math.max(
    input.parameters["k"]!,
    Math.floor(PART_BYTES / (4 * columns)),
    1,
  );
  const parts: Float32Array<ArrayBuffer>[] = [];
  for (let first = 0; first < rows; first += partRows) {
    parts.push(new Float32Array(Math.min(partRows, rows - first) * columns));
  }
  let row = 0;
  for await (const batch of streamRows(train, ["features"], { input, stage: "bank" })) {
    const data = floats(batch, "features");
    for (let n = 0; n < batch.rows; n++, row++) {
      const part = parts[Math.floor(row / partRows)]!;
      normalizeRow(data.subarray(n * columns, (n + 1) * columns), {
        into: part,
        at: (row % partRows) * columns,
      });
    }
  }
  return { shape: [rows, columns], parts };
}

function normalizeRow(row: Float32Array, to: { into: Float32Array; at: number }): void {
  let squared = 0;
  for (let c = 0; c < row.length; c++) squared += row[c]! * row[c]!;
  const scale = 1 / Math.max(Math.sqrt(squared), EPSILON);
  for (let c = 0; c < row.length; c++) to.into[to.at + c] = row[c]! * scale;
}

function placeBank(context: Context, state: FittedState): Scorer {
  const bank = state.arrays["bank"]!;
  const columns = bank.shape[1]!;
  const k = state.parameters["k"]!;
  const parts = bank.parts as readonly Float32Array<ArrayBuffer>[];
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const bring = (to: Context, part: Float32Array<ArrayBuffer>): Tensor =>
    to.upload(part, [part.length / columns, columns], { label: "bank" });
  const resident = bytes <= RESIDENT_BYTES ? parts.map((part) => bring(context, part)) : undefined;
  return (scope, batch) => {
    const queries = l2Normalize(scope, { x: batch["features"]! }, { epsilon: EPSILON });
    let best: Tensor | undefined;
    parts.forEach((part, i) => {
      const rows = resident?.[i] ?? bring(scope, part);
      const merged = kNearest(scope, { queries, bank: rows, ...(best ? { best } : {}) }, { k });
      best?.dispose();
      if (resident === undefined) rows.dispose();
      best = merged;
    });
    return combineRows(scope, { a: best! }, { column: k - 1, scale: -1 });
  };
}

/** A table about the mean of its rows. */
function centred(
  table: Float32Array,
  columns: number,
): { mean: Float32Array<ArrayBuffer>; table: Float32Array<ArrayBuffer> } {
  const rows = table.length / columns;
  const sum = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < columns; c++) sum[c] = sum[c]! + table[row * columns + c]!;
  }
  const mean = Float32Array.from(sum, (value) => value / rows);
  const moved = new Float32Array(table.length);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < columns; c++) {
      moved[row * columns + c] = table[row * columns + c]! - mean[c]!;
    }
  }
  return { mean, table: moved };
}
