/**
 * Trained models as detectors, and scores of object tokens.
 *
 * @module
 */

import type { Closeness } from "../../kernels/mod.ts";
import { ParameterSet } from "../../nn/mod.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import { Detector } from "../detector.ts";
import type { Fitted, FittedState } from "../score.ts";
import { stateArray, wholeArray } from "../_state.ts";
import { closenessOf, placeCentres } from "./_nearest.ts";
import { DISTANCES, scoreShape } from "./_score_state.ts";
import type { ObjectRecord } from "./features.ts";
import type { ObjectSet } from "./objects.ts";
import { projectObjects } from "./projection.ts";
import { parametersOf, tagood, tagoodCam, TRAINED_SCORES } from "./score.ts";
import { CODE_PATTERNS, type TagoodVariant } from "./settings.ts";
import type { TagoodTrained } from "./train.ts";

/** How a trained model scores. */
export interface ScoreChoice {
  /** Threshold on attention at test time; that of the training by default. */
  readonly tau?: number | undefined;
  /** How features are compared with centres; `cosine` by default. */
  readonly distance?: Closeness | undefined;
  /** Whose score. */
  readonly variant?: TagoodVariant | undefined;
}

/**
 * A trained model as a fitted score.
 *
 * @param trained From {@linkcode trainTagood}.
 * @param record How the training's object tokens were chosen.
 * @param choice How it scores.
 * @returns The fitted score: `tagood`, or `tagood_cam` on a classifier's activation maps.
 * @throws {UserError} When the record is of a classifier and has no head.
 *
 * @example A model before its training
 * ```ts
 * import { firstCentres, fittedTagood, projectionParameters } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const sizes = { inputs: 2, maxTokens: 2, width: 4, depth: 1, heads: 2, hidden: 4, classes: 2 };
 * const parameters = new Map(projectionParameters(sizes, 1).map(({ name, data }) => [name, data]));
 * const fitted = fittedTagood(
 *   { sizes, parameters, centres: firstCentres(sizes, 1), warnings: [] },
 *   {
 *     kind: "tagger", tau: 0.5, untagged: "none", oneTag: false, tags: [0], thresholds: [0],
 *     inputs: { tokens: [2, 2], "tag_logits": [3], attention: [3, 2] },
 *   },
 * );
 * assertEquals(fitted.needs, ["tokens", "tag_logits", "attention"]);
 * ```
 */
export function fittedTagood(
  trained: Pick<TagoodTrained, "sizes" | "parameters" | "centres" | "warnings">,
  record: ObjectRecord,
  choice: ScoreChoice = {},
): Fitted {
  const { sizes, parameters, centres } = trained;
  const { distance = "cosine", variant = "paper" } = choice;
  const arrays: Record<string, FittedState["arrays"][string]> = {
    tags: { shape: [record.tags.length], parts: [Int32Array.from(record.tags)] },
    thresholds: stateArray(Float32Array.from(record.thresholds), [record.thresholds.length]),
    centres: stateArray(centres, [sizes.classes, sizes.width]),
  };
  for (const [name, data] of parameters) {
    // The classifier has done its work when the training ends.
    if (name.startsWith("classifier.")) continue;
    arrays[name] = stateArray(data, shapeOf(name, data, sizes));
  }
  if (record.head !== undefined) {
    arrays["head.weight"] = stateArray(
      record.head.data as Float32Array<ArrayBuffer>,
      record.head.shape,
    );
  }
  const method = record.kind === "cam" ? tagoodCam : tagood;
  if (record.kind === "cam" && record.head === undefined) {
    throw new UserError(
      'Cannot make a detector of a classifier without its "head.weight": make the object tokens again',
    );
  }
  return method.restore({
    parameters: {
      tau: choice.tau ?? record.tau,
      distance: DISTANCES.indexOf(distance),
      code: variant === "code" ? 1 : 0,
      depth: sizes.depth,
      heads: sizes.heads,
    },
    inputs: record.inputs,
    arrays,
    warnings: trained.warnings,
  });
}

/** The shape of a parameter: vectors but for weights and positions. */
function shapeOf(
  name: string,
  data: Float32Array,
  { inputs, width, hidden }: TagoodTrained["sizes"],
): number[] {
  if (name === "positions") return [data.length / width, width];
  if (!name.endsWith(".weight") || name.includes("norm")) return [data.length];
  const columns = name === "input.weight"
    ? inputs
    : name.endsWith("mlp.out.weight")
    ? hidden
    : width;
  return [data.length / columns, columns];
}

/**
 * The same detector with another score: the trained model stays.
 *
 * @param detector A detector of TagOOD.
 * @param choice What is other.
 * @returns A detector without a threshold.
 * @throws {UserError} When the detector is of another method, or its width has no four equal parts
 * for the code's variant.
 *
 * @example Another distance
 * ```ts
 * import {
 *   Detector, firstCentres, fittedTagood, projectionParameters, withScore,
 * } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const sizes = { inputs: 2, maxTokens: 2, width: 4, depth: 1, heads: 2, hidden: 4, classes: 2 };
 * const parameters = new Map(projectionParameters(sizes, 1).map(({ name, data }) => [name, data]));
 * const fitted = fittedTagood(
 *   { sizes, parameters, centres: firstCentres(sizes, 1), warnings: [] },
 *   {
 *     kind: "tagger", tau: 0.5, untagged: "none", oneTag: false, tags: [0], thresholds: [0],
 *     inputs: { tokens: [2, 2], "tag_logits": [3], attention: [3, 2] },
 *   },
 * );
 * const other = withScore(new Detector(fitted), { distance: "euclidean" });
 * assertEquals(other.fitted.parameters["distance"], 1);
 * ```
 */
export function withScore(detector: Detector, choice: ScoreChoice): Detector {
  const { fitted, metadata } = requireTagood(detector);
  const state = fitted.state();
  const { tau, distance, variant } = choice;
  const { width } = scoreShape(state);
  if (variant === "code" && width % CODE_PATTERNS !== 0) {
    throw new UserError(
      `Cannot score as the authors' code does: it compares ${CODE_PATTERNS} equal parts of a ` +
        `feature, and this detector's width is ${width}`,
    );
  }
  return new Detector(
    fitted.method.restore({
      ...state,
      parameters: {
        ...state.parameters,
        ...(tau === undefined ? {} : { tau }),
        ...(distance === undefined ? {} : { distance: DISTANCES.indexOf(distance) }),
        ...(variant === undefined ? {} : { code: variant === "code" ? 1 : 0 }),
      },
    }),
    { metadata },
  );
}

/**
 * Refuses detectors of other methods.
 *
 * @param detector Any detector.
 * @param name What messages call it.
 * @returns The same one.
 * @throws {UserError} When it is none of TagOOD's.
 */
export function requireTagood(detector: Detector, name = "detector"): Detector {
  const { method } = detector.fitted;
  if (TRAINED_SCORES.some((trained) => trained.name === method.name)) return detector;
  throw new UserError(
    `Cannot use "${name}": it is a detector of "${method.name}", and one from ood tagood train was ` +
      "expected",
  );
}

/** How object tokens are scored. */
export interface ScoreObjectsOptions {
  /** Images at a time; 256 by default. */
  readonly batch?: number;
  /** Told how many images are done. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Stops between two batches. */
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_BATCH = 256;

/** Features of many images with what scoring needs beside them. */
export interface ScorableObjects {
  /** p(z), f32 [N, W]. */
  readonly features: Float32Array<ArrayBuffer>;
  /** Tokens of each image. */
  readonly counts: Int32Array<ArrayBuffer>;
  /** The largest probability of an in-distribution tag of each. */
  readonly tagScores: Float32Array<ArrayBuffer>;
}

/**
 * Projects object tokens with a fitted model.
 *
 * @param ctx Where to compute.
 * @param fitted The model.
 * @param objects The tokens, chosen with any τ.
 * @param options The size of a batch.
 * @returns Features in the order of the set.
 * @throws {UserError} When tokens are of another width, or an image has more than the model has
 * positions.
 */
export async function projectFitted(
  ctx: Context,
  fitted: Fitted,
  objects: ObjectSet,
  options: ScoreObjectsOptions = {},
): Promise<ScorableObjects> {
  const state = fitted.state();
  const shape = scoreShape(state);
  const [width, inputs] = state.arrays["input.weight"]!.shape as [number, number];
  requireFit(objects, { inputs, maxTokens: shape.positions - 1 });
  using scope = ctx.scope();
  const parameters = new ParameterSet(scope, parametersOf(state));
  const { features } = await projectObjects(ctx, objects, {
    parameters,
    sizes: {
      inputs,
      width,
      maxTokens: shape.positions - 1,
      depth: shape.depth,
      heads: shape.heads,
      hidden: 0,
      classes: 0,
    },
    batch: options.batch ?? DEFAULT_BATCH,
    onProgress: options.onProgress,
    signal: options.signal,
  });
  return { features, counts: objects.counts, tagScores: objects.tagScores };
}

function requireFit(
  objects: ObjectSet,
  model: { readonly inputs: number; readonly maxTokens: number },
): void {
  if (objects.width !== model.inputs) {
    throw new UserError(
      `Cannot score "${objects.path}": its tokens are ${objects.width} wide and the model takes ` +
        `${model.inputs}`,
    );
  }
  const longest = objects.counts.reduce((most, count) => Math.max(most, count), 0);
  if (longest > model.maxTokens) {
    throw new UserError(
      `Cannot score "${objects.path}": an image has ${longest} tokens and the model was trained ` +
        `for at most ${model.maxTokens}`,
    );
  }
}

/**
 * Scores of projected images.
 *
 * @param ctx Where to compute.
 * @param fitted The model, with the score that is wanted ({@linkcode withScore}).
 * @param images From {@linkcode projectFitted}.
 * @returns One score for each, higher = more in-distribution.
 */
export async function scoreProjected(
  ctx: Context,
  fitted: Fitted,
  images: ScorableObjects,
): Promise<Float32Array<ArrayBuffer>> {
  const state = fitted.state();
  const shape = scoreShape(state);
  const count = images.counts.length;
  if (count === 0) return new Float32Array(0);
  using scope = ctx.scope();
  const scores = closenessOf(scope, {
    features: scope.upload(images.features, [count, shape.width]),
    counts: scope.upload(images.counts, [count]),
    probability: scope.upload(images.tagScores, [count]),
  }, { centres: placeCentres(scope, wholeArray(state, "centres"), shape), shape });
  const [read] = await scope.read(scores);
  return read as Float32Array<ArrayBuffer>;
}

/**
 * Scores of object tokens.
 *
 * @param ctx Where to compute.
 * @param fitted A fitted TagOOD.
 * @param objects The tokens.
 * @param options The size of a batch.
 * @returns One score for each image, higher = more in-distribution.
 * @throws {UserError} When tokens and model do not fit.
 *
 * @example An image without tokens has the lowest score
 * ```ts
 * import {
 *   firstCentres, fittedTagood, loadObjects, projectionParameters, scoreObjects,
 * } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const sizes = { inputs: 2, maxTokens: 2, width: 4, depth: 1, heads: 2, hidden: 4, classes: 2 };
 * const parameters = new Map(projectionParameters(sizes, 1).map(({ name, data }) => [name, data]));
 * const fitted = fittedTagood(
 *   { sizes, parameters, centres: firstCentres(sizes, 1), warnings: [] },
 *   {
 *     kind: "tagger", tau: 0.5, untagged: "none", oneTag: false, tags: [0], thresholds: [0],
 *     inputs: { tokens: [2, 2], "tag_logits": [3], attention: [3, 2] },
 *   },
 * );
 * const set = memoryFeatures({
 *   "object_tokens": { data: new Float32Array(0), shape: [0, 2] },
 *   "object_counts": { data: new Int32Array(1), shape: [1] },
 *   "tag_count": { data: new Int32Array(1), shape: [1] },
 *   "tag_score": { data: new Float32Array(1), shape: [1] },
 * });
 * using host = new Host();
 * using objects = await loadObjects(set);
 * assertEquals([...await scoreObjects(host, fitted, objects)], [-1]);
 * ```
 */
export async function scoreObjects(
  ctx: Context,
  fitted: Fitted,
  objects: ObjectSet,
  options: ScoreObjectsOptions = {},
): Promise<Float32Array<ArrayBuffer>> {
  return await scoreProjected(ctx, fitted, await projectFitted(ctx, fitted, objects, options));
}
