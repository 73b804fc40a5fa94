/**
 * Trained labels and projections as detectors.
 *
 * @module
 */

import { UserError } from "../../runtime/mod.ts";
import { aboveZero, requireRules, wholeFrom } from "../_rules.ts";
import { groupNegatives } from "../scores/_labels.ts";
import type { Fitted, FittedState } from "../score.ts";
import { stateArray } from "../_state.ts";
import type { LabelSet } from "./label_set.ts";
import { requireProjectionWidth } from "./label_tuning.ts";
import { type Projection, PROJECTION_ARRAYS } from "./model.ts";
import { synood } from "./score.ts";
import { IMAGE_LENGTHS } from "./_score_state.ts";

/** How labels and projection score. */
export interface SynoodScoreOptions {
  /** Groups of negative labels; NegLabel's 100 by default, and no more than there are labels. */
  readonly groups?: number | undefined;
  /** Temperature of the softmax over cosines; one over the labels' logit scale by default. */
  readonly tau?: number | undefined;
  /** Seed of the shuffle before negative labels are shared out; 0 by default. */
  readonly seed?: number | undefined;
}

/** NegLabel's. */
const GROUPS = 100;

/** Share of negative labels from which on it is said that they are left out. */
const MUCH = 0.02;

/**
 * Labels, and a projection if there is one, as a fitted score.
 *
 * @param labels The labels, tuned or not.
 * @param projection The projection; without one images are compared with labels as they are.
 * @param options Groups, scale and seed.
 * @returns The fitted score.
 * @throws {UserError} When there is no negative label, a number makes no sense, or the projection is
 * of another width.
 *
 * @example One class, two negative labels
 * ```ts
 * import { fittedSynood } from "@oodgpu/oodgpu/methods";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const fitted = fittedSynood({
 *   ids: ["cat"], negatives: ["sea", "sky"], kinds: ["noun", "noun"], mining: "given",
 *   text: new Float32Array([1, 0, 0, -1, 0, 1]), width: 2, logitScale: Math.log(3), model: "m",
 * }, undefined, { groups: 1 });
 * const x = host.upload(new Float32Array([5, 0]), [1, 2]);
 * const [score] = await host.read(fitted.score(host, { "image_embed": x }));
 * assertAlmostEquals(score![0]!, 3 / (3 + 1 + 1), 1e-6);
 * ```
 */
export function fittedSynood(
  labels: LabelSet,
  projection?: Projection,
  options: SynoodScoreOptions = {},
): Fitted {
  const { ids, negatives, width, text, logitScale } = labels;
  requireProjectionWidth(projection, labels);
  if (negatives.length === 0) {
    throw new UserError("Cannot make a detector of these labels: there is no negative label");
  }
  const { groups: wanted = GROUPS, tau = 1 / logitScale, seed = 0 } = options;
  requireRules({ groups: wanted, tau, seed }, {
    groups: wholeFrom(0, "the number of groups"),
    tau: aboveZero("τ (tau)"),
    seed: wholeFrom(0, "the seed"),
  }, "make a detector of these labels");
  const { groups, order } = groupNegatives(negatives.length, { groups: wanted, seed });
  const arrays: Record<string, FittedState["arrays"][string]> = {
    text: stateArray(text, [ids.length + negatives.length, width]),
  };
  for (const [name, rank] of Object.entries(PROJECTION_ARRAYS)) {
    if (projection === undefined) continue;
    arrays[name] = stateArray(
      projection.parameters.get(name)!,
      new Array<number>(rank).fill(width),
    );
  }
  return synood.restore({
    parameters: {
      classes: ids.length,
      groups,
      tau,
      images: IMAGE_LENGTHS.indexOf(projection?.images ?? "unit"),
      epsilon: projection?.epsilon ?? 1e-5,
      seed,
    },
    inputs: { "image_embed": [width] },
    arrays,
    warnings: leftOver(negatives.length, { groups, kept: order.length }),
  });
}

/** What is lost when labels do not share out evenly. */
function leftOver(
  count: number,
  { groups, kept }: { readonly groups: number; readonly kept: number },
): string[] {
  const left = count - kept;
  if (left < MUCH * count) return [];
  return [
    `${left} of ${count} negative labels are left out, because ${groups} groups of one size cannot ` +
    "hold them; another number of groups may",
  ];
}
