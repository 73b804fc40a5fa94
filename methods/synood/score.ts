/**
 * A fitted SynOOD as a score like every other: image features in, the share of the in-distribution
 * labels out (equation 2, with NegLabel's groups).
 *
 * @module
 */

import { activation, add, l2Normalize, layerNorm, linear } from "../../kernels/mod.ts";
import type { GraphBuilder } from "../../onnx/build.ts";
import { GraphLayers } from "../../onnx/layers.ts";
import { type Context, type Tensor, UserError } from "../../runtime/mod.ts";
import { defineScore } from "../define.ts";
import {
  GROUP_PARAMETERS,
  groupsGraph,
  IMAGES,
  placeGroups,
  unitGraph,
} from "../scores/_labels.ts";
import type { FittedState, ScoreMethod } from "../score.ts";
import { placeArray, wholeArray } from "../_state.ts";
import { SYNOOD } from "./names.ts";
import { IMAGE_LENGTHS, negLabelState, projectionOf } from "./_score_state.ts";

/**
 * SynOOD on the features of a vision-language model's image encoder: NegLabel of what the projection,
 * if there is one, makes of them.
 *
 * @example It is trained, not fitted
 * ```ts
 * import { synood } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(synood.needs, ["image_embed"]);
 * ```
 */
export const synood: ScoreMethod = defineScore({
  name: SYNOOD,
  title: "SynOOD",
  source: "Li et al. 2025, ICCV",
  summary: "The share of the known labels after tuning on near-boundary synthetic images",
  needs: [IMAGES],
  fitNeeds: [],
  usesValidation: false,
  parameters: [
    ...GROUP_PARAMETERS,
    {
      name: "classes",
      description: "how many of the labels, the first ones, are in-distribution",
      default: 1,
      minimum: 1,
      integer: true,
      search: [],
    },
    {
      name: "images",
      description: "length of features before the projection",
      default: 0,
      choices: IMAGE_LENGTHS,
      minimum: 0,
      maximum: IMAGE_LENGTHS.length - 1,
      integer: true,
      search: [],
    },
    {
      name: "epsilon",
      description: "what the projection's normalisation adds to a variance",
      default: 1e-5,
      minimum: 0,
      exclusive: true,
      search: [],
    },
    {
      name: "seed",
      description: "seed of the shuffle before negative labels are shared out",
      default: 0,
      minimum: 0,
      integer: true,
      search: [],
    },
  ],
  arrays: { text: 2 },
  evidence: { quantity: "share of the known labels", negated: false },
  learn: () =>
    Promise.reject(
      new UserError(
        "Cannot fit SynOOD as a post-hoc score: it is trained, and ood synood fit makes a detector",
      ),
    ),
  place(context, state) {
    const project = placeProjection(context, state);
    const score = placeGroups(context, negLabelState(state));
    return (scope, batch) => score(scope, { [IMAGES]: project(scope, batch[IMAGES]!) });
  },
  graph(builder, inputs, state) {
    const projected = projectionGraph(builder, inputs[IMAGES]!, state);
    return groupsGraph(builder, { [IMAGES]: projected }, negLabelState(state));
  },
  graphRowBytes: ({ arrays }) => 3 * 4 * arrays["text"]!.shape[0]!,
});

/** f + ReLU(LayerNorm(Linear(f))) where scoring runs; its length does not count for a cosine. */
function placeProjection(
  context: Context,
  state: FittedState,
): (scope: Context, features: Tensor) => Tensor {
  const projection = projectionOf(state);
  if (projection === undefined) return (_, features) => features;
  const { images, epsilon } = projection;
  const part = (name: string) => ({
    weight: placeArray(context, state, `${name}.weight`),
    bias: placeArray(context, state, `${name}.bias`),
  });
  const [layer, norm] = [part("projection"), part("norm")];
  return (scope, features) => {
    const x = images === "unit" ? l2Normalize(scope, { x: features }) : features;
    const inside = layerNorm(scope, { x: linear(scope, { x, ...layer }), ...norm }, { epsilon });
    return add(scope, { a: x, b: activation(scope, { x: inside }, { kind: "relu" }) });
  };
}

/** The same as nodes of a graph. */
function projectionGraph(builder: GraphBuilder, features: string, state: FittedState): string {
  const projection = projectionOf(state);
  if (projection === undefined) return features;
  const { images, epsilon } = projection;
  const layers = new GraphLayers(builder, (name) => ({
    data: wholeArray(state, name),
    shape: state.arrays[name]!.shape,
  }));
  const x = images === "unit" ? unitGraph(builder, features) : features;
  const inside = layers.layerNorm(layers.linear(x, "projection"), "norm", { epsilon });
  return builder.node("Add", [x, builder.node("Relu", [inside])]);
}
