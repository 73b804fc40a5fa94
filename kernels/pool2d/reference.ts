/**
 * Poolings of maps with channels last, and their gradients, in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";
import type { PoolGeometry } from "./_geometry.ts";

/** One tap of a window that lies inside the map. */
interface Tap {
  /** Index of the input element. */
  readonly at: number;
  /** Position in the window, row-major. */
  readonly tap: number;
}

/** Calls back for every output element with the taps inside the map. */
function eachWindow(
  geometry: PoolGeometry,
  visit: (output: number, taps: readonly Tap[], place: readonly [number, number]) => void,
): void {
  const { n, channels, size: [height, width], out, kernel, stride, before } = geometry;
  for (let output = 0; output < n * out[0] * out[1] * channels; output++) {
    const c = output % channels;
    const column = Math.floor(output / channels);
    const q = column % out[1];
    const p = Math.floor(column / out[1]) % out[0];
    const map = Math.floor(column / out[1] / out[0]);
    const taps: Tap[] = [];
    for (let tap = 0; tap < kernel[0] * kernel[1]; tap++) {
      const h = p * stride[0] - before[0] + Math.floor(tap / kernel[1]);
      const w = q * stride[1] - before[1] + tap % kernel[1];
      if (h < 0 || h >= height || w < 0 || w >= width) continue;
      taps.push({ at: ((map * height + h) * width + w) * channels + c, tap });
    }
    visit(output, taps, [p, q]);
  }
}

/**
 * The largest element of every window.
 *
 * @param x The maps.
 * @param results Where the maxima and the positions of the first ones go.
 * @param geometry The windows.
 */
export function maxPool(
  x: Numbers,
  results: { readonly y?: Numbers | undefined; readonly taps?: Uint32Array | undefined },
  geometry: PoolGeometry,
): void {
  eachWindow(geometry, (output, taps) => {
    const best = taps.reduce((first, next) => x[next.at]! > x[first.at]! ? next : first);
    if (results.y) results.y[output] = x[best.at]!;
    if (results.taps) results.taps[output] = best.tap;
  });
}

/**
 * The gradient of {@linkcode maxPool}.
 *
 * @param inputs Positions of the maxima, and the gradient that comes in.
 * @param dX Where the gradient goes.
 * @param geometry The windows.
 */
export function maxPoolGradient(
  { taps: maxima, dY }: { readonly taps: Uint32Array; readonly dY: Numbers },
  dX: Numbers,
  geometry: PoolGeometry,
): void {
  const sums = new Float64Array(dX.length);
  eachWindow(geometry, (output, taps) => {
    for (const { at, tap } of taps) {
      if (tap === maxima[output]) sums[at]! += dY[output]!;
    }
  });
  dX.set(sums);
}

/** Windows of an average. */
export interface AverageGeometry extends PoolGeometry {
  /** Whether padding counts. */
  readonly includePad: boolean;
}

function countOf(
  geometry: AverageGeometry,
  { inside, place }: { inside: number; place: readonly [number, number] },
): number {
  const { kernel, stride, padded, includePad } = geometry;
  if (!includePad) return inside;
  return Math.min(kernel[0], padded[0] - place[0] * stride[0]) *
    Math.min(kernel[1], padded[1] - place[1] * stride[1]);
}

/**
 * The mean of every window.
 *
 * @param x The maps.
 * @param y Where the means go.
 * @param geometry The windows.
 */
export function averagePool(x: Numbers, y: Numbers, geometry: AverageGeometry): void {
  eachWindow(geometry, (output, taps, place) => {
    const sum = taps.reduce((total, { at }) => total + x[at]!, 0);
    y[output] = sum / countOf(geometry, { inside: taps.length, place });
  });
}

/**
 * The gradient of {@linkcode averagePool}.
 *
 * @param dY The gradient that comes in.
 * @param dX Where the gradient goes.
 * @param geometry The windows.
 */
export function averagePoolGradient(dY: Numbers, dX: Numbers, geometry: AverageGeometry): void {
  const sums = new Float64Array(dX.length);
  eachWindow(geometry, (output, taps, place) => {
    const share = dY[output]! / countOf(geometry, { inside: taps.length, place });
    for (const { at } of taps) sums[at]! += share;
  });
  dX.set(sums);
}

/** Lengths of a global pooling. */
export interface GlobalShape {
  /** Positions of a map. */
  readonly positions: number;
  /** Its channels. */
  readonly channels: number;
}

/**
 * The mean of every channel of every map.
 *
 * @param x The maps.
 * @param y Where the means go.
 * @param shape The lengths.
 */
export function globalAverage(x: Numbers, y: Numbers, { positions, channels }: GlobalShape): void {
  const sums = new Float64Array(y.length);
  x.forEach((value, i) => {
    sums[Math.floor(i / (positions * channels)) * channels + i % channels]! += value;
  });
  sums.forEach((sum, i) => y[i] = sum / positions);
}

/**
 * The gradient of {@linkcode globalAverage}.
 *
 * @param dY The gradient that comes in.
 * @param dX Where the gradient goes.
 * @param shape The lengths.
 */
export function globalAverageGradient(
  dY: Numbers,
  dX: Numbers,
  { positions, channels }: GlobalShape,
): void {
  for (let i = 0; i < dX.length; i++) {
    const n = Math.floor(i / (positions * channels));
    dX[i] = dY[n * channels + i % channels]! / positions;
  }
}
