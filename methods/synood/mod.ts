/**
 * SynOOD (Li et al., ICCV 2025): near-boundary images, and a vision-language model that is tuned on
 * them against labels from outside.
 *
 * @module
 */

export * from "./label_set.ts";
