/**
 * Which kernels make an object mask, and how many lanes share an image: pure functions of the
 * lengths and the adapter.
 *
 * @module
 */

import { LOOP_TURNS } from "../_products.ts";
import type { ObjectMaskSize } from "./reference.ts";

/**
 * How an object mask is made: `naive` writes the normalised maps of all tags and thresholds them in a
 * second pass; `serial` and `tree` read the maps of the predicted tags alone and write none, `serial`
 * with one vector of a software adapter per image, `tree` with a workgroup.
 */
export type ObjectMaskVariant = "naive" | "serial" | "tree";

/** The variants, the baseline first. */
export const OBJECT_MASK_VARIANTS: readonly ObjectMaskVariant[] = ["naive", "serial", "tree"];

/** How a mask is made. */
export interface ObjectMaskPlan {
  /** The variant. */
  readonly variant: ObjectMaskVariant;
  /** Invocations that share an image. */
  readonly lanes: number;
  /** Tokens that each of them holds. */
  readonly rounds: number;
}

/** Lengths of a mask with the number of in-distribution tags. */
export interface ObjectMaskProblem extends ObjectMaskSize {
  /** In-distribution tags, V. */
  readonly tags: number;
}

/** What a plan depends on besides the lengths. */
export interface ObjectMaskTarget {
  /** Whether the adapter computes on the CPU. */
  readonly software: boolean;
  /** Forces a variant. */
  readonly variant?: string | undefined;
  /** Forces the lanes. */
  readonly lanes?: number | undefined;
}

/** Lavapipe runs eight invocations as one vector. */
const SERIAL_LANES = 8;
const TREE_LANES = 64;
const MAX_LANES = 256;

/** Tokens that a lane keeps in registers at most. */
const MAX_ROUNDS = 64;

/**
 * Chooses how a mask is made.
 *
 * @param problem Its lengths.
 * @param target The adapter, and what is forced.
 * @returns The plan.
 * @throws {RangeError} When the forced variant or number of lanes does not exist, or the variant
 * cannot run to its end.
 */
export function planObjectMask(
  problem: ObjectMaskProblem,
  target: ObjectMaskTarget,
): ObjectMaskPlan {
  const forced = target.variant;
  if (forced !== undefined && !OBJECT_MASK_VARIANTS.some((name) => name === forced)) {
    throw new RangeError(
      `Cannot run objectMask: there is no variant "${forced}", expected one of ${
        OBJECT_MASK_VARIANTS.join(", ")
      }`,
    );
  }
  const fused = forced ?? (target.software ? "serial" : "tree");
  const plan = layOut(fused as ObjectMaskVariant, { problem, target });
  const trouble = troubleOf(plan, { problem, target });
  if (trouble === undefined) return plan;
  const naive: ObjectMaskPlan = { variant: "naive", lanes: 1, rounds: 1 };
  if (forced === undefined && troubleOf(naive, { problem, target }) === undefined) return naive;
  throw new RangeError(`Cannot run objectMask: the variant "${plan.variant}" ${trouble}`);
}

interface Question {
  readonly problem: ObjectMaskProblem;
  readonly target: ObjectMaskTarget;
}

function layOut(variant: ObjectMaskVariant, { problem, target }: Question): ObjectMaskPlan {
  if (variant === "naive") return { variant, lanes: 1, rounds: 1 };
  let lanes = variant === "serial" ? SERIAL_LANES : TREE_LANES;
  const roundsOf = (count: number) => Math.max(1, Math.ceil(problem.tokens / count));
  while (lanes < MAX_LANES && roundsOf(lanes) > MAX_ROUNDS) lanes *= 2;
  if (target.lanes !== undefined) lanes = requireLanes(target.lanes);
  return { variant, lanes, rounds: roundsOf(lanes) };
}

function requireLanes(lanes: number): number {
  const fits = lanes >= SERIAL_LANES && lanes <= MAX_LANES && Number.isInteger(Math.log2(lanes));
  if (fits) return lanes;
  throw new RangeError(
    `Cannot run objectMask: lanes is ${lanes} and must be a power of two, ${SERIAL_LANES} to ` +
      `${MAX_LANES}`,
  );
}

/** Why a plan cannot run, or undefined. */
function troubleOf(plan: ObjectMaskPlan, { problem, target }: Question): string | undefined {
  if (plan.rounds > MAX_ROUNDS) {
    return `takes at most ${MAX_ROUNDS * plan.lanes} tokens: there are ${problem.tokens}`;
  }
  const { heads, tags, tokens } = problem;
  const turns = plan.variant === "naive"
    ? Math.max(tags, tokens * (heads + 1))
    : tags * heads + Math.ceil(tags / 32) + 16;
  if (!target.software || turns <= LOOP_TURNS) return undefined;
  return `takes at most ${LOOP_TURNS} loop turns on a software adapter: ${tags} tags, ${heads} ` +
    `heads and ${tokens} tokens take ${turns}`;
}
