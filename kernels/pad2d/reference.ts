/**
 * Maps shifted into a larger or smaller frame.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Maps } from "../_maps.ts";
import type { Numbers } from "../_pointwise.ts";

/** Lengths of a frame. */
export interface Frame extends Maps {
  /** Height and width of the result. */
  readonly size: readonly [height: number, width: number];
  /** Where the map begins in it; negative to cut. */
  readonly origin: readonly [top: number, left: number];
}

/**
 * The maps in their frame.
 *
 * @param x The maps.
 * @param y Where the result goes.
 * @param how The frame, and what stands around the map.
 */
export function frameMaps(
  x: Numbers,
  y: Numbers,
  { height, width, channels, size, origin, value }: Frame & { readonly value: number },
): void {
  for (let i = 0; i < y.length; i++) {
    const column = Math.floor(i / channels);
    const row = Math.floor(column / size[1]);
    const h = row % size[0] - origin[0];
    const w = column % size[1] - origin[1];
    const inside = h >= 0 && h < height && w >= 0 && w < width;
    const at = ((Math.floor(row / size[0]) * height + h) * width + w) * channels + i % channels;
    y[i] = inside ? x[at]! : value;
  }
}
