/**
 * Cutting images into tiles and putting them together in another order.
 *
 * @module
 */

import type { Rng } from "../kernels/random/mod.ts";

/** Tiles along each side of an image. */
export const TILES = 3;

const IN_ORDER: readonly number[] = Array.from({ length: TILES * TILES }, (_, tile) => tile);

/** An order of the tiles that moves some of them, each such order equally likely. */
export function jigsawOrder(rng: Rng): number[] {
  for (;;) {
    const order = rng.shuffle([...IN_ORDER]);
    if (order.some((tile, place) => tile !== place)) return order;
  }
}

/**
 * An image [C, H, W] whose 3 x 3 tiles are in another order: place `i`, row by row, gets the tile
 * `order[i]`. Tiles are floor(H / 3) by floor(W / 3); what remains at the lower and the right edge,
 * at most two rows and columns, stays where it is.
 */
export function jigsaw(
  pixels: Float32Array,
  size: { readonly height: number; readonly width: number },
  order: readonly number[],
): Float32Array<ArrayBuffer> {
  const { height, width } = size;
  const [rows, columns] = [Math.floor(height / TILES), Math.floor(width / TILES)];
  const result = new Float32Array(pixels);
  const corner = (tile: number) =>
    Math.floor(tile / TILES) * rows * width + (tile % TILES) * columns;
  for (let plane = 0; plane < pixels.length; plane += height * width) {
    for (const [place, tile] of order.entries()) {
      const [to, from] = [plane + corner(place), plane + corner(tile)];
      for (let y = 0; y < rows; y++) {
        const start = from + y * width;
        result.set(pixels.subarray(start, start + columns), to + y * width);
      }
    }
  }
  return result;
}
