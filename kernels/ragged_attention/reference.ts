/**
 * Attention over ragged lists in plain loops, with float64 sums.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";
import { philox4x32 } from "../random/rng.ts";

/** Which weights stay. */
export interface AttentionDropout {
  /** Probability of making a weight 0. */
  readonly rate: number;
  /** Seed of the uniform numbers. */
  readonly seed: number;
  /** Their stream. */
  readonly stream: number;
}

/** Sizes and scalars of an attention. */
export interface AttentionProblem {
  /** Number of heads. */
  readonly heads: number;
  /** Columns of one head. */
  readonly dimension: number;
  /** Factor of the scores. */
  readonly scale: number;
  /** Uniform numbers of one query and head, a multiple of four that no list's keys exceed. */
  readonly stride: number;
  /** Which weights stay; all by default. */
  readonly dropout?: AttentionDropout | undefined;
}

/** Where the lists lie. */
export interface AttentionLists {
  /** First query of each list, and the end of the last. */
  readonly offsets: Int32Array;
  /** First key of each list, and the end of the last. */
  readonly keyOffsets: Int32Array;
}

/** Queries, keys and values. */
export interface AttentionInputs extends AttentionLists {
  /** Queries. */
  readonly q: Numbers;
  /** Keys. */
  readonly k: Numbers;
  /** Values. */
  readonly v: Numbers;
}

/** What an attention gives. */
export interface AttentionResults {
  /** A mix of values for each query. */
  readonly y: Numbers;
  /** Logarithm of the sum of each query's and head's exponentiated scores. */
  readonly logSumExp: Numbers;
}

/**
 * Mixes the values of each list for each of its queries.
 *
 * @param inputs Queries, keys and values.
 * @param results Where the mix and the log-sum-exp go.
 * @param problem Sizes, scale, dropout.
 */
export function attendLists(
  inputs: AttentionInputs,
  { y, logSumExp }: AttentionResults,
  problem: AttentionProblem,
): void {
  const { heads, dimension } = problem;
  const { q, k, v } = inputs;
  const at = (row: number, head: number) => (row * heads + head) * dimension;
  y.fill(0);
  logSumExp.fill(0);
  const mix = new Float64Array(dimension);
  forEachQuery(inputs, heads, ({ row, head, first, keys }) => {
    if (keys === 0) return;
    const query = at(row, head);
    const scores = new Float64Array(keys);
    for (let j = 0; j < keys; j++) {
      scores[j] = problem.scale * dot(q, query, k, at(first + j, head), dimension);
    }
    const top = scores.reduce((a, b) => Math.max(a, b), -Infinity);
    const mass = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
    logSumExp[row * heads + head] = top + Math.log(mass);
    mix.fill(0);
    scores.forEach((score, j) => {
      const weight = kept({ row, head, j }, problem) * Math.exp(score - top) / mass;
      const start = at(first + j, head);
      for (let c = 0; c < dimension; c++) mix[c]! += weight * v[start + c]!;
    });
    y.set(mix, query);
  });
}

/** What the gradient of an attention needs. */
export interface AttentionGradientInputs extends AttentionInputs, AttentionResults {
  /** Gradient of the mix. */
  readonly dY: Numbers;
}

/** Gradients of an attention. */
export interface AttentionGradientArrays {
  /** Of the queries. */
  readonly dQ: Numbers;
  /** Of the keys. */
  readonly dK: Numbers;
  /** Of the values. */
  readonly dV: Numbers;
}

/**
 * The gradients of {@linkcode attendLists}.
 *
 * @param inputs Queries, keys, values, what came of them, and the gradient that comes in.
 * @param results Where the gradients go.
 * @param problem Sizes, scale, dropout.
 */
export function attendListsGradient(
  inputs: AttentionGradientInputs,
  results: AttentionGradientArrays,
  problem: AttentionProblem,
): void {
  const { heads, dimension, scale } = problem;
  const { q, k, v, y, dY, logSumExp } = inputs;
  const at = (row: number, head: number) => (row * heads + head) * dimension;
  const dQ = new Float64Array(q.length);
  const dK = new Float64Array(k.length);
  const dV = new Float64Array(v.length);
  forEachQuery(inputs, heads, ({ row, head, first, keys }) => {
    const query = at(row, head);
    const share = dot(dY, query, y, query, dimension);
    for (let j = 0; j < keys; j++) {
      const key = at(first + j, head);
      const score = scale * dot(q, query, k, key, dimension);
      const weight = Math.exp(score - logSumExp[row * heads + head]!);
      const factor = kept({ row, head, j }, problem);
      const slope = factor * dot(dY, query, v, key, dimension);
      const dScore = scale * weight * (slope - share);
      for (let c = 0; c < dimension; c++) {
        dQ[query + c]! += dScore * k[key + c]!;
        dK[key + c]! += dScore * q[query + c]!;
        dV[key + c]! += factor * weight * dY[query + c]!;
      }
    }
  });
  results.dQ.set(dQ);
  results.dK.set(dK);
  results.dV.set(dV);
}

/** One query and head, and the keys that it looks at. */
interface Query {
  readonly row: number;
  readonly head: number;
  readonly first: number;
  readonly keys: number;
}

function forEachQuery(
  { offsets, keyOffsets }: AttentionLists,
  heads: number,
  visit: (query: Query) => void,
): void {
  for (let list = 0; list + 1 < offsets.length; list++) {
    const first = keyOffsets[list]!;
    const keys = keyOffsets[list + 1]! - first;
    for (let row = offsets[list]!; row < offsets[list + 1]!; row++) {
      for (let head = 0; head < heads; head++) visit({ row, head, first, keys });
    }
  }
}

/** Inner product of `length` elements of `a` from x on and of `b` from y on. */
function dot(a: Numbers, x: number, b: Numbers, y: number, length: number): number {
  let sum = 0;
  for (let c = 0; c < length; c++) sum += a[x + c]! * b[y + c]!;
  return sum;
}

/** Factor of one weight: 0 where it is dropped. */
function kept(
  { row, head, j }: { row: number; head: number; j: number },
  { heads, stride, dropout }: AttentionProblem,
): number {
  if (dropout === undefined) return 1;
  const { rate, seed, stream } = dropout;
  const index = (row * heads + head) * stride + j;
  const key = [seed >>> 0, Math.floor(seed / 4294967296)];
  const words = philox4x32([Math.floor(index / 4), 0, stream, 0], key);
  // Both as the kernels get them.
  const [limit, factor] = [Math.fround(rate), Math.fround(1 / (1 - rate))];
  return (words[index % 4]! >>> 8) * 2 ** -24 >= limit ? factor : 0;
}
