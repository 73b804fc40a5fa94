/**
 * Maps resized to the nearest element, and the gradient, in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Maps } from "../_maps.ts";
import type { Numbers } from "../_pointwise.ts";

/** Lengths of a resizing. */
export interface ResizeShape extends Maps {
  /** Height and width of the result. */
  readonly size: readonly [height: number, width: number];
}

/** Index of the input element that an output element copies. */
function sourceOf(output: number, { height, width, channels, size }: ResizeShape): number {
  const c = output % channels;
  const column = Math.floor(output / channels);
  const row = Math.floor(column / size[1]);
  const h = Math.floor(row % size[0] * height / size[0]);
  const w = Math.floor(column % size[1] * width / size[1]);
  return ((Math.floor(row / size[0]) * height + h) * width + w) * channels + c;
}

/**
 * The resized maps.
 *
 * @param x The maps.
 * @param y Where the result goes.
 * @param shape All lengths.
 */
export function resizeMaps(x: Numbers, y: Numbers, shape: ResizeShape): void {
  for (let i = 0; i < y.length; i++) y[i] = x[sourceOf(i, shape)]!;
}

/**
 * The gradient of {@linkcode resizeMaps}.
 *
 * @param dY The gradient that comes in.
 * @param dX Where the gradient goes.
 * @param shape All lengths.
 */
export function resizeMapsGradient(dY: Numbers, dX: Numbers, shape: ResizeShape): void {
  const sums = new Float64Array(dX.length);
  dY.forEach((value, i) => sums[sourceOf(i, shape)]! += value);
  dX.set(sums);
}
