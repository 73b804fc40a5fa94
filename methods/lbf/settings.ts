/**
 * The settings of local-feature fine-tuning (LBF) and what they must be.
 *
 * @module
 */

import type { BatchNormMode } from "../../nn/mod.ts";
import type { InsertNorms, Trainable } from "../../onnx/mod.ts";
import {
  aboveZero,
  notNegative,
  requireRules,
  type Rules,
  shareAboveZero,
  shareBelowOne,
  wholeFrom,
} from "../_rules.ts";

/**
 * Which model says where the background is: `online` the one that is trained, as it is at that
 * step; `frozen` the one that training began from.
 */
export type Selection = "online" | "frozen";

/** All settings of a tuning. */
export interface LbfSettings {
  /** What learns. */
  readonly trainable: Trainable;
  /** Who selects the background. */
  readonly selection: Selection;
  /** Which statistics batch normalisation takes. */
  readonly batchNorm: BatchNormMode;
  /** Whether batch normalisation is put behind convolutions for the training. */
  readonly insertNorms: InsertNorms;
  /** A location is background when the true class has less probability there; δ. */
  readonly delta: number;
  /** Norms of background features below this are left alone; μ. */
  readonly margin: number;
  /** Weight of the background's loss beside cross-entropy; λ. */
  readonly weight: number;
  /** Times that every image is seen. */
  readonly epochs: number;
  /** Images in a step. */
  readonly batch: number;
  /** Learning rate of the first half; a tenth of it after. */
  readonly learningRate: number;
  /** Momentum of SGD. */
  readonly momentum: number;
  /** Weight decay of SGD. */
  readonly weightDecay: number;
  /** Largest norm of the gradient; none by default. */
  readonly maxNorm?: number | undefined;
  /** Pixels by which a crop may be off, each way. */
  readonly shift: number;
  /** Whether half of the images are mirrored. */
  readonly flip: boolean;
  /** Seed of the order and of the moves. */
  readonly seed: number;
}

/** Settings that do not depend on the model and the images. */
export const LBF_DEFAULTS: Omit<LbfSettings, "delta" | "margin" | "shift" | "maxNorm"> = {
  trainable: "all",
  selection: "online",
  batchNorm: "train",
  insertNorms: "auto",
  weight: 1,
  epochs: 4,
  batch: 128,
  learningRate: 0.01,
  momentum: 0.9,
  weightDecay: 1e-4,
  flip: true,
  seed: 0,
};

const RULES: Rules<LbfSettings> = {
  delta: shareAboveZero("δ (delta)"),
  margin: notNegative("μ (margin)"),
  weight: notNegative("λ (weight)"),
  epochs: wholeFrom(1, "the number of epochs"),
  batch: wholeFrom(1, "the batch"),
  learningRate: aboveZero("the learning rate"),
  momentum: shareBelowOne("the momentum"),
  weightDecay: notNegative("the weight decay"),
  maxNorm: aboveZero("the largest gradient norm"),
  shift: wholeFrom(0, "the shift"),
  seed: wholeFrom(0, "the seed"),
};

/**
 * Checks settings.
 *
 * @param settings The settings.
 * @returns The same settings.
 * @throws {UserError} When a number is out of its range.
 *
 * @example A δ beyond 1
 * ```ts
 * import { LBF_DEFAULTS, requireLbfSettings } from "@oodgpu/oodgpu/methods";
 * import { UserError } from "@oodgpu/oodgpu/runtime";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(
 *   () => requireLbfSettings({ ...LBF_DEFAULTS, delta: 2, margin: 1, shift: 4 }),
 *   UserError,
 *   "δ (delta) must be above 0 and at most 1: it is 2",
 * );
 * ```
 */
export function requireLbfSettings(settings: LbfSettings): LbfSettings {
  requireRules(settings, RULES, "tune");
  return settings;
}
