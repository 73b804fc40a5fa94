/**
 * What a fitted TagOOD detector's state says of its shape.
 *
 * @module
 */

import type { Closeness } from "../../kernels/mod.ts";
import type { FittedState } from "../score.ts";
import { CODE_PATTERNS } from "./settings.ts";

/** The distances by the numbers that a detector's parameter `distance` takes. */
export const DISTANCES: readonly Closeness[] = ["cosine", "euclidean", "kl"];

/** Sizes and choices of a fitted detector. */
export interface ScoreShape {
  /** Threshold on attention at test time. */
  readonly tau: number;
  /** How features are compared with centres. */
  readonly measure: Closeness;
  /** Parts whose cosines are averaged: 1, or 4 in the code's variant. */
  readonly patterns: number;
  /** Whether the tag's probability is a factor. */
  readonly times: boolean;
  /** The score of images without a tag. */
  readonly floor: number;
  /** Number of encoder blocks. */
  readonly depth: number;
  /** Heads of a block. */
  readonly heads: number;
  /** W. */
  readonly width: number;
  /** Places that have a position, that of the class token included. */
  readonly positions: number;
  /** K. */
  readonly classes: number;
}

/** Reads the shape of a state. */
export function scoreShape({ parameters, arrays }: FittedState): ScoreShape {
  const code = parameters["code"] === 1;
  const measure = DISTANCES[parameters["distance"]!]!;
  const [classes = 0, width = 0] = arrays["centres"]!.shape;
  return {
    tau: parameters["tau"]!,
    measure,
    patterns: code && measure === "cosine" ? CODE_PATTERNS : 1,
    times: code,
    // The lowest cosine; the code gives 0, which is also the lowest of what is always positive.
    floor: code || measure !== "cosine" ? 0 : -1,
    depth: parameters["depth"]!,
    heads: parameters["heads"]!,
    width,
    positions: arrays["positions"]!.shape[0]!,
    classes,
  };
}
