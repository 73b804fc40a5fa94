/**
 * What several fits do: streaming rows with progress, reading the head, means and covariances.
 *
 * @module
 */

import type { FeatureBatch, FeatureSet } from "../data/mod.ts";
import { moments } from "../kernels/mod.ts";
import { type Context, isGpu, UserError } from "../runtime/mod.ts";
import type { LearnInput } from "./define.ts";
import { GramSum } from "./numerics/mod.ts";
import type { LinearHead } from "./score.ts";

const CHUNK_BYTES = 16 << 20;
const MAX_CHUNK_ROWS = 4096;

/** Rows of a chunk: small enough for any binding, large enough to hide the cost of a step. */
export function chunkRows(columns: number): number {
  return Math.max(1, Math.min(MAX_CHUNK_ROWS, Math.floor(CHUNK_BYTES / (4 * columns))));
}

/** Rows of a set in order, with progress. */
export async function* streamRows(
  set: FeatureSet,
  keys: readonly string[],
  how: { readonly input: LearnInput; readonly stage: string },
): AsyncGenerator<FeatureBatch> {
  const { input, stage } = how;
  const columns = keys.reduce((most, key) => Math.max(most, set.shape(key)[1] ?? 1), 1);
  for await (const batch of set.batches(keys, { rows: chunkRows(columns) })) {
    yield batch;
    input.onProgress?.({ stage, done: batch.start + batch.rows, total: set.count });
  }
}

/** The float rows of a batch. */
export function floats(batch: FeatureBatch, key: string): Float32Array<ArrayBuffer> {
  return batch.get(key).data as Float32Array<ArrayBuffer>;
}

/** A head with its sizes, and what is odd about it. */
export interface CheckedHead extends LinearHead {
  /** Number of classes. */
  readonly K: number;
  /** Number of features. */
  readonly C: number;
  /** What a person should know, one sentence each. */
  readonly warnings: readonly string[];
}

/** The linear head of a fit, checked against the features. */
export async function readHead(input: LearnInput, name: string): Promise<CheckedHead> {
  const { train } = input;
  const C = train.shape("features")[1]!;
  const { weight, bias } = input.head ?? await storedHead(train);
  const K = bias.length;
  if (weight.length !== K * C) {
    throw new UserError(
      `Cannot fit "${name}": the head has ${weight.length / K} channels and the features of ` +
        `"${train.path}" have ${C}`,
    );
  }
  for (const [key, array] of [["head.weight", weight], ["head.bias", bias]] as const) {
    if (!array.every(Number.isFinite)) {
      throw new UserError(
        `Cannot fit "${name}": "${key}" of "${train.path}" has a NaN or infinity`,
      );
    }
  }
  return { weight, bias, K, C, warnings: await headWarnings(train, { weight, bias }) };
}

async function storedHead(set: FeatureSet): Promise<LinearHead> {
  const weight = await set.read("head.weight");
  // A head without a bias is stored without one.
  const bias = set.has("head.bias")
    ? (await set.read("head.bias")).data
    : new Float32Array(weight.shape[0]!);
  return {
    weight: weight.data as Float32Array<ArrayBuffer>,
    bias: bias as Float32Array<ArrayBuffer>,
  };
}

const CHECKED_ROWS = 16;
/** Half-precision features and other summation orders stay below this; another layer does not. */
const HEAD_TOLERANCE = 0.02;

/** Whether the head gives the stored logits on the first rows. */
async function headWarnings(set: FeatureSet, head: LinearHead): Promise<string[]> {
  if (!set.has("logits") || set.shape("logits")[1] !== head.bias.length) return [];
  let worst = 0;
  let largest = 0;
  for await (const batch of set.batches(["features", "logits"], { rows: CHECKED_ROWS })) {
    const logits = floats(batch, "logits");
    headLogits(floats(batch, "features"), head).forEach((value, i) => {
      worst = Math.max(worst, Math.abs(value - logits[i]!));
      largest = Math.max(largest, Math.abs(logits[i]!));
    });
    break;
  }
  if (worst <= HEAD_TOLERANCE * Math.max(1, largest)) return [];
  return [
    `The head does not give the logits of "${set.path}" (they differ by ${
      worst.toPrecision(3)
    }): ` +
    `its features may not be those that the head takes`,
  ];
}

/** weight * features + bias in float64, row-major [rows, K]. */
export function headLogits(features: Float32Array, head: LinearHead): Float64Array<ArrayBuffer> {
  const K = head.bias.length;
  const C = head.weight.length / K;
  const rows = features.length / C;
  const logits = new Float64Array(rows * K);
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < K; k++) {
      let sum = head.bias[k]!;
      for (let c = 0; c < C; c++) sum += head.weight[k * C + c]! * features[n * C + c]!;
      logits[n * K + k] = sum;
    }
  }
  return logits;
}

/**
 * Up to this many products a covariance is summed in float64 on the host: a few seconds. Beyond it
 * a GPU sums chunks in float32, and only the chunks are added in float64.
 */
const HOST_PRODUCTS = 4e9;

/** Sum of outer products of rows that come in chunks, each already shifted by its mean. */
export async function sumOfProducts(
  context: Context,
  chunks: AsyncIterable<Float64Array<ArrayBuffer>>,
  size: { readonly rows: number; readonly columns: number },
): Promise<Float64Array<ArrayBuffer>> {
  const { rows, columns } = size;
  const gram = new GramSum(columns);
  if (!isGpu(context) || rows * columns * columns / 2 <= HOST_PRODUCTS) {
    for await (const chunk of chunks) gram.add(chunk, chunk.length / columns);
    return gram.value();
  }
  let pending: Promise<void> | undefined;
  for await (const chunk of chunks) {
    // The GPU sums this chunk while the one before it is read back.
    const next = sumOnGpu(context, chunk, gram);
    await pending;
    pending = next;
  }
  await pending;
  return gram.value();
}

async function sumOnGpu(context: Context, chunk: Float64Array, gram: GramSum): Promise<void> {
  using scope = context.scope();
  const { columns } = gram;
  const rows = chunk.length / columns;
  const x = scope.upload(Float32Array.from(chunk), [rows, columns]);
  const shift = scope.upload(new Float32Array(columns), [columns]);
  const [sum] = await scope.read(moments(scope, { x, shift }).gram);
  gram.addGram(sum as Float32Array, rows);
}
