/**
 * Layer normalisation in plain loops, with float64 sums.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";
import type { RowShape } from "../_rows.ts";

/** What a layer normalisation needs besides the matrix. */
export interface LayerNormProblem extends RowShape {
  /** Factor of each column. */
  readonly weight: Numbers | undefined;
  /** Summand of each column. */
  readonly bias: Numbers | undefined;
  /** Added to the variance. */
  readonly epsilon: number;
}

/**
 * Normalises every row to mean zero and variance one, then scales and shifts its columns.
 *
 * @param x The matrix.
 * @param y Where the result goes.
 * @param how Sizes, weight, bias, epsilon.
 */
export function layerNormRows(x: Numbers, y: Numbers, how: LayerNormProblem): void {
  const { rows, columns, weight, bias, epsilon } = how;
  for (let r = 0; r < rows; r++) {
    const start = r * columns;
    const row = x.subarray(start, start + columns);
    let sum = 0;
    for (const value of row) sum += value;
    const mean = sum / columns;
    let deviations = 0;
    for (const value of row) deviations += (value - mean) ** 2;
    const scale = 1 / Math.sqrt(deviations / columns + epsilon);
    row.forEach((value, c) => {
      y[start + c] = (value - mean) * scale * (weight?.[c] ?? 1) + (bias?.[c] ?? 0);
    });
  }
}

/** Gradients of a layer normalisation. */
export interface LayerNormGradientArrays {
  /** Of the matrix. */
  readonly dX: Numbers;
  /** Of the columns' factors. */
  readonly dWeight?: Numbers | undefined;
  /** Of the columns' summands. */
  readonly dBias?: Numbers | undefined;
}

/**
 * The gradients of {@linkcode layerNormRows}.
 *
 * @param inputs The matrix, and the gradient that comes in.
 * @param results Where the gradients go.
 * @param how Sizes, weight, epsilon.
 */
export function layerNormRowsGradient(
  { x, dY }: { readonly x: Numbers; readonly dY: Numbers },
  { dX, dWeight, dBias }: LayerNormGradientArrays,
  how: Omit<LayerNormProblem, "bias">,
): void {
  const { rows, columns, weight, epsilon } = how;
  const ofWeight = new Float64Array(columns);
  const ofBias = new Float64Array(columns);
  const normal = new Float64Array(columns);
  const scaled = new Float64Array(columns);
  for (let r = 0; r < rows; r++) {
    const start = r * columns;
    const row = x.subarray(start, start + columns);
    let sum = 0;
    for (const value of row) sum += value;
    const mean = sum / columns;
    let deviations = 0;
    for (const value of row) deviations += (value - mean) ** 2;
    const scale = 1 / Math.sqrt(deviations / columns + epsilon);
    let meanScaled = 0;
    let meanProduct = 0;
    row.forEach((value, c) => {
      const gradient = dY[start + c]!;
      normal[c] = (value - mean) * scale;
      scaled[c] = gradient * (weight?.[c] ?? 1);
      ofWeight[c]! += gradient * normal[c]!;
      ofBias[c]! += gradient;
      meanScaled += scaled[c]! / columns;
      meanProduct += scaled[c]! * normal[c]! / columns;
    });
    row.forEach((_, c) => {
      dX[start + c] = scale * (scaled[c]! - meanScaled - normal[c]! * meanProduct);
    });
  }
  dWeight?.set(ofWeight);
  dBias?.set(ofBias);
}
