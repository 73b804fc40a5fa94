/**
 * Batch normalisation and its gradients in plain loops, in float64.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** Arrays of a normalisation: a matrix by rows, and one number per column. */
export interface NormalisationArrays {
  /** The matrix. */
  readonly x: Floats;
  /** Factor of each column. */
  readonly weight: Floats;
  /** Summand of each column. */
  readonly bias: Floats;
}

/** What the columns of a batch are like. */
export interface BatchStatistics {
  /** Mean of each column. */
  readonly mean: Float64Array;
  /** Variance of each column, divided by the number of rows. */
  readonly variance: Float64Array;
}

/**
 * Mean and biased variance of every column.
 *
 * @param x The matrix.
 * @param columns Its number of columns.
 * @returns The statistics.
 */
export function statisticsOf(x: Floats, columns: number): BatchStatistics {
  const rows = x.length / columns;
  const mean = new Float64Array(columns);
  const variance = new Float64Array(columns);
  x.forEach((value, i) => mean[i % columns]! += value / rows);
  x.forEach((value, i) => variance[i % columns]! += (value - mean[i % columns]!) ** 2 / rows);
  return { mean, variance };
}

/**
 * Normalises every column, then scales and shifts it.
 *
 * @param arrays Matrix, weight, bias.
 * @param statistics Mean and variance of each column.
 * @param how Epsilon, and whether the result is cut off at 0; `y` is where it goes.
 */
export function normalise(
  { x, weight, bias }: NormalisationArrays,
  statistics: { readonly mean: Floats; readonly variance: Floats },
  how: { readonly epsilon: number; readonly relu: boolean; readonly y: Floats },
): void {
  const columns = weight.length;
  for (let i = 0; i < x.length; i++) {
    const c = i % columns;
    const inverse = 1 / Math.sqrt(statistics.variance[c]! + how.epsilon);
    const value = (x[i]! - statistics.mean[c]!) * inverse * weight[c]! + bias[c]!;
    how.y[i] = how.relu ? Math.max(value, 0) : value;
  }
}

/**
 * Moves running statistics towards those of a batch; their variance is unbiased.
 *
 * @param running What is moved, in place.
 * @param batch The batch's statistics and number of rows.
 * @param momentum Fraction of the new value.
 */
export function moveRunning(
  running: { readonly mean: Floats; readonly variance: Floats },
  batch: BatchStatistics & { readonly rows: number },
  momentum: number,
): void {
  const { rows } = batch;
  for (let c = 0; c < batch.mean.length; c++) {
    running.mean[c]! += momentum * (batch.mean[c]! - running.mean[c]!);
    const unbiased = batch.variance[c]! * rows / (rows - 1);
    running.variance[c]! += momentum * (unbiased - running.variance[c]!);
  }
}

/** What the gradients are computed from. */
export interface GradientArrays {
  /** The input. */
  readonly x: Floats;
  /** Factor of each column. */
  readonly weight: Floats;
  /** Mean of each column. */
  readonly mean: Floats;
  /** 1 / sqrt(variance + epsilon) of each column. */
  readonly inverse: Floats;
  /** Gradient of the output. */
  readonly dY: Floats;
  /** The output after a ReLU. */
  readonly y?: Floats | undefined;
}

/** Where the gradients go. */
export interface Gradients {
  /** Of the input. */
  readonly dX: Floats;
  /** Of the weight. */
  readonly dWeight: Floats;
  /** Of the bias. */
  readonly dBias: Floats;
}

/**
 * Gradients of a normalisation.
 *
 * @param arrays Input, weight, statistics, incoming gradient.
 * @param out Where the gradients go.
 * @param frozen Whether the statistics are constants, not those of `x`.
 */
export function normalisationGradient(
  arrays: GradientArrays,
  out: Gradients,
  frozen: boolean,
): void {
  const { x, weight, mean, inverse, dY, y } = arrays;
  const columns = weight.length;
  const rows = x.length / columns;
  const dWeight = new Float64Array(columns);
  const dBias = new Float64Array(columns);
  const incoming = (i: number) => y === undefined || y[i]! > 0 ? dY[i]! : 0;
  const unit = (i: number) => (x[i]! - mean[i % columns]!) * inverse[i % columns]!;
  for (let i = 0; i < x.length; i++) {
    dWeight[i % columns]! += incoming(i) * unit(i);
    dBias[i % columns]! += incoming(i);
  }
  for (let i = 0; i < x.length; i++) {
    const c = i % columns;
    const through = frozen ? 0 : (dBias[c]! + unit(i) * dWeight[c]!) / rows;
    out.dX[i] = weight[c]! * inverse[c]! * (incoming(i) - through);
  }
  out.dWeight.set(dWeight);
  out.dBias.set(dBias);
}
