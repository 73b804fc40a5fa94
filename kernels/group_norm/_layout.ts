/**
 * What a group normalisation and its gradient are given alike.
 *
 * @module
 */

import { ShapeError, type Tensor } from "../../runtime/mod.ts";
import { requireVector } from "../_arguments.ts";
import type { ColumnVariant } from "../_columns.ts";
import { requireMaps } from "../_maps.ts";
import type { GroupedMaps } from "./_plan.ts";

/** What is applied after a normalisation, in the same kernel: nothing, or `u * sigmoid(u)`. */
export type GroupNormActivation = "none" | "silu";

/** Tensors of {@linkcode groupNorm}. */
export interface GroupNormInputs {
  /** f32 [N, H, W, C] with at least one position and one channel. */
  readonly x: Tensor;
  /** Factor of each channel, f32 [C]. */
  readonly weight: Tensor;
  /** Summand of each channel, f32 [C]. */
  readonly bias: Tensor;
}

/** What {@linkcode groupNorm} and its gradient are told alike. */
export interface GroupNormLayout {
  /** Groups of channels, a divisor of their number. */
  readonly groups: number;
  /** Applied to the result, none by default. */
  readonly activation?: GroupNormActivation | undefined;
  /** Forces a variant. */
  readonly variant?: ColumnVariant;
}

/** Checks what a normalisation and its gradient have in common. */
export function requireGroups(
  { x, weight, bias }: GroupNormInputs,
  { kernel, groups, activation = "none" }: GroupNormLayout & { readonly kernel: string },
): { readonly maps: GroupedMaps; readonly silu: boolean } {
  const { n, height, width, channels } = requireMaps(x, { kernel, name: "x" });
  const positions = height * width;
  if (positions * channels === 0) {
    throw new ShapeError(kernel, "x", {
      expected: "[N, H, W, C] with at least one position and one channel",
      actual: x.shape,
    });
  }
  requireVector(weight, { kernel, name: "weight", length: channels });
  requireVector(bias, { kernel, name: "bias", length: channels });
  if (!(Number.isInteger(groups) && groups >= 1 && channels % groups === 0)) {
    throw new RangeError(
      `Cannot run ${kernel}: "groups" must divide the ${channels} channels: it is ${groups}`,
    );
  }
  if (activation !== "none" && activation !== "silu") {
    throw new RangeError(
      `Cannot run ${kernel}: "activation" must be none or silu: it is "${activation}"`,
    );
  }
  return { maps: { n, positions, channels, groups }, silu: activation === "silu" };
}
