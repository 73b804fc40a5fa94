/**
 * TagOOD (Li et al., MM 2024): a tagger singles out the objects of the known classes, and a small
 * model that is trained on them learns a centre for each class.
 *
 * @module
 */

export * from "./baselines.ts";
export {
  fittedTagood,
  type ScoreChoice,
  scoreObjects,
  type ScoreObjectsOptions,
  withScore,
} from "./detector.ts";
export {
  type ObjectRecord,
  type ObjectRule,
  type ObjectSource,
  writeObjects,
  type WriteObjectsOptions,
  type WrittenObjects,
} from "./features.ts";
export * from "./model.ts";
export { loadObjects, type LoadObjectsOptions, type ObjectSet } from "./objects.ts";
export { tagood, tagoodCam, TRAINED_SCORES } from "./score.ts";
export * from "./settings.ts";
export * from "./tagger.ts";
export * from "./train.ts";
export * from "./vocabulary.ts";
