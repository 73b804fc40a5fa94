/**
 * Maps plus one number for each map and channel, and the gradient, in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Floats } from "../_floats.ts";

/** Sizes of maps with channels last. */
export interface ChannelSizes {
  /** Positions of a map. */
  readonly positions: number;
  /** Channels of a map. */
  readonly channels: number;
}

/** Index of the number that meets element i. */
function partner(i: number, { positions, channels }: ChannelSizes): number {
  return Math.floor(i / (positions * channels)) * channels + i % channels;
}

/**
 * Adds each channel's number at every position.
 *
 * @param inputs The maps `x`, and the numbers `v`, [maps, channels].
 * @param y Where the sum goes.
 * @param sizes Sizes of the maps.
 */
export function addChannelsReference(
  { x, v }: { readonly x: Floats; readonly v: Floats },
  y: Floats,
  sizes: ChannelSizes,
): void {
  x.forEach((value, i) => y[i] = value + v[partner(i, sizes)]!);
}

/**
 * The gradient of the numbers: sums over the positions.
 *
 * @param dY The gradient that comes in.
 * @param dV Where the gradient goes.
 * @param sizes Sizes of the maps.
 */
export function addChannelsGradientReference(
  dY: Floats,
  dV: Floats,
  sizes: ChannelSizes,
): void {
  const sums = new Float64Array(dV.length);
  dY.forEach((value, i) => sums[partner(i, sizes)]! += value);
  dV.set(sums);
}
