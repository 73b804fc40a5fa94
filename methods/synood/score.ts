/**
 * A fitted SynOOD as a score like every other: image features in, the share of the in-distribution
 * labels out (equation 2, with NegLabel's groups).
 *
 * @module
 */

// Edge bundles have these kernels.
import { activation, add, l2Normalize, labelMass, layerNorm, linear } from "../../kernels/mod.ts";
import { type Context, type Tensor, UserError } from "../../runtime/mod.ts";
import { defineScore } from "../define.ts";
import type { FittedState, ScoreMethod } from "../score.ts";
import { placeArray } from "../_state.ts";
import { SYNOOD } from "./names.ts";
import { synoodGraph } from "./_score_graph.ts";
import { groupedLabels, IMAGE_LENGTHS, scoreShape } from "./_score_state.ts";

const KEY = "image_embed";

/**
 * SynOOD on the features of a vision-language model's image encoder: the projection, if there is one,
 * and the share of the in-distribution labels among them and each group of negative labels.
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
  summary: "Share of the known labels after tuning on near-boundary synthetic images",
  needs: [KEY],
  fitNeeds: [],
  usesValidation: false,
  parameters: [
    {
      name: "classes",
      description: "how many of the labels, the first ones, are in-distribution",
      default: 1,
      minimum: 1,
      integer: true,
      search: [],
    },
    {
      name: "groups",
      description: "groups of negative labels whose shares are averaged",
      default: 100,
      minimum: 1,
      integer: true,
      search: [],
    },
    {
      name: "logit_scale",
      description: "what cosines are multiplied with",
      default: 100,
      minimum: 0,
      exclusive: true,
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
    const { scale, classes, groups, width } = scoreShape(state);
    const rows = groupedLabels(state);
    const labels = context.upload(rows, [rows.length / width, width], { label: "labels" });
    const project = placeProjection(context, state);
    return (scope, batch) =>
      labelMass(scope, { x: project(scope, batch[KEY]!), labels }, { scale, classes, groups });
  },
  graph: (builder, inputs, state) => synoodGraph(builder, inputs[KEY]!, state),
  graphRowBytes: ({ arrays }) => 3 * 4 * arrays["text"]!.shape[0]!,
});

/** δ where scoring runs; features of length one without a projection. */
function placeProjection(
  context: Context,
  state: FittedState,
): (scope: Context, features: Tensor) => Tensor {
  const { images, epsilon, projected } = scoreShape(state);
  if (!projected) return (scope, x) => l2Normalize(scope, { x });
  const part = (name: string) => ({
    weight: placeArray(context, state, `${name}.weight`),
    bias: placeArray(context, state, `${name}.bias`),
  });
  const [layer, norm] = [part("projection"), part("norm")];
  return (scope, features) => {
    const x = images === "unit" ? l2Normalize(scope, { x: features }) : features;
    const inside = layerNorm(scope, { x: linear(scope, { x, ...layer }), ...norm }, { epsilon });
    const positive = activation(scope, { x: inside }, { kind: "relu" });
    return l2Normalize(scope, { x: add(scope, { a: x, b: positive }) });
  };
}
