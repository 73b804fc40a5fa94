/**
 * LBF (Ye et al., "Local Background Features Matter in Out-of-Distribution Detection"): fine-tunes
 * a classifier so that features of backgrounds are short.
 *
 * @module
 */

export * from "./background.ts";
export * from "./metadata.ts";
export * from "./model.ts";
export * from "./settings.ts";
export * from "./tune.ts";
