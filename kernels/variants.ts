/**
 * Which operations have several kernels, which kernels, and what an adapter gets.
 *
 * @module
 */

import type { Gpu } from "../runtime/mod.ts";
import { COLUMN_VARIANTS } from "./_columns.ts";
import { POINTWISE_VARIANTS } from "./_pointwise.ts";
import { PRODUCT_VARIANTS } from "./_products.ts";

const ROW_VARIANTS = ["naive", "serial", "tree"] as const;

const PRODUCTS = [
  "matmul",
  "conv2d",
  "conv2dDataGradient",
  "conv2dWeightGradient",
  "cosineMax",
  "euclideanMin",
  "klMin",
  "labelMass",
  "maxShare",
  "bestLabel",
  "headEnergy",
  "backgroundMask",
  "quadraticForm",
  "kNearest",
  "moments",
  "raggedAttention",
  "raggedAttentionGradient",
  "toChannelsLast",
  "toChannelsFirst",
] as const;

const ROW_OPERATIONS = [
  "rowSum",
  "rowMean",
  "rowMax",
  "rowArgmax",
  "rowLogSumExp",
  "rowMaxSoftmax",
  "softmax",
  "layerNorm",
  "l2Normalize",
  "channelNorms",
  "generalizedEntropy",
  "normHinge",
  "crossEntropy",
  "binaryCrossEntropy",
  "centreLoss",
  "layerNormGradient",
  "l2NormalizeGradient",
  "gradientNorm",
  "keepTop",
  "softmaxExcess",
  "squaredError",
  "confidenceGradient",
  "energyLoss",
] as const;

const COLUMN_OPERATIONS = [
  "batchNorm",
  "groupNorm",
  "columnSum",
  "columnMean",
  "insertClassToken",
  "insertClassTokenGradient",
  "firstRowsGradient",
  "updateCentres",
  "lookupRowsGradient",
] as const;

const POINTWISE = [
  "activation",
  "activationGradient",
  "add",
  "addChannels",
  "addChannelsGradient",
  "addInto",
  "scale",
  "mul",
  "mulGradient",
  "maxPool2d",
  "maxPool2dGradient",
  "averagePool2d",
  "averagePool2dGradient",
  "globalAveragePool",
  "globalAveragePoolGradient",
  "concatChannels",
  "sliceChannels",
  "resizeNearest",
  "resizeNearestGradient",
  "pad2d",
  "pad2dGradient",
  "dropout",
  "signStep",
  "firstRows",
  "repeatRows",
  "lookupRows",
] as const;

/**
 * The variants of every operation that has several, by the names that `Gpu.open({ variants })`
 * takes; `naive` is the baseline that the others are measured against.
 *
 * @example What a matrix product can run
 * ```ts
 * import { KERNEL_VARIANTS } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(KERNEL_VARIANTS["matmul"], ["naive", "register", "tiled"]);
 * ```
 */
export const KERNEL_VARIANTS: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(PRODUCTS.map((operation) => [operation, PRODUCT_VARIANTS])),
  ...Object.fromEntries(ROW_OPERATIONS.map((operation) => [operation, ROW_VARIANTS])),
  ...Object.fromEntries(POINTWISE.map((operation) => [operation, POINTWISE_VARIANTS])),
  ...Object.fromEntries(COLUMN_OPERATIONS.map((operation) => [operation, COLUMN_VARIANTS])),
  classSums: ["naive", "columns", "classes"],
  objectMask: ["naive", "serial", "tree"],
  prefixSum: ["naive", "serial", "tree"],
  raggedGather: ["naive", "serial", "tree"],
  raggedMean: ["naive", "serial", "tree"],
  gatedProduct: ["naive", "register"],
  augment: ["naive", "quads"],
  preprocess: ["naive", "passes"],
  renderWorld: ["naive", "boxes"],
};

/**
 * What a GPU runs for every operation that has several kernels.
 *
 * @param gpu The GPU.
 * @returns The variant by operation; where the shape decides too, the rule.
 *
 * @example A forced variant
 * ```ts
 * import { describeVariants } from "@oodgpu/oodgpu/kernels";
 * import { Gpu } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await Gpu.open({ variants: { matmul: "naive" } });
 * assertEquals(describeVariants(gpu)["matmul"], "naive (forced)");
 * ```
 */
export function describeVariants(gpu: Gpu): Record<string, string> {
  const { isSoftware } = gpu.adapter;
  const automatic: Record<string, string> = {};
  for (const operation of PRODUCTS) automatic[operation] = isSoftware ? "register" : "tiled";
  for (const operation of ROW_OPERATIONS) {
    automatic[operation] = isSoftware ? "serial, tree for few or very long rows" : "tree";
  }
  for (const operation of COLUMN_OPERATIONS) automatic[operation] = isSoftware ? "serial" : "tree";
  for (const operation of POINTWISE) automatic[operation] = "vector";
  automatic["classSums"] = isSoftware ? "columns" : "classes";
  for (const operation of ["objectMask", "prefixSum", "raggedGather", "raggedMean"]) {
    automatic[operation] = isSoftware ? "serial" : "tree";
  }
  automatic["gatedProduct"] = "register";
  automatic["augment"] = "quads, naive where the width is no multiple of four";
  automatic["preprocess"] = "passes";
  automatic["renderWorld"] = "boxes";
  const forced = Object.entries(gpu.variants).map((
    [name, variant],
  ) => [name, `${variant} (forced)`]);
  return { ...automatic, ...Object.fromEntries(forced) };
}
