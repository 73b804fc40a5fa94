/**
 * What the synthesis asks of an image: losses of a recognition model's energy by the names that they
 * have in SynOOD, and where the boundary is.
 *
 * @module
 */

import type { EnergyLossKind } from "../../kernels/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { suggestion } from "../_suggestion.ts";

/**
 * A loss by name:
 *
 * - `paper`: max(E - m_out, 0), Eq. 7 with the sign with which minimising it moves an image out of the
 *   distribution, and no further than the boundary m_out.
 * - `squared`: the square of that, as m_out is used by Liu et al. (2020).
 * - `paper-literal`: m_out - E, Eq. 7 as printed: minimising it makes images more in-distribution.
 * - `code`: (E - mean logit - 5)^2, the loss of the authors' code; it pushes logits towards equal ones,
 *   for with more than e^5 classes the 5 is out of reach.
 */
export type SynthesisLoss = "paper" | "squared" | "paper-literal" | "code";

/** The kernel's kind of each loss. */
const KINDS: Readonly<Record<SynthesisLoss, EnergyLossKind>> = {
  "paper": "hinge",
  "squared": "squared",
  "paper-literal": "literal",
  "code": "spread",
};

/** The losses, the default first. */
export const SYNTHESIS_LOSSES: readonly SynthesisLoss[] = [
  "paper",
  "squared",
  "paper-literal",
  "code",
];

/** What the code's loss wants the energy to be above the mean logit. */
export const CODE_TARGET = 5;

/** Share of the source images whose energy lies below the boundary. */
export const BOUNDARY_QUANTILE = 0.05;

/** What the kernel is asked for. */
export interface EnergyTarget {
  /** The kernel's kind. */
  readonly kind: EnergyLossKind;
  /** Its margin. */
  readonly margin: number;
}

/**
 * What the kernel `energyLoss` is asked for by a loss's name.
 *
 * @param loss The loss.
 * @param boundary m_out; the code's loss has its own number in its place.
 * @returns The kind and the margin.
 * @throws {UserError} When there is no such loss.
 *
 * @example The code's
 * ```ts
 * import { energyTarget } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(energyTarget("code", 12), { kind: "spread", margin: 5 });
 * assertEquals(energyTarget("paper", 12), { kind: "hinge", margin: 12 });
 * ```
 */
export function energyTarget(loss: SynthesisLoss, boundary: number): EnergyTarget {
  const kind = Object.hasOwn(KINDS, loss) ? KINDS[loss] : undefined;
  if (kind === undefined) {
    throw new UserError(
      `Cannot use the loss "${loss}": it must be one of ${SYNTHESIS_LOSSES.join(", ")}${
        suggestion(loss, SYNTHESIS_LOSSES)
      }`,
    );
  }
  return { kind, margin: loss === "code" ? CODE_TARGET : boundary };
}

/** Scores of images by a recognition model. */
export interface ImageScores {
  /** T log sum exp(z / T) of each image. */
  readonly energy: readonly number[];
  /** The largest softmax of each image. */
  readonly msp: readonly number[];
}

/** From which score on an image counts as in-distribution. */
export interface Boundary {
  /** m_out. */
  readonly energy: number;
  /** The same of the largest softmax. */
  readonly msp: number;
}

/**
 * The boundary that source images give: the scores that 95 % of them reach.
 *
 * @param scores Scores of the source images.
 * @param quantile Share of the images below it; 0.05 by default.
 * @returns The boundary of each score.
 * @throws {UserError} When there is no image, or the share is not between 0 and 1.
 *
 * @example A fifth lies below
 * ```ts
 * import { boundaryOf } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const energy = [5, 1, 4, 2, 3];
 * assertEquals(boundaryOf({ energy, msp: energy }, 0.2).energy, 2);
 * ```
 */
export function boundaryOf(scores: ImageScores, quantile: number = BOUNDARY_QUANTILE): Boundary {
  if (scores.energy.length === 0) {
    throw new UserError("Cannot find the boundary of a classifier: there are no source images");
  }
  if (!(quantile >= 0 && quantile < 1)) {
    throw new UserError(
      `Cannot find the boundary: the quantile must be from 0 to below 1: it is ${quantile}`,
    );
  }
  const at = (values: readonly number[]) => {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted[Math.floor(quantile * sorted.length)]!;
  };
  return { energy: at(scores.energy), msp: at(scores.msp) };
}
