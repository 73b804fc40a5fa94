/**
 * The settings of SynOOD's two trainings and what they must be.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";
import {
  aboveZero,
  notNegative,
  requireRules,
  type Rules,
  shareBelowOne,
  wholeFrom,
} from "../_rules.ts";

/** Whose training: the paper's, or that of the authors' code where it differs. */
export type SynoodVariant = "paper" | "code";

/**
 * How image features come into the projection: with length 1, or as the image encoder gives them.
 * The projection adds rows of a length of about 16 (512 wide), so that beside `unit` features its
 * part weighs more than beside the longer `raw` ones.
 */
export type ImageLength = "unit" | "raw";

/**
 * The labels that images are told apart by: `code` the in-distribution labels and the used negative
 * ones, `all` the in-distribution labels and every negative one, `negatives` the used negative ones
 * alone, as the sum of equation 12 reads, where in-distribution images have no label and are left
 * out.
 */
export type LabelChoice = "code" | "negatives" | "all";

/**
 * How the learning rate goes down: not at all, along a cosine step by step, or along that cosine at
 * the end of each epoch, as the authors' code does.
 */
export type RateSchedule = "constant" | "cosine" | "cosine-epoch";

/**
 * The loss of label tuning: `paper` is equation 14, for each image its label's similarity to it
 * against the similarities of that label to the images of the batch; `code` is the authors', for
 * each image its label against all used negative labels.
 */
export type LabelLoss = "paper" | "code";

/** What both trainings have. */
export interface SynoodSettings {
  /** Learning rate of the first step. */
  readonly learningRate: number;
  /** Learning rate at the end of a cosine. */
  readonly finalRate: number;
  /** How it goes down. */
  readonly schedule: RateSchedule;
  /** Weight decay, added to the gradient. */
  readonly weightDecay: number;
  /** Images in a step. */
  readonly batch: number;
  /** Times that every image is seen. */
  readonly epochs: number;
  /** What cosines are multiplied with before the softmax, 1/τ; that of the labels by default. */
  readonly logitScale?: number | undefined;
  /** Seed of first values and order. */
  readonly seed: number;
}

/** All settings of the projection's training. */
export interface ProjectionSettings extends SynoodSettings {
  /** How image features come in. */
  readonly images: ImageLength;
  /** The labels that images are told apart by. */
  readonly labelSet: LabelChoice;
  /** What the layer normalisation adds to a variance. */
  readonly epsilon: number;
}

/** All settings of label tuning. */
export interface LabelTuningSettings extends SynoodSettings {
  /** The loss. */
  readonly loss: LabelLoss;
  /** Momentum of the gradient descent. */
  readonly momentum: number;
  /**
   * Length that the features have when they begin to learn. Their direction alone counts, so that a
   * step turns a row of length l by 1/l² of what it turns a row of length 1. The authors' code begins
   * with rows as CLIP's text encoder gives them, which are longer than 1.
   */
  readonly length: number;
}

/**
 * The projection's training as in the paper (section 4.1), and where it is silent as in the authors'
 * code: PyTorch's epsilon, and a cosine to 1e-5.
 */
export const PROJECTION_DEFAULTS: ProjectionSettings = {
  images: "unit",
  labelSet: "code",
  epsilon: 1e-5,
  learningRate: 1e-3,
  finalRate: 1e-5,
  schedule: "cosine",
  weightDecay: 1e-5,
  batch: 128,
  epochs: 3,
  seed: 0,
};

/** What the authors' code does otherwise: features as they come, rates that change with the epoch. */
export const PROJECTION_CODE: ProjectionSettings = {
  ...PROJECTION_DEFAULTS,
  images: "raw",
  schedule: "cosine-epoch",
};

/** Label tuning as in the paper: equation 14, plain gradient descent at a rate of 2e-3. */
export const LABEL_TUNING_DEFAULTS: LabelTuningSettings = {
  loss: "paper",
  learningRate: 2e-3,
  finalRate: 0,
  schedule: "constant",
  momentum: 0,
  weightDecay: 0,
  length: 1,
  batch: 128,
  epochs: 5,
  seed: 0,
};

/** Label tuning as in the authors' code: labels against labels, momentum, decay, ten times the rate. */
export const LABEL_TUNING_CODE: LabelTuningSettings = {
  ...LABEL_TUNING_DEFAULTS,
  loss: "code",
  learningRate: 2e-2,
  schedule: "cosine-epoch",
  momentum: 0.9,
  weightDecay: 1e-5,
};

const COMMON: Rules<SynoodSettings> = {
  learningRate: aboveZero("the learning rate"),
  finalRate: notNegative("the final rate"),
  weightDecay: notNegative("the weight decay"),
  batch: wholeFrom(1, "the batch"),
  epochs: wholeFrom(1, "the number of epochs"),
  logitScale: aboveZero("the logit scale"),
  seed: wholeFrom(0, "the seed"),
};

/**
 * Checks the projection's settings.
 *
 * @param settings The settings.
 * @returns The same settings.
 * @throws {UserError} When a number is out of its range.
 *
 * @example A batch of none
 * ```ts
 * import { PROJECTION_DEFAULTS, requireProjectionSettings } from "@oodgpu/oodgpu/methods";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(
 *   () => requireProjectionSettings({ ...PROJECTION_DEFAULTS, batch: 0 }),
 *   Error,
 *   "the batch must be a whole number from 1: it is 0",
 * );
 * ```
 */
export function requireProjectionSettings(settings: ProjectionSettings): ProjectionSettings {
  const purpose = "train the projection";
  const rules: Rules<ProjectionSettings> = { ...COMMON, epsilon: aboveZero("epsilon") };
  requireRules(settings, rules, purpose);
  requireRates(settings, purpose);
  return settings;
}

/**
 * Checks the settings of label tuning.
 *
 * @param settings The settings.
 * @returns The same settings.
 * @throws {UserError} When a number is out of its range.
 *
 * @example All momentum
 * ```ts
 * import { LABEL_TUNING_DEFAULTS, requireLabelTuningSettings } from "@oodgpu/oodgpu/methods";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(
 *   () => requireLabelTuningSettings({ ...LABEL_TUNING_DEFAULTS, momentum: 1 }),
 *   Error,
 *   "the momentum must be 0 to below 1: it is 1",
 * );
 * ```
 */
export function requireLabelTuningSettings(settings: LabelTuningSettings): LabelTuningSettings {
  const purpose = "tune labels";
  const rules: Rules<LabelTuningSettings> = {
    ...COMMON,
    momentum: shareBelowOne("the momentum"),
    length: aboveZero("the length of the features"),
  };
  requireRules(settings, rules, purpose);
  requireRates(settings, purpose);
  return settings;
}

/** A cosine goes down. */
function requireRates(settings: SynoodSettings, purpose: string): void {
  const { schedule, finalRate, learningRate } = settings;
  if (schedule === "constant" || finalRate <= learningRate) return;
  throw new UserError(
    `Cannot ${purpose}: the final rate ${finalRate} is above the learning rate ${learningRate}`,
  );
}
