/**
 * The settings of TagOOD's training and what they must be.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";
import {
  aboveZero,
  notNegative,
  requireRules,
  type Rules,
  shareAboveZero,
  shareBelowOne,
  wholeFrom,
} from "../_rules.ts";

/** Whose training: the paper's, or that of the authors' code where it differs. */
export type TagoodVariant = "paper" | "code";

/** All settings of a training. */
export interface TagoodSettings {
  /** Whose training it is. */
  readonly variant: TagoodVariant;
  /** Width of the projected space. */
  readonly width: number;
  /** Number of encoder blocks. */
  readonly depth: number;
  /** Attention heads of a block. */
  readonly heads: number;
  /** Width inside the perceptrons. */
  readonly hidden: number;
  /** Share of row elements that dropout zeroes. */
  readonly dropout: number;
  /** Share of attention probabilities that dropout zeroes. */
  readonly attentionDropout: number;
  /** Weight of cross-entropy; α. */
  readonly alpha: number;
  /** Weight of the distance to the class's centre; β. */
  readonly beta: number;
  /**
   * Share by which a sample moves its class's centre; γ₂. Undefined: the paper's 1e-4 at the paper's
   * number of samples, and on smaller data so much more that centres travel as far.
   */
  readonly centreRate?: number | undefined;
  /** Learning rate of the first step. */
  readonly learningRate: number;
  /** Learning rate at the end of the cosine. */
  readonly finalRate: number;
  /** Decoupled weight decay; 0 makes AdamW plain Adam. */
  readonly weightDecay: number;
  /** Images in a step. */
  readonly batch: number;
  /** Times that every image is seen. */
  readonly epochs: number;
  /** Epochs without a better validation loss after which training stops; never by default. */
  readonly patience?: number | undefined;
  /** Seed of first values, order and dropout. */
  readonly seed: number;
}

/** The paper's settings (section 4.1), and where it is silent those of the authors' code. */
export const TAGOOD_DEFAULTS: TagoodSettings = {
  variant: "paper",
  width: 512,
  depth: 2,
  heads: 8,
  hidden: 2048,
  dropout: 0.1,
  attentionDropout: 0.1,
  alpha: 1,
  beta: 0.1,
  learningRate: 0.01,
  finalRate: 0,
  weightDecay: 0,
  batch: 256,
  epochs: 100,
  seed: 0,
};

/** What the authors' code does otherwise: AdamW, a floor under the rate, a faster average. */
export const TAGOOD_CODE: TagoodSettings = {
  ...TAGOOD_DEFAULTS,
  variant: "code",
  weightDecay: 5e-4,
  finalRate: 1e-5,
  centreRate: 1e-3,
};

/** Parts of a feature that the code's variant compares with the same parts of a centre. */
export const CODE_PATTERNS = 4;

/**
 * Updates of one centre times γ₂ in the paper's training: 1,281,167 images of 1000 classes, 100
 * epochs, 1e-4.
 */
const PAPER_TRAVEL = 1e-4 * 100 * 1_281_167 / 1000;

/**
 * The share by which a sample moves its class's centre.
 *
 * @param settings The settings.
 * @param data Samples of an epoch, and classes.
 * @returns γ₂: what the settings say, or the rate that lets centres travel as far as the paper's.
 *
 * @example The paper's own data
 * ```ts
 * import { centreRateOf, TAGOOD_DEFAULTS } from "@oodgpu/oodgpu/methods";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * const rate = centreRateOf(TAGOOD_DEFAULTS, { samples: 1_281_167, classes: 1000 });
 * assertAlmostEquals(rate, 1e-4);
 * ```
 */
export function centreRateOf(
  settings: TagoodSettings,
  data: { readonly samples: number; readonly classes: number },
): number {
  const updates = settings.epochs * data.samples / data.classes;
  return settings.centreRate ?? Math.min(1, PAPER_TRAVEL / updates);
}

const RULES: Rules<TagoodSettings> = {
  width: wholeFrom(1, "the width"),
  depth: wholeFrom(0, "the depth"),
  heads: wholeFrom(1, "the number of heads"),
  hidden: wholeFrom(1, "the hidden width"),
  dropout: shareBelowOne("the dropout"),
  attentionDropout: shareBelowOne("the attention dropout"),
  alpha: notNegative("α (alpha)"),
  beta: notNegative("β (beta)"),
  centreRate: shareAboveZero("γ₂ (the centre rate)"),
  learningRate: aboveZero("the learning rate"),
  finalRate: notNegative("the final rate"),
  weightDecay: notNegative("the weight decay"),
  batch: wholeFrom(1, "the batch"),
  epochs: wholeFrom(1, "the number of epochs"),
  patience: wholeFrom(1, "the patience"),
  seed: wholeFrom(0, "the seed"),
};

/**
 * Checks settings.
 *
 * @param settings The settings.
 * @returns The same settings.
 * @throws {UserError} When a number is out of its range, or the heads do not divide the width.
 *
 * @example Heads that do not divide the width
 * ```ts
 * import { requireTagoodSettings, TAGOOD_DEFAULTS } from "@oodgpu/oodgpu/methods";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(
 *   () => requireTagoodSettings({ ...TAGOOD_DEFAULTS, width: 100 }),
 *   Error,
 *   "a width of 100 cannot be shared by 8 heads",
 * );
 * ```
 */
export function requireTagoodSettings(settings: TagoodSettings): TagoodSettings {
  requireRules(settings, RULES, "train TagOOD");
  const { variant, width, heads } = settings;
  if (width % heads !== 0) {
    throw new UserError(
      `Cannot train TagOOD: a width of ${width} cannot be shared by ${heads} heads`,
    );
  }
  if (variant === "code" && width % CODE_PATTERNS !== 0) {
    throw new UserError(
      `Cannot train TagOOD: a width of ${width} has no ${CODE_PATTERNS} equal parts, which the ` +
        "code's variant compares",
    );
  }
  return settings;
}
