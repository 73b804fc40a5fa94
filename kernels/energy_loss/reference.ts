/**
 * Losses of the energy and their gradients, in float64.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";

/** What is asked of the energy; see `energyLoss`. */
export type EnergyLossKind = "hinge" | "squared" | "literal" | "spread";

/** Arrays of {@linkcode energyLossRows}. */
export interface EnergyLossArrays {
  /** The logits, [rows, classes]. */
  readonly logits: Numbers;
  /** Where the losses go, [rows]. */
  readonly loss: Numbers;
  /** Where the energies go, [rows]. */
  readonly energy: Numbers;
  /** Where the largest probabilities go, [rows]. */
  readonly confidence: Numbers;
  /** Where the gradients go, [rows, classes]. */
  readonly dLogits: Numbers;
}

/**
 * The loss of every row, and its gradient; see `energyLoss`.
 *
 * @param arrays The logits, and where the results go.
 * @param how Number of classes, what is asked, the margin, and the temperature.
 */
export function energyLossRows(
  { logits, loss, energy, confidence, dLogits }: EnergyLossArrays,
  { classes, kind, margin, temperature }: {
    readonly classes: number;
    readonly kind: EnergyLossKind;
    readonly margin: number;
    readonly temperature: number;
  },
): void {
  for (let row = 0; row * classes < logits.length; row++) {
    const z = logits.subarray(row * classes, (row + 1) * classes);
    let top = -Infinity;
    z.forEach((value) => top = Math.max(top, value));
    let mass = 0;
    let below = 0;
    z.forEach((value) => {
      mass += Math.exp((value - top) / temperature);
      below += value - top;
    });
    const over = temperature * Math.log(mass);
    const level = top + over;
    const excess = kind === "spread" ? over - below / classes - margin : level - margin;
    const { value, slope } = lossOf(kind, excess);
    loss[row] = value;
    energy[row] = level;
    confidence[row] = 1 / mass;
    const base = kind === "spread" ? -slope / classes : 0;
    z.forEach((value, j) => {
      dLogits[row * classes + j] = slope * Math.exp((value - top) / temperature) / mass + base;
    });
  }
}

/** The loss for a distance from the margin, and its slope. */
function lossOf(kind: EnergyLossKind, excess: number): { value: number; slope: number } {
  const above = Math.max(excess, 0);
  switch (kind) {
    case "hinge":
      return { value: above, slope: excess > 0 ? 1 : 0 };
    case "squared":
      return { value: above * above, slope: 2 * above };
    case "literal":
      return { value: -excess, slope: -1 };
    case "spread":
      return { value: excess * excess, slope: 2 * excess };
    default:
      return kind satisfies never;
  }
}
