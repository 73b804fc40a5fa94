/**
 * The methods whose detectors can be loaded.
 *
 * @module
 */

import { SCORES } from "./registry.ts";
import type { ScoreMethod } from "./score.ts";
import { synood } from "./synood/score.ts";
import { TRAINED_SCORES } from "./tagood/score.ts";

/**
 * Every method that a detector's file can be of: the scores, and those that are trained by commands
 * of their own.
 */
export const DETECTOR_METHODS: readonly ScoreMethod[] = [...SCORES, ...TRAINED_SCORES, synood];
