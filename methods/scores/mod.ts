/**
 * The post-hoc scores, one file each.
 *
 * ```ts
 * import { energy } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(energy.needs, ["logits"]);
 * ```
 *
 * @module
 */

export * from "./ash.ts";
export * from "./csp.ts";
export * from "./dice.ts";
export * from "./dice_react.ts";
export * from "./energy.ts";
export * from "./feature_norm.ts";
export * from "./gen.ts";
export * from "./grad_norm.ts";
export * from "./knn.ts";
export * from "./lhact.ts";
export * from "./line.ts";
export * from "./mahalanobis.ts";
export * from "./max_logit.ts";
export * from "./mcm.ts";
export * from "./msp.ts";
export * from "./neg_label.ts";
export * from "./odin.ts";
export * from "./react.ts";
export * from "./rmds.ts";
export * from "./scale.ts";
export * from "./ssd.ts";
export * from "./vim.ts";
