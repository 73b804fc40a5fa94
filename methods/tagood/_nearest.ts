/**
 * From projected features to scores: the nearest class centre, and the rule for images without a
 * tag.
 *
 * @module
 */

import {
  type Closeness,
  cosineMax,
  euclideanMin,
  klMin,
  l2Normalize,
  softmax,
  tagRule,
} from "../../kernels/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";
import { softmaxRows, unitParts } from "./_rows.ts";
import type { ScoreShape } from "./_score_state.ts";

/** Centres as the comparison takes them. */
export function placeCentres(
  context: Context,
  centres: Float32Array<ArrayBuffer>,
  shape: Pick<ScoreShape, "measure" | "width" | "patterns">,
): Tensor {
  const { width, patterns } = shape;
  const rows = byMeasure(shape.measure, {
    cosine: () => unitParts(centres, { width, patterns }),
    euclidean: () => centres,
    kl: () => softmaxRows(centres, width),
  });
  return context.upload(rows, [centres.length / width, width], { label: "centres" });
}

/** Projected images. */
export interface ProjectedImages {
  /** p(z), f32 [N, W]. */
  readonly features: Tensor;
  /** Object tokens of each, i32 [N]. */
  readonly counts: Tensor;
  /** The largest probability of an in-distribution tag, f32 [N]. */
  readonly probability: Tensor;
}

/** Scores of projected images, f32 [N]. */
export function closenessOf(
  scope: Context,
  { features, counts, probability }: ProjectedImages,
  how: { readonly centres: Tensor; readonly shape: ScoreShape },
): Tensor {
  const { measure, times, floor } = how.shape;
  return tagRule(scope, {
    value: nearestCentre(scope, features, how),
    counts,
    probability: times ? probability : undefined,
  }, { measure, floor });
}

/**
 * The largest cosine, or the smallest distance, of each feature to the centres.
 *
 * With several patterns both sides have parts of length 1, so that the cosine of the wholes is the
 * mean of the parts' cosines.
 */
function nearestCentre(
  scope: Context,
  features: Tensor,
  { centres, shape }: { readonly centres: Tensor; readonly shape: ScoreShape },
): Tensor {
  const [images = 0] = features.shape;
  const { width, patterns } = shape;
  const parts = () =>
    l2Normalize(scope, { x: features.reshape([images * patterns, width / patterns]) })
      .reshape([images, width]);
  return byMeasure(shape.measure, {
    cosine: () => cosineMax(scope, { features: patterns === 1 ? features : parts(), centres }),
    euclidean: () => euclideanMin(scope, { features, centres }),
    kl: () => klMin(scope, { features: softmax(scope, { x: features }), centres }),
  }).value;
}

function byMeasure<T>(measure: Closeness, choices: Readonly<Record<Closeness, () => T>>): T {
  return choices[measure]();
}
