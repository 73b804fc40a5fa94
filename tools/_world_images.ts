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

/** Scenes of a split, the first ones by default. */
export interface WorldRange {
  readonly split: WorldSplitName;
  readonly begin?: number;
  readonly count: number;
}

/**
 * What models with words learn from: a superset of what a classifier is taught, the 20 classes, the
 * kinds that are unseen to it, surroundings, textures and glyphs.
 */
export const NAMED_WORLD: readonly WorldRange[] = [
  { split: "train", count: 20_000 },
  { split: "near-ood", count: 16_000 },
  { split: "background", count: 3000 },
  { split: "far-ood", count: 1000 },
];

/** A share of the scenes of each range, for trials. */
export function shareOf(ranges: readonly WorldRange[], share: number): WorldRange[] {
  return ranges.map((range) => ({ ...range, count: Math.round(share * range.count) }));
}

/**
 * Draws images of one split or of several, one behind the other.
 *
 * @param ctx Where they are rendered.
 * @param ranges Splits and numbers of images.
 * @param onScene Told every scene with its index.
 * @returns The images.
 */
export async function drawWorld(
  ctx: Context,
  ranges: WorldRange | readonly WorldRange[],
  onScene: (scene: Scene, index: number) => void,
): Promise<PixelSet> {
  const parts = [ranges].flat() as WorldRange[];
  const total = parts.reduce((sum, { count }) => sum + count, 0);
  const rows = RowStore.open({ rows: total, rowBytes: WORLD_SIZE * WORLD_SIZE * 3 });
  let at = 0;
  for (const { split, begin = 0, count } of parts) {
    for (let i = 0; i < count; i += CHUNK) {
      const scenes = worldScenes(split, {
        seed: WORLD_SEED,
        begin: begin + i,
        count: Math.min(CHUNK, count - i),
      });
      const images = await renderImages(ctx, scenes);
      images.forEach(({ data }, n) => {
        rows.write(at, new Uint8Array(data));
        onScene(scenes[n]!, at++);
      });
    }
  }
  return {
    count: total,
    height: WORLD_SIZE,
    width: WORLD_SIZE,
    rows,
    origin: Uint32Array.from({ length: total }, (_, i) => i),
    skipped: [],
    [Symbol.dispose]: () => rows[Symbol.dispose](),
  };
}
