/**
 * Images of the world as bytes, for the models that are trained on it.
 *
 * @module
 */

import { type PixelSet, RowStore } from "../data/mod.ts";
import { renderImages, type Scene, worldScenes, type WorldSplitName } from "../data/world/mod.ts";
import type { Context } from "../runtime/mod.ts";

/** Pixels of a side. */
export const WORLD_SIZE = 64;
/** The world that the shipped models were trained on. */
export const WORLD_SEED = 1;
const CHUNK = 200;

/**
 * Draws the first images of a split.
 *
 * @param ctx Where they are rendered.
 * @param range Split and number of images.
 * @param onScene Told every scene with its index.
 * @returns The images.
 */
export async function drawWorld(
  ctx: Context,
  range: { readonly split: WorldSplitName; readonly count: number },
  onScene: (scene: Scene, index: number) => void,
): Promise<PixelSet> {
  const { split, count } = range;
  const rows = RowStore.open({ rows: count, rowBytes: WORLD_SIZE * WORLD_SIZE * 3 });
  for (let begin = 0; begin < count; begin += CHUNK) {
    const scenes = worldScenes(split, {
      seed: WORLD_SEED,
      begin,
      count: Math.min(CHUNK, count - begin),
    });
    const images = await renderImages(ctx, scenes);
    images.forEach(({ data }, i) => {
      rows.write(begin + i, new Uint8Array(data));
      onScene(scenes[i]!, begin + i);
    });
  }
  return {
    count,
    height: WORLD_SIZE,
    width: WORLD_SIZE,
    rows,
    origin: Uint32Array.from({ length: count }, (_, i) => i),
    skipped: [],
    [Symbol.dispose]: () => rows[Symbol.dispose](),
  };
}
