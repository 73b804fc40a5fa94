/**
 * What a SynOOD detector's state says of its labels and its projection.
 *
 * @module
 */

import { groupNegatives } from "../scores/_labels.ts";
import type { FittedState } from "../score.ts";
import { stateArray, wholeArray } from "../_state.ts";
import type { ImageLength } from "./settings.ts";

/** How features come into the projection, by the numbers that the parameter `images` takes. */
export const IMAGE_LENGTHS: readonly ImageLength[] = ["unit", "raw"];

/** A detector's projection. */
export interface ScoreProjection {
  /** How features come in. */
  readonly images: ImageLength;
  /** What the layer normalisation adds to a variance. */
  readonly epsilon: number;
}

/** What a state says of its projection; nothing where it has none. */
export function projectionOf({ parameters, arrays }: FittedState): ScoreProjection | undefined {
  if (arrays["projection.weight"] === undefined) return undefined;
  return { images: IMAGE_LENGTHS[parameters["images"]!]!, epsilon: parameters["epsilon"]! };
}

/** The labels as NegLabel takes them: those of the classes, and the negative ones group by group. */
export function negLabelState(state: FittedState): FittedState {
  const { classes = 0, seed = 0, groups = 0 } = state.parameters;
  const [labels = 0, width = 0] = state.arrays["text"]!.shape;
  const text = wholeArray(state, "text");
  const { order } = groupNegatives(labels - classes, { groups, seed });
  const negatives = new Float32Array(order.length * width);
  order.forEach((negative, place) => {
    const begin = (classes + negative) * width;
    negatives.set(text.subarray(begin, begin + width), place * width);
  });
  return {
    ...state,
    arrays: {
      classes: stateArray(text.subarray(0, classes * width), [classes, width]),
      negatives: stateArray(negatives, [order.length, width]),
    },
  };
}
