/**
 * The matrix product in plain loops with float64 sums.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** A matrix, or a stack of them, by strides in elements. */
export interface StridedMatrix {
  /** The elements. */
  readonly data: Floats;
  /** Elements between matrices; 0 for one that all products share. */
  readonly batch: number;
  /** Elements between rows of `a`, or between columns of `b`. */
  readonly outer: number;
  /** Elements between neighbours along the axis that is summed over. */
  readonly inner: number;
}

/** Lengths of a product. */
export interface ProductSize {
  /** Number of products. */
  readonly batches: number;
  /** Rows. */
  readonly m: number;
  /** Columns. */
  readonly n: number;
  /** Length of the axis that is summed over. */
  readonly k: number;
}

/**
 * c[s, i, j] = sum over k of a(s, i, k) b(s, k, j), plus bias[j].
 *
 * @param inputs The operands.
 * @param c Where the product goes, [batches, m, n]; none of the operands.
 * @param size The lengths.
 */
export function matmulReference(
  inputs: { a: StridedMatrix; b: StridedMatrix; bias?: Floats },
  c: Floats,
  size: ProductSize,
): void {
  const { a, b, bias } = inputs;
  const { batches, m, n, k } = size;
  const row = new Float64Array(n);
  for (let s = 0; s < batches; s++) {
    for (let i = 0; i < m; i++) {
      row.fill(0);
      for (let l = 0; l < k; l++) {
        const value = a.data[s * a.batch + i * a.outer + l * a.inner]!;
        const start = s * b.batch + l * b.inner;
        for (let j = 0; j < n; j++) row[j] = row[j]! + value * b.data[start + j * b.outer]!;
      }
      for (let j = 0; j < n; j++) c[(s * m + i) * n + j] = row[j]! + (bias?.[j] ?? 0);
    }
  }
}

/** Lengths of a linear layer. */
export interface LinearSize {
  /** Rows of the input. */
  readonly rows: number;
  /** Columns of the input. */
  readonly inputs: number;
  /** Columns of the output. */
  readonly outputs: number;
}

/**
 * Gradients of y = x weight^T + bias.
 *
 * @param arrays Input, weight [outputs, inputs], and gradient of the output.
 * @param out Where the wanted gradients go.
 * @param size The lengths.
 */
export function linearGradientReference(
  { x, weight, dY }: { readonly x: Floats; readonly weight: Floats; readonly dY: Floats },
  out: {
    readonly dX?: Floats | undefined;
    readonly dWeight?: Floats | undefined;
    readonly dBias?: Floats | undefined;
  },
  { rows, inputs, outputs }: LinearSize,
): void {
  const dX = new Float64Array(rows * inputs);
  const dWeight = new Float64Array(outputs * inputs);
  const dBias = new Float64Array(outputs);
  for (let n = 0; n < rows; n++) {
    for (let o = 0; o < outputs; o++) {
      const d = dY[n * outputs + o]!;
      dBias[o]! += d;
      for (let i = 0; i < inputs; i++) {
        dX[n * inputs + i]! += d * weight[o * inputs + i]!;
        dWeight[o * inputs + i]! += d * x[n * inputs + i]!;
      }
    }
  }
  out.dX?.set(dX);
  out.dWeight?.set(dWeight);
  out.dBias?.set(dBias);
}
