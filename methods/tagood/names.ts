/**
 * The names of the trained methods, for those who need no more of them.
 *
 * This module is browser compatible.
 *
 * @module
 */

/** TagOOD on a tagger. */
export const TAGOOD = "tagood";
/** TagOOD on a classifier's activation maps. */
export const TAGOOD_CAM = "tagood_cam";
/** Both. */
export const TRAINED_NAMES: readonly string[] = [TAGOOD, TAGOOD_CAM];
