/**
 * The settings of the synthesis and what they must be.
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
import { suggestion } from "../_suggestion.ts";
import { energyTarget, type SynthesisLoss } from "./synthesis_loss.ts";

/**
 * How many updates of the noise take effect: `paper` decodes once more behind the last of N updates (N
 * updates, N + 1 denoisings); `code` saves the Nth decoded image, before the last update (N - 1
 * updates, N denoisings).
 */
export type UpdateCount = "paper" | "code";

/**
 * What the gradient is taken by: `latents` by z_0 as the U-Net makes it, Eq. 9; `vae` by what the
 * decoder takes, which is z_0 already divided by the scaling factor, as the authors' code does. The
 * first is the second divided by the scaling factor.
 */
export type GradientBy = "latents" | "vae";

/** Which images are kept: all, or those whose score has fallen below the boundary. */
export type SynthesisFilter = "none" | "energy" | "msp";

/** All settings of a synthesis. */
export interface SynthesisSettings {
  /** Steps of a whole sampling. */
  readonly steps: number;
  /** How far images are taken back towards noise. */
  readonly strength: number;
  /** Classifier-free guidance. */
  readonly guidance: number;
  /** N, updates of the noise. */
  readonly iterations: number;
  /** How they are counted. */
  readonly count: UpdateCount;
  /** r ρ of Eq. 10. */
  readonly rate: number;
  /** What the gradient is taken by. */
  readonly gradientBy: GradientBy;
  /** The loss. */
  readonly loss: SynthesisLoss;
  /** τ of the loss. */
  readonly temperature: number;
  /** m_out; from the source images' scores by default. */
  readonly boundary?: number | undefined;
  /** Share of the source images that lie below it. */
  readonly quantile: number;
  /** Which images are kept. */
  readonly filter: SynthesisFilter;
  /** Seed of the noise. */
  readonly seed: number;
}

/** The paper's settings, with the guidance of the authors' code, of which the paper is silent. */
export const SYNTHESIS_DEFAULTS: SynthesisSettings = {
  steps: 20,
  strength: 0.6,
  guidance: 8,
  iterations: 3,
  count: "paper",
  rate: 10,
  gradientBy: "latents",
  loss: "paper",
  temperature: 1,
  quantile: 0.05,
  filter: "none",
  seed: 0,
};

const RULES: Rules<SynthesisSettings> = {
  steps: wholeFrom(1, "the number of steps"),
  strength: shareAboveZero("the strength"),
  guidance: notNegative("the guidance"),
  iterations: wholeFrom(0, "the number of iterations"),
  rate: notNegative("the rate"),
  temperature: aboveZero("the temperature"),
  quantile: shareBelowOne("the quantile"),
  seed: wholeFrom(0, "the seed"),
};

const CHOICES: Readonly<Record<string, readonly string[]>> = {
  count: ["paper", "code"] satisfies UpdateCount[],
  gradientBy: ["latents", "vae"] satisfies GradientBy[],
  filter: ["none", "energy", "msp"] satisfies SynthesisFilter[],
};

/**
 * Checks settings.
 *
 * @param settings The settings.
 * @returns The same settings.
 * @throws {UserError} When one makes no sense.
 *
 * @example A strength of nothing
 * ```ts
 * import { requireSynthesisSettings, SYNTHESIS_DEFAULTS } from "@oodgpu/oodgpu/methods";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(
 *   () => requireSynthesisSettings({ ...SYNTHESIS_DEFAULTS, strength: 0 }),
 *   Error,
 *   "the strength must be above 0 and at most 1",
 * );
 * ```
 */
export function requireSynthesisSettings(settings: SynthesisSettings): SynthesisSettings {
  requireRules(settings, RULES, "make images");
  energyTarget(settings.loss, 0);
  for (const [key, known] of Object.entries(CHOICES)) {
    const value = settings[key as keyof SynthesisSettings] as string;
    if (known.includes(value)) continue;
    throw new UserError(
      `Cannot make images: ${key} must be one of ${known.join(", ")}: it is "${value}"${
        suggestion(value, known)
      }`,
    );
  }
  if (settings.boundary !== undefined && !Number.isFinite(settings.boundary)) {
    throw new UserError(
      `Cannot make images: the boundary must be a number: it is ${settings.boundary}`,
    );
  }
  return settings;
}

/**
 * How often latents are denoised: once more than the noise is updated.
 *
 * @param settings Iterations and how they are counted.
 * @returns The number of denoisings, at least one.
 *
 * @example The paper's and the code's three iterations
 * ```ts
 * import { denoisingsOf } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(denoisingsOf({ iterations: 3, count: "paper" }), 4);
 * assertEquals(denoisingsOf({ iterations: 3, count: "code" }), 3);
 * ```
 */
export function denoisingsOf(
  { iterations, count }: Pick<SynthesisSettings, "iterations" | "count">,
): number {
  return count === "paper" ? iterations + 1 : Math.max(1, iterations);
}
