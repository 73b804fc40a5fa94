/**
 * TagOOD (Li et al., MM 2024): a tagger singles out the objects of the known classes, and a small
 * model that is trained on them learns a centre for each class.
 *
 * @module
 */

export * from "./vocabulary.ts";
