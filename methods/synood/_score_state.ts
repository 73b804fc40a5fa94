/**
 * What a SynOOD detector's state says of its labels and its projection.
 *
 * @module
 */

import { Rng } from "../../kernels/random/rng.ts";
import type { FittedState } from "../score.ts";
import { wholeArray } from "../_state.ts";
import type { ImageLength } from "./settings.ts";

/** How features come into the projection, by the numbers that the parameter `images` takes. */
export const IMAGE_LENGTHS: readonly ImageLength[] = ["unit", "raw"];

/** Sizes and choices of a detector. */
export interface ScoreShape {
  /** D. */
  readonly width: number;
  /** C. */
  readonly classes: number;
  /** Groups of negative labels. */
  readonly groups: number;
  /** Negative labels of a group. */
  readonly groupSize: number;
  /** What cosines are multiplied with. */
  readonly scale: number;
  /** How features come into the projection. */
  readonly images: ImageLength;
  /** What the layer normalisation adds to a variance. */
  readonly epsilon: number;
  /** Whether there is a projection. */
  readonly projected: boolean;
}

/** Reads the shape of a state. */
export function scoreShape({ parameters, arrays }: FittedState): ScoreShape {
  const [labels = 0, width = 0] = arrays["text"]!.shape;
  const { classes = 0, groups = 0 } = parameters;
  return {
    width,
    classes,
    groups,
    groupSize: Math.floor((labels - classes) / groups),
    scale: parameters["logit_scale"]!,
    images: IMAGE_LENGTHS[parameters["images"]!]!,
    epsilon: parameters["epsilon"]!,
    projected: arrays["projection.weight"] !== undefined,
  };
}

/**
 * The labels as the score takes them: the classes, then the negative labels group by group. As in
 * NegLabel, what is left over when they are shared out evenly is dropped from the end, where the
 * least negative ones are, and the rest is shuffled.
 */
export function groupedLabels(state: FittedState): Float32Array<ArrayBuffer> {
  const { width, classes, groups, groupSize } = scoreShape(state);
  const text = wholeArray(state, "text");
  const count = groups * groupSize;
  const order = new Rng(state.parameters["seed"]!).shuffle(
    Array.from({ length: count }, (_, negative) => negative),
  );
  const rows = new Float32Array((classes + count) * width);
  rows.set(text.subarray(0, classes * width));
  order.forEach((negative, place) => {
    const begin = (classes + negative) * width;
    rows.set(text.subarray(begin, begin + width), (classes + place) * width);
  });
  return rows;
}
