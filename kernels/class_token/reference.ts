/**
 * A row before each list of ragged rows, in plain loops and in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** Arrays of {@linkcode insertClassTokenReference}. */
export interface ClassTokenArrays {
  /** The rows, [rows, columns]. */
  readonly x: Floats;
  /** Where each list begins, and where the last one ends. */
  readonly offsets: Int32Array;
  /** What is put before each list; its length is the number of columns. */
  readonly token: Floats;
  /** What is added place by place, [positions, columns]. */
  readonly positions: Floats;
}

/**
 * Puts a row before each list and adds the positions.
 *
 * @param arrays What goes in.
 * @param y The rows that come out.
 */
export function insertClassTokenReference(
  { x, offsets, token, positions }: ClassTokenArrays,
  y: Floats,
): void {
  const columns = token.length;
  y.fill(0);
  for (let n = 0; n + 1 < offsets.length; n++) {
    for (let place = 0; place <= offsets[n + 1]! - offsets[n]!; place++) {
      const at = (offsets[n]! + n + place) * columns;
      for (let c = 0; c < columns; c++) {
        const own = place === 0 ? token[c]! : x[at - (n + 1) * columns + c]!;
        y[at + c] = own + (positions[place * columns + c] ?? 0);
      }
    }
  }
}

/** Gradients of {@linkcode insertClassTokenReference}. */
export interface ClassTokenGradientArrays {
  /** By the rows, [rows, columns]. */
  readonly dX: Floats;
  /** By the token; its length is the number of columns. */
  readonly dToken: Floats;
  /** By the positions, [positions, columns]. */
  readonly dPositions: Floats;
}

/**
 * The gradients of all inputs.
 *
 * @param inputs The gradient that comes in, and the offsets before the insertion.
 * @param gradients Where the gradients go.
 */
export function insertClassTokenGradientReference(
  { dY, offsets }: { readonly dY: Floats; readonly offsets: Int32Array },
  { dX, dToken, dPositions }: ClassTokenGradientArrays,
): void {
  const columns = dToken.length;
  const sums = new Float64Array(Math.max(columns, dPositions.length));
  dX.fill(0);
  for (let n = 0; n + 1 < offsets.length; n++) {
    for (let place = 0; place <= offsets[n + 1]! - offsets[n]!; place++) {
      const at = (offsets[n]! + n + place) * columns;
      for (let c = 0; c < columns; c++) {
        if (place > 0) dX[at - (n + 1) * columns + c] = dY[at + c]!;
        if (place * columns + c < sums.length) sums[place * columns + c]! += dY[at + c]!;
      }
    }
  }
  dToken.set(sums.subarray(0, columns));
  dPositions.set(sums.subarray(0, dPositions.length));
}
