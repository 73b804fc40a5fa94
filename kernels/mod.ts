/**
 * The operations: one folder each, in WGSL and as a reference in plain TypeScript, behind one
 * function that takes the context first.
 *
 * ```ts
 * import { Rng } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(new Rng(1).uniform(), new Rng(1).uniform());
 * ```
 *
 * @module
 */

export type { OutOption } from "./_out.ts";
export * from "./activation/mod.ts";
export * from "./add/mod.ts";
export * from "./add_channels/mod.ts";
export * from "./augment/mod.ts";
export * from "./background_mask/mod.ts";
export * from "./batch_norm/mod.ts";
export * from "./binary_cross_entropy/mod.ts";
export * from "./channel_norms/mod.ts";
export * from "./class_centres/mod.ts";
export * from "./class_token/mod.ts";
export * from "./column_reduce/mod.ts";
export * from "./combine_rows/mod.ts";
export * from "./concat/mod.ts";
export * from "./confidence_gradient/mod.ts";
export * from "./conv2d/mod.ts";
export * from "./cross_entropy/mod.ts";
export * from "./dropout/mod.ts";
export * from "./energy_loss/mod.ts";
export * from "./first_rows/mod.ts";
export * from "./gated_product/mod.ts";
export * from "./generalized_entropy/mod.ts";
export * from "./gradient_norm/mod.ts";
export * from "./group_norm/mod.ts";
export * from "./head_energy/mod.ts";
export * from "./k_nearest/mod.ts";
export * from "./keep_top/mod.ts";
export * from "./l2_normalize/mod.ts";
export * from "./label_mass/mod.ts";
export * from "./layer_norm/mod.ts";
export * from "./lh_activation/mod.ts";
export * from "./lookup_rows/mod.ts";
export * from "./matmul/linear.ts";
export * from "./matmul/mod.ts";
export * from "./moments/mod.ts";
export * from "./mul/mod.ts";
export * from "./norm_hinge/mod.ts";
export * from "./object_mask/compact.ts";
export * from "./object_mask/mod.ts";
export * from "./optimizer/mod.ts";
export * from "./pad2d/mod.ts";
export * from "./percentile/mod.ts";
export * from "./permute/mod.ts";
export * from "./pool2d/mod.ts";
export * from "./prefix_sum/mod.ts";
export * from "./preprocess/mod.ts";
export * from "./prototype_distance/mod.ts";
export * from "./quadratic_form/mod.ts";
export * from "./ragged_attention/mod.ts";
export * from "./ragged_gather/mod.ts";
export * from "./ragged_mean/mod.ts";
export * from "./random/mod.ts";
export * from "./render_world/mod.ts";
export * from "./repeat_rows/mod.ts";
export * from "./resize_nearest/mod.ts";
export * from "./row_reduce/mod.ts";
export * from "./sign_step/mod.ts";
export * from "./softmax/mod.ts";
export * from "./softmax_excess/mod.ts";
export * from "./squared_error/mod.ts";
export * from "./store_value/mod.ts";
export * from "./tag_rule/mod.ts";
export * from "./variants.ts";
