/**
 * What the scores on text features share: reading the labels of a training set, sharing out negative
 * labels to groups, and the shares of labels as nodes of a graph.
 *
 * @module
 */

import { l2Normalize, labelMass, Rng } from "../../kernels/mod.ts";
import type { GraphBuilder } from "../../onnx/mod.ts";
import { type Context, type Tensor, UserError } from "../../runtime/mod.ts";
import type { Learned, LearnInput } from "../define.ts";
import type { FittedState, ParameterSpec, ScoreBatch, Scorer, StateArray } from "../score.ts";
import { stateArray, wholeArray } from "../_state.ts";
import { type Mining, parseTextLabels } from "../synood/text_labels.ts";
import { constantArray, logSumExp } from "./_graph.ts";

/** The key of image features. */
export const IMAGES = "image_embed";

/** The keys that a fit reads. */
export const LABEL_KEYS: readonly string[] = [IMAGES, "text_embed"];

/** Below this length a vector counts as zero, as in the normalising kernel. */
const EPSILON = 1e-12;

/** What NegLabel's authors take for the temperature: one over CLIP's logit scale. */
const USUAL_TAU = 0.01;

/** The labels of a training set. */
export interface Labels {
  /** C, the in-distribution labels, which come first. */
  readonly classes: number;
  /** M, the negative labels. */
  readonly negatives: number;
  /** How those were found. */
  readonly mining: Mining;
  /** D. */
  readonly width: number;
  /** Text features at unit length, [C + M, D]. */
  readonly text: Float32Array<ArrayBuffer>;
}

/** Reads the labels of a training set, and tells that its rows are done with: none is needed. */
export async function readLabels(input: LearnInput, name: string): Promise<Labels> {
  const { train } = input;
  if (train.metadata["text_labels"] === undefined) {
    throw new UserError(
      `Cannot fit "${name}": "${train.path}" does not say which texts are in-distribution labels; ` +
        "ood synood features writes such files",
    );
  }
  const labels = parseTextLabels(train.metadata, { name: train.path });
  const { data, shape } = await train.read("text_embed");
  const [rows = 0, width = 0] = shape;
  const [classes, negatives] = [labels.ids.length, labels.negatives.length];
  if (classes === 0 || rows !== classes + negatives) {
    throw new UserError(
      `Cannot fit "${name}": "${train.path}" names ${classes} in-distribution and ${negatives} ` +
        `negative labels, and "text_embed" has ${rows} rows`,
    );
  }
  input.onProgress?.({ stage: "labels", done: train.count, total: train.count });
  return { classes, negatives, mining: labels.mining, width, text: unitRows(data, width) };
}

function unitRows(data: ArrayLike<number>, width: number): Float32Array<ArrayBuffer> {
  const unit = Float32Array.from(data);
  for (let start = 0; start < unit.length; start += width) {
    let squared = 0;
    for (let d = start; d < start + width; d++) squared += unit[d]! ** 2;
    const length = Math.max(Math.sqrt(squared), EPSILON);
    for (let d = start; d < start + width; d++) unit[d] = unit[d]! / length;
  }
  return unit;
}

/** The image features of a batch at unit length. */
export function unitImages(context: Context, batch: ScoreBatch): Tensor {
  return l2Normalize(context, { x: batch[IMAGES]! }, { epsilon: EPSILON });
}

/** Some of the labels as a learned array. */
export function labelArray(
  { text, width }: Labels,
  order: readonly number[],
): StateArray {
  const rows = new Float32Array(order.length * width);
  order.forEach((from, to) =>
    rows.set(text.subarray(from * width, (from + 1) * width), to * width)
  );
  return stateArray(rows, [order.length, width]);
}

/** Numbers from a first one on. */
export function range(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** Negative labels in groups of one size. */
export interface Grouping {
  /** How many groups. */
  readonly groups: number;
  /** Which negative labels, group by group. */
  readonly order: readonly number[];
}

/**
 * Shares out negative labels to groups as NegLabel does: what is left over is dropped from the end,
 * where the least negative ones are, and the rest is shuffled.
 *
 * @param negatives How many there are.
 * @param options `groups`: how many groups are wanted, 0 as 1; there are no more than labels.
 * `seed`: of the shuffle.
 * @returns The groups.
 */
export function groupNegatives(
  negatives: number,
  { groups: wanted, seed }: { readonly groups: number; readonly seed: number },
): Grouping {
  const groups = Math.min(Math.max(1, wanted), negatives);
  const order = new Rng(seed).shuffle(range(negatives - negatives % groups));
  return { groups, order };
}

/** The parameters of scores with negative labels. */
export const GROUP_PARAMETERS: readonly ParameterSpec[] = [{
  name: "groups",
  description: "Groups of negative labels whose shares are averaged; 0 and 1 take all at once",
  default: 100,
  minimum: 0,
  maximum: 1000,
  integer: true,
  search: [1, 10, 100, 1000],
}, {
  name: "tau",
  description: "Temperature of the softmax over cosines",
  rule: `1 / the model's logit scale, ${USUAL_TAU} where the training set does not have it`,
  minimum: 0,
  exclusive: true,
  search: [0.005, 0.01, 0.02, 0.05],
}];

/** What a score with negative labels learns. */
export async function learnGroups(
  input: LearnInput,
  labels: Labels,
  name: string,
): Promise<Learned> {
  const { train, parameters, seed = 0 } = input;
  const { classes, negatives } = labels;
  if (negatives === 0) {
    throw new UserError(
      `Cannot fit "${name}": "${train.path}" has no negative labels; ood synood labels finds some`,
    );
  }
  const { groups, order } = groupNegatives(negatives, { groups: parameters["groups"]!, seed });
  const tau = parameters["tau"] ?? await modelTau(input, name);
  return {
    arrays: {
      classes: labelArray(labels, range(classes)),
      negatives: labelArray(labels, order.map((negative) => classes + negative)),
    },
    parameters: { groups, tau },
  };
}

async function modelTau({ train }: LearnInput, name: string): Promise<number> {
  if (!train.has("logit_scale")) return USUAL_TAU;
  const scale = Number((await train.read("logit_scale")).data[0]);
  if (scale > 0 && scale < Infinity) return 1 / scale;
  throw new UserError(
    `Cannot fit "${name}": the "logit_scale" of "${train.path}" must be positive and is ${scale}`,
  );
}

/** Names of the learned arrays of {@linkcode learnGroups}, with the number of their dimensions. */
export const GROUP_ARRAYS: Readonly<Record<string, number>> = { classes: 2, negatives: 2 };

/** The share of the in-distribution labels, on kernels. */
export function placeGroups(context: Context, state: FittedState): Scorer {
  const [classes = 0, width = 0] = state.arrays["classes"]!.shape;
  const [negatives = 0] = state.arrays["negatives"]!.shape;
  const rows = new Float32Array((classes + negatives) * width);
  rows.set(wholeArray(state, "classes"));
  rows.set(wholeArray(state, "negatives"), classes * width);
  const labels = context.upload(rows, [classes + negatives, width], { label: "labels" });
  const options = {
    scale: 1 / state.parameters["tau"]!,
    classes,
    groups: state.parameters["groups"]!,
  };
  return (scope, batch) => {
    using x = unitImages(scope, batch);
    return labelMass(scope, { x, labels }, options);
  };
}

/** The share of the in-distribution labels, as nodes. */
export function groupsGraph(
  builder: GraphBuilder,
  inputs: Readonly<Record<string, string>>,
  state: FittedState,
): string {
  const unit = unitGraph(builder, inputs[IMAGES]!);
  const groups = state.parameters["groups"]!;
  const size = state.arrays["negatives"]!.shape[0]! / groups;
  const own = logSumExp(builder, cosinesGraph(builder, unit, { state, name: "classes" }));
  const negative = cosinesGraph(builder, unit, { state, name: "negatives" });
  const others = logSumExp(builder, builder.node("Reshape", [negative, builder.ints([-1, size])]));
  // S / (S + G) is the sigmoid of log S - log G.
  const gaps = builder.node("Sub", [
    builder.unsqueeze(own, [1]),
    builder.node("Reshape", [others, builder.ints([-1, groups])]),
  ]);
  return builder.reduce("ReduceMean", builder.node("Sigmoid", [gaps]), { axes: [1] });
}

/** Rows of unit length. */
export function unitGraph(builder: GraphBuilder, x: string): string {
  const norm = builder.reduce("ReduceL2", x, { axes: [1], keepDims: true });
  return builder.node("Div", [x, builder.clip(norm, { min: EPSILON })]);
}

/** Cosines of rows of unit length with learned ones, over the temperature. */
export function cosinesGraph(
  builder: GraphBuilder,
  unit: string,
  labels: { readonly state: FittedState; readonly name: string },
): string {
  const { state, name } = labels;
  return builder.node("Gemm", [unit, constantArray(builder, state, name)], {
    attributes: { alpha: 1 / state.parameters["tau"]!, transB: 1n },
  });
}

/** Bytes of all shares of a row: cosines, and two arrays made of them at a time. */
export function graphRowBytes({ arrays }: FittedState): number {
  return 3 * 4 * Object.values(arrays).reduce((sum, { shape }) => sum + shape[0]!, 0);
}
