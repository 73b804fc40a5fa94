/**
 * Which kernels make an object mask, and how they lay out an image: pure functions of the lengths and
 * the adapter.
 *
 * @module
 */

import { LOOP_TURNS } from "../_products.ts";
import type { ObjectMaskSize } from "./reference.ts";

/**
 * How an object mask is made: `naive` writes the normalised maps of all tags and thresholds them in a
 * second pass; `serial` and `tree` read the maps of the predicted tags alone and write none, `serial`
 * with an image per invocation, `tree` with one per workgroup.
 */
export type ObjectMaskVariant = "naive" | "serial" | "tree";

/** The variants, the baseline first. */
export const OBJECT_MASK_VARIANTS: readonly ObjectMaskVariant[] = ["naive", "serial", "tree"];

/** How a mask is made. */
export type ObjectMaskPlan =
  | { readonly variant: "naive" }
  /** An invocation takes `chunk` tokens at once, and has room for `chunks` chunks. */
  | { readonly variant: "serial"; readonly chunk: number; readonly chunks: number }
  /** Each of `lanes` invocations holds `rounds` tokens. */
  | { readonly variant: "tree"; readonly lanes: number; readonly rounds: number };

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
  /** Forces the lanes of the tree variant. */
  readonly lanes?: number | undefined;
}

/** Bits of a word; fewer tokens at once leave fewer places behind the last one idle. */
const CHUNKS_OF = [8, 16, 32] as const;
/** Chunks that an invocation has room for. */
const LEAST_ROOM = 32;
const MAX_CHUNKS = 512;

/** Lavapipe runs eight invocations as one vector. */
const SOFTWARE_LANES = 8;
const GPU_LANES = 64;
const MAX_LANES = 256;
/** Tokens that a lane keeps in registers at most; the kernel is unrolled as often. */
const MAX_ROUNDS = 16;

/** Turns of loops that do not depend on the lengths. */
const OTHER_TURNS = 32;

/**
 * Chooses how a mask is made: on a software adapter `serial`, where every tag can be used within the
 * loop turns that it allows, else `tree`; elsewhere `tree`, and `serial` for more tokens than it takes;
 * `naive` where neither will do.
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
  const order: readonly string[] = forced !== undefined
    ? [forced]
    : target.software
    ? ["serial", "tree", "naive"]
    : ["tree", "serial", "naive"];
  for (const variant of order) {
    const plan = layOut(variant, problem, target);
    if (plan !== undefined) return plan;
  }
  const { heads, tags, tokens } = problem;
  throw new RangeError(
    `Cannot run objectMask: the variant "${
      order.at(-1)
    }" does not take ${tokens} tokens, ${heads} ` +
      `heads and ${tags} tags on this adapter`,
  );
}

/** A plan of that variant, or undefined where none runs to its end. */
function layOut(
  variant: string,
  problem: ObjectMaskProblem,
  { software, lanes }: ObjectMaskTarget,
): ObjectMaskPlan | undefined {
  const { heads, tags, tokens } = problem;
  const fits = (turns: number) => !software || turns + OTHER_TURNS <= LOOP_TURNS;
  const words = 2 * Math.ceil(tags / 32);
  switch (variant) {
    case "naive":
      return fits(Math.max(tags, tokens * (heads + 2))) ? { variant } : undefined;
    case "serial": {
      for (const chunk of CHUNKS_OF) {
        const turns = words + (1 + 2 * tags * heads) * Math.ceil(tokens / chunk) + tags;
        const chunks = roomFor(Math.ceil(tokens / chunk));
        if (chunks <= MAX_CHUNKS && fits(turns)) return { variant, chunk, chunks };
      }
      return undefined;
    }
    case "tree": {
      let share = software ? SOFTWARE_LANES : GPU_LANES;
      while (share < MAX_LANES && tokens > share * MAX_ROUNDS) share *= 2;
      if (lanes !== undefined) share = requireLanes(lanes);
      const rounds = Math.max(1, Math.ceil(tokens / share));
      return rounds <= MAX_ROUNDS && fits(words + tags * (1 + heads))
        ? { variant, lanes: share, rounds }
        : undefined;
    }
    default:
      throw new RangeError(
        `Cannot run objectMask: there is no variant "${variant}", expected one of ${
          OBJECT_MASK_VARIANTS.join(", ")
        }`,
      );
  }
}

/** Few sizes, so that few pipelines are made. */
function roomFor(chunks: number): number {
  let room = LEAST_ROOM;
  while (room < chunks) room *= 4;
  return room;
}

function requireLanes(lanes: number): number {
  const fits = lanes >= SOFTWARE_LANES && lanes <= MAX_LANES && Number.isInteger(Math.log2(lanes));
  if (fits) return lanes;
  throw new RangeError(
    `Cannot run objectMask: lanes is ${lanes} and must be a power of two, ${SOFTWARE_LANES} to ` +
      `${MAX_LANES}`,
  );
}
