/**
 * What a scene shows, in words and numbers, as it stands in a line of `tags.jsonl`.
 *
 * @module
 */

import { worldBounds, worldCoverage } from "../../kernels/render_world/mod.ts";
import type { Scene } from "./scene.ts";

/** The tags of one image. Lengths and places are in units of the image's side. */
export interface SceneTags {
  /** The split. */
  readonly split: string;
  /** The place in the split. */
  readonly index: number;
  /** The kind of the object, or which glyph; null without one. */
  readonly object: string | null;
  /** Index of the object's class; -1 where it has none. */
  readonly label: number;
  /** The family in far-OOD, else null. */
  readonly family: string | null;
  /** The class whose surroundings are shown; null in far-OOD. */
  readonly home: string | null;
  /** The kinds of contexts. */
  readonly contexts: readonly string[];
  /** The names of their main colours, in the same order. */
  readonly contextColours: readonly string[];
  /** The texture of the background. */
  readonly background: string;
  /** The names of its colours. */
  readonly backgroundColours: readonly string[];
  /** The names of the object's main and second colour. */
  readonly colours: readonly string[];
  /** The object's middle, x to the right and y down; null without an object. */
  readonly position: readonly [x: number, y: number] | null;
  /** Radius of the object's figure; null without one. */
  readonly size: number | null;
  /** Its turn to the right in degrees; null without one. */
  readonly angle: number | null;
  /** Left, top, right and bottom of what is seen of the object; null without one. */
  readonly box: readonly [left: number, top: number, right: number, bottom: number] | null;
  /** Share of the image that the object covers, what lies before it included. */
  readonly maskFraction: number;
}

/** Pixels of a side of the mask that gives the fraction. */
const MASK_SIZE = 32;

/** Rounded to four digits after the point, so that lines stay short. */
function rounded(value: number): number {
  return Math.round(1e4 * value) / 1e4;
}

/**
 * The tags of a scene.
 *
 * @param scene The scene.
 * @returns The tags, ready for JSON.
 *
 * @example A tree is tagged as a tree
 * ```ts
 * import { sceneTags, WORLD_CLASSES, worldScenes } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const begin = WORLD_CLASSES.indexOf("tree");
 * const [scene] = worldScenes("test", { seed: 1, begin, count: 1 });
 * assertEquals(sceneTags(scene!).object, "tree");
 * ```
 */
export function sceneTags(scene: Scene): SceneTags {
  const { split, index, object, label, family = null, home = null, contexts, background } = scene;
  const clip = (value: number) => rounded(Math.min(1, Math.max(0, value)));
  const [left, top, right, bottom] = worldBounds(object?.parts ?? []);
  const mask = object === undefined ? undefined : sceneMask(scene, MASK_SIZE);
  return {
    split,
    index,
    object: object?.kind ?? null,
    label,
    family,
    home,
    contexts: contexts.map(({ kind }) => kind),
    contextColours: contexts.map(({ colour }) => colour),
    background: background.kind,
    backgroundColours: background.colours,
    colours: object?.colours ?? [],
    position: object === undefined ? null : [rounded(object.pose.x), rounded(object.pose.y)],
    size: object === undefined ? null : rounded(object.pose.size),
    angle: object === undefined ? null : rounded(object.pose.angle * 180 / Math.PI),
    box: object === undefined ? null : [clip(left), clip(top), clip(right), clip(bottom)],
    maskFraction: mask === undefined
      ? 0
      : rounded(mask.reduce((sum, value) => sum + value, 0) / mask.length),
  };
}

/**
 * Where the object is: how much of each pixel it covers, on the host. Contexts that lie before it
 * are not taken away.
 *
 * @param scene The scene.
 * @param size Pixels of a side.
 * @returns f32 `[size, size]`, 0 to 1; zeros without an object.
 *
 * @example A background has no object
 * ```ts
 * import { sceneMask, worldScenes } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const [scene] = worldScenes("background", { seed: 1, count: 1 });
 * assertEquals(sceneMask(scene!, 2), new Float32Array(4));
 * ```
 */
export function sceneMask(scene: Scene, size: number): Float32Array<ArrayBuffer> {
  return worldCoverage(scene.object?.parts ?? [], size);
}
