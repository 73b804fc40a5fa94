/**
 * TagOOD (Li et al., MM 2024): a tagger singles out the objects of the known classes, and a small
 * model that is trained on them learns a centre for each class.
 *
 * @module
 */

export * from "./baselines.ts";
export * from "./detector.ts";
export * from "./features.ts";
export * from "./loss.ts";
export * from "./model.ts";
export * from "./objects.ts";
export * from "./projection.ts";
export { tagood, tagoodCam, TRAINED_SCORES } from "./score.ts";
export * from "./settings.ts";
export * from "./tagger.ts";
export * from "./train.ts";
export * from "./vocabulary.ts";
