/**
 * A fitted TagOOD as a score like every other: a tagger's outputs in, the closeness to the nearest
 * class centre out.
 *
 * @module
 */

import { compactTokens } from "../../kernels/mod.ts";
import { ParameterSet, type ParameterSpec } from "../../nn/parameters.ts";
import { Tape } from "../../nn/tape.ts";
import { Variable } from "../../nn/variable.ts";
import type { GraphBuilder } from "../../onnx/mod.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import { defineScore, type ScoreDefinition } from "../define.ts";
import type { FittedState, ScoreBatch, ScoreMethod, Scorer } from "../score.ts";
import { placeArray, wholeArray } from "../_state.ts";
import { closenessOf, placeCentres } from "./_nearest.ts";
import { ScoreGraph } from "./_score_graph.ts";
import { DISTANCES, scoreShape } from "./_score_state.ts";
import { projectFeatures } from "./model.ts";
import { TAGOOD, TAGOOD_CAM } from "./names.ts";
import { camTensors, TAGGER_KEYS, type TaggerTensors } from "./tagger.ts";

/** Arrays of a state that are no parameters of the projection model. */
const OTHER_ARRAYS: ReadonlySet<string> = new Set(["tags", "thresholds", "centres", "head.weight"]);

const COMMON = {
  source: "Li et al. 2024, MM",
  fitNeeds: [],
  usesValidation: false,
  parameters: [
    {
      name: "tau",
      description: "attention above which a token is the object's, of its map from 0 to 1",
      default: 0.5,
      minimum: 0,
      maximum: 1,
      search: [0, 0.3, 0.5, 0.7],
    },
    {
      name: "distance",
      description: "how a feature is compared with the class centres",
      default: 0,
      choices: DISTANCES,
      minimum: 0,
      maximum: DISTANCES.length - 1,
      integer: true,
      search: [0, 1, 2],
    },
    {
      name: "code",
      description: "the authors' code: four parts compared apart, times the tag's probability",
      default: 0,
      choices: ["off", "on"],
      minimum: 0,
      maximum: 1,
      integer: true,
      search: [0, 1],
    },
    {
      name: "depth",
      description: "encoder blocks of the trained model",
      default: 2,
      minimum: 0,
      integer: true,
      search: [],
    },
    {
      name: "heads",
      description: "attention heads of the trained model",
      default: 8,
      minimum: 1,
      integer: true,
      search: [],
    },
  ],
  arrays: {
    tags: 1,
    thresholds: 1,
    centres: 2,
    positions: 2,
    "class_token": 1,
    "input.weight": 2,
    "input.bias": 1,
    "norm.weight": 1,
    "norm.bias": 1,
  },
  evidence: { quantity: "closeness to the nearest class centre", negated: false },
  explain: (score, state) =>
    score === scoreShape(state).floor ? "no tag of a known class was predicted" : undefined,
  learn: () =>
    Promise.reject(
      new UserError(
        "Cannot fit TagOOD as a post-hoc score: its projection model is trained; use ood tagood train",
      ),
    ),
} satisfies Partial<ScoreDefinition>;

/**
 * TagOOD on a tagger's tokens, tag logits and attention (equation 6 and Table 4). An image without a
 * predicted in-distribution tag gets the lowest score, whatever set it is of.
 *
 * @example It is trained, not fitted
 * ```ts
 * import { tagood } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(tagood.needs, ["tokens", "tag_logits", "attention"]);
 * ```
 */
export const tagood: ScoreMethod = defineScore({
  ...COMMON,
  name: TAGOOD,
  title: "TagOOD",
  summary: "Closeness of an image's objects, as a tagger sees them, to learned class centres",
  needs: TAGGER_KEYS.tagger,
  place: (context, state) =>
    placeScorer(context, state, (_, batch) => ({
      tokens: batch["tokens"]!,
      tagLogits: batch["tag_logits"]!,
      attention: batch["attention"]!,
    })),
  graph: (builder, inputs, state) =>
    new ScoreGraph(builder, state, scoreShape(state)).score({
      tokens: inputs["tokens"]!,
      tagLogits: inputs["tag_logits"]!,
      attention: inputs["attention"]!,
    }),
});

/**
 * TagOOD on a classifier without tags: its classes are the tags, the places of its last map the
 * tokens, its class-activation maps the attention.
 *
 * @example What it reads
 * ```ts
 * import { tagoodCam } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(tagoodCam.needs, ["feature_map", "logits"]);
 * ```
 */
export const tagoodCam: ScoreMethod = defineScore({
  ...COMMON,
  name: TAGOOD_CAM,
  title: "TagOOD (activation maps)",
  summary: "Closeness of what class-activation maps single out to learned class centres",
  needs: TAGGER_KEYS.cam,
  arrays: { ...COMMON.arrays, "head.weight": 2 },
  place(context, state) {
    const weight = placeArray(context, state, "head.weight");
    return placeScorer(
      context,
      state,
      (scope, batch) =>
        camTensors(scope, { map: batch["feature_map"]!, logits: batch["logits"]!, weight }),
    );
  },
  graph: (builder, inputs, state) => camGraph(builder, inputs, state),
});

/** The trained methods, which are restored from files and not fitted by the fit command. */
export const TRAINED_SCORES: readonly ScoreMethod[] = [tagood, tagoodCam];

/** Class-activation maps and probabilities in front of the common nodes. */
function camGraph(
  builder: GraphBuilder,
  inputs: Readonly<Record<string, string>>,
  state: FittedState,
): string {
  const weight = wholeArray(state, "head.weight");
  const [classes, channels] = state.arrays["head.weight"]!.shape as [number, number];
  const places = builder.node("Reshape", [
    inputs["feature_map"]!,
    builder.ints([0, channels, -1]),
  ]);
  const factor = builder.constant(weight, { shape: [1, classes, channels], name: "head.weight" });
  return new ScoreGraph(builder, state, scoreShape(state)).score({
    tokens: builder.node("Transpose", [places], { attributes: { perm: [0n, 2n, 1n] } }),
    tagLogits: builder.node("Softmax", [inputs["logits"]!], { attributes: { axis: 1n } }),
    attention: builder.node("MatMul", [factor, places]),
  });
}

/** The model where scoring runs. */
function placeScorer(
  context: Context,
  state: FittedState,
  tensorsOf: (scope: Context, batch: ScoreBatch) => TaggerTensors,
): Scorer {
  const shape = scoreShape(state);
  const parameters = new ParameterSet(context, parametersOf(state));
  const tags = context.upload(Int32Array.from(wholeArray(state, "tags")), [
    state.arrays["tags"]!.shape[0]!,
  ]);
  const thresholds = placeArray(context, state, "thresholds");
  const centres = placeCentres(context, wholeArray(state, "centres"), shape);
  return (scope, batch) => {
    const { tokens, tagLogits, attention, probability } = tensorsOf(scope, batch);
    const [count = 0] = tokens.shape;
    const objects = compactTokens(
      scope,
      { tokens, tagLogits, attention, tags, thresholds },
      { tau: shape.tau },
    );
    const singles = Int32Array.from({ length: count + 1 }, (_, n) => n);
    const features = projectFeatures(
      new Tape(scope),
      {
        tokens: new Variable(objects.packed),
        offsets: objects.offsets,
        singles: scope.upload(singles, [count + 1]),
      },
      parameters,
      {
        sizes: { maxTokens: shape.positions - 1, depth: shape.depth, heads: shape.heads },
      },
    ).value;
    const { counts, score } = objects;
    const images = { features, counts, probability: probability ?? score };
    return closenessOf(scope, images, { centres, shape });
  };
}

/** The projection model's parameters in a state, none of which learns. */
export function parametersOf(state: FittedState): ParameterSpec[] {
  return Object.entries(state.arrays)
    .filter(([name]) => !OTHER_ARRAYS.has(name))
    .map(([name, { shape }]) => ({
      name,
      shape: [...shape],
      data: wholeArray(state, name),
      trainable: false,
    }));
}
