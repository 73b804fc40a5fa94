/**
 * The settings of TagOOD's training and what they must be.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";

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

interface Rule {
  readonly name: string;
  readonly fits: (value: number) => boolean;
  readonly expected: string;
}

const share = (value: number) => value >= 0 && value < 1;
const notNegative = (value: number) => value >= 0 && Number.isFinite(value);
const whole = (least: number) => (value: number) => Number.isSafeInteger(value) && value >= least;

const wholeFromOne = (name: string): Rule => ({
  name,
  fits: whole(1),
  expected: "a whole number from 1",
});

const RULES: Readonly<Partial<Record<keyof TagoodSettings, Rule>>> = {
  width: wholeFromOne("the width"),
  depth: { name: "the depth", fits: whole(0), expected: "a whole number from 0" },
  heads: wholeFromOne("the number of heads"),
  hidden: wholeFromOne("the hidden width"),
  dropout: { name: "the dropout", fits: share, expected: "0 to below 1" },
  attentionDropout: { name: "the attention dropout", fits: share, expected: "0 to below 1" },
  alpha: { name: "α (alpha)", fits: notNegative, expected: "0 or more" },
  beta: { name: "β (beta)", fits: notNegative, expected: "0 or more" },
  centreRate: {
    name: "γ₂ (the centre rate)",
    fits: (v) => v > 0 && v <= 1,
    expected: "above 0 and at most 1",
  },
  learningRate: {
    name: "the learning rate",
    fits: (v) => v > 0 && Number.isFinite(v),
    expected: "above 0",
  },
  finalRate: { name: "the final rate", fits: notNegative, expected: "0 or more" },
  weightDecay: { name: "the weight decay", fits: notNegative, expected: "0 or more" },
  batch: wholeFromOne("the batch"),
  epochs: wholeFromOne("the number of epochs"),
  patience: wholeFromOne("the patience"),
  seed: { name: "the seed", fits: whole(0), expected: "a whole number from 0" },
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
  for (const [key, { name, fits, expected }] of Object.entries(RULES)) {
    const value = settings[key as keyof TagoodSettings] as number | undefined;
    if (value === undefined || fits(value)) continue;
    throw new UserError(`Cannot train TagOOD: ${name} must be ${expected}: it is ${value}`);
  }
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
