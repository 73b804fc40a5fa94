/**
 * Pieces of ONNX graphs that several scores share.
 *
 * @module
 */

import type { GraphBuilder } from "../../onnx/mod.ts";
import type { FittedState } from "../score.ts";
import { wholeArray } from "../_state.ts";

/** A learned array as a constant of the graph. */
export function constantArray(builder: GraphBuilder, state: FittedState, name: string): string {
  return builder.constant(wholeArray(state, name), { shape: state.arrays[name]!.shape, name });
}

/** Rows to T * log(sum(exp(z / T))): shifted by the maximum, so that large logits do not overflow. */
export function logSumExp(builder: GraphBuilder, z: string, temperature = 1): string {
  const scaled = temperature === 1 ? z : builder.node("Div", [z, builder.constant(temperature)]);
  const top = builder.reduce("ReduceMax", scaled, { axes: [1], keepDims: true });
  const powers = builder.node("Exp", [builder.node("Sub", [scaled, top])]);
  const sum = builder.reduce("ReduceSum", powers, { axes: [1], keepDims: true });
  const energy = builder.squeeze(
    builder.node("Add", [builder.node("Log", [sum]), top]),
    [1],
  );
  return temperature === 1 ? energy : builder.node("Mul", [energy, builder.constant(temperature)]);
}

/** features W' + b with W stored as [K, C]. */
export function headProduct(builder: GraphBuilder, features: string, state: FittedState): string {
  const weight = constantArray(builder, state, "weight");
  const bias = constantArray(builder, state, "bias");
  return builder.node("Gemm", [features, weight, bias], { attributes: { transB: 1n } });
}

/** Minus the squared distance from each row of `x` to the row of `table` that `index` names. */
export function negatedDistance(
  builder: GraphBuilder,
  rows: { readonly x: string; readonly table: string; readonly index: string },
): string {
  const chosen = builder.node("Gather", [rows.table, rows.index], { attributes: { axis: 0n } });
  const gap = builder.node("Sub", [rows.x, chosen]);
  return builder.node("Neg", [builder.reduce("ReduceSumSquare", gap, { axes: [1] })]);
}

/**
 * For each pair of rows of `x` and of a table: |t|^2 - 2 x.t, which ranks the table's rows by
 * distance from x. It cancels for near rows, so it serves to find a row and not as its distance.
 */
export function rankingDistances(
  builder: GraphBuilder,
  x: string,
  table: { readonly name: string; readonly squaredNorms: Float32Array<ArrayBuffer> },
): string {
  const norms = builder.constant(table.squaredNorms, { name: "squared_norms" });
  return builder.node("Gemm", [x, table.name, norms], { attributes: { alpha: -2, transB: 1n } });
}

/** Squared norms of the rows of a row-major table. */
export function squaredNorms(table: Float32Array, columns: number): Float32Array<ArrayBuffer> {
  const norms = new Float32Array(table.length / columns);
  for (let row = 0; row < norms.length; row++) {
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += table[row * columns + c]! ** 2;
    norms[row] = sum;
  }
  return norms;
}
