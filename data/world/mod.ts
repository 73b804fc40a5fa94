/**
 * A procedural world for OOD research: objects of many kinds, in surroundings that say something
 * about them and do not decide, rendered by one kernel from a seed.
 *
 * @module
 */

export { UNSEEN_TEXTURES, WORLD_BACKGROUNDS, type WorldBackground } from "./backgrounds.ts";
export { WORLD_CONTEXTS, type WorldContext } from "./contexts.ts";
export {
  WORLD_VERSION,
  type WorldManifest,
  type WorldManifestSplit,
  writeWorld,
  type WriteWorldOptions,
} from "./folder.ts";
export { WORLD_CLASSES, WORLD_UNSEEN_KINDS } from "./kinds.ts";
export { type ColourName, WORLD_COLOURS } from "./palette.ts";
export type { Pose } from "./pen.ts";
export { contactSheet, renderImages, type RenderOptions, renderScenes } from "./render.ts";
export { type Scene, type SceneRange, type WorldObject, worldScenes } from "./scene.ts";
export {
  FAR_FAMILIES,
  type FarFamily,
  WORLD_COUNTS,
  WORLD_SPLITS,
  type WorldCounts,
  type WorldSplit,
  worldSplit,
  type WorldSplitName,
} from "./split.ts";
export { sceneMask, type SceneTags, sceneTags } from "./tags.ts";
