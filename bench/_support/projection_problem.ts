/**
 * What a training step of SynOOD's projection is given, the same for whoever computes it: first
 * values of the parameters, labels, one batch of image features, and the numbers of the optimiser.
 *
 * The model: normalise(f + ReLU(LayerNorm(Linear(f)))), cosines with the labels times the logit
 * scale, cross-entropy, Adam with its decay added to the gradient. Image features and labels have
 * length one, and do not learn.
 *
 * @module
 */

import { Rng } from "../../kernels/random/rng.ts";

/** Sizes of a step. */
export interface StepSizes {
  /** Images in the batch. */
  readonly images: number;
  /** Width of a feature. */
  readonly width: number;
  /** Labels. */
  readonly labels: number;
}

/** CLIP's width, and about as many labels as the paper has. */
export const PAPER_SIZES: StepSizes = { images: 128, width: 512, labels: 5000 };

/** Sizes for a check of who computes what, in seconds on any machine. */
export const SMALL_SIZES: StepSizes = { images: 16, width: 32, labels: 60 };

/** Numbers of the training: the paper's. */
export const TRAINING = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 1e-5,
  logitScale: 100,
  normEpsilon: 1e-5,
} as const;

/** A parameter with its first value. */
export interface StepParameter {
  /** Its name, as in `methods/synood`. */
  readonly name: string;
  /** Its shape; the linear weight is [outputs, inputs]. */
  readonly shape: readonly number[];
  /** Its first value. */
  readonly data: Float32Array<ArrayBuffer>;
}

/** A model and a batch. */
export interface StepProblem {
  /** The sizes. */
  readonly sizes: StepSizes;
  /** The parameters. */
  readonly parameters: readonly StepParameter[];
  /** f32 [images, width]. */
  readonly features: Float32Array<ArrayBuffer>;
  /** f32 [labels, width]. */
  readonly labels: Float32Array<ArrayBuffer>;
  /** The label of each image, i32 [images]. */
  readonly targets: Int32Array<ArrayBuffer>;
}

const SEED = 12;
/** How far an image is from its label. */
const SPREAD = 1.5;

/**
 * The problem of given sizes; the same numbers in every run.
 *
 * @param sizes The sizes.
 * @returns The problem.
 */
export function makeStepProblem(sizes: StepSizes): StepProblem {
  const { images, width, labels } = sizes;
  const rng = new Rng(SEED);
  const normals = (count: number, deviation = 1, mean = 0) =>
    Float32Array.from({ length: count }, () => mean + deviation * rng.normal());
  const rows = unit(normals(labels * width), width);
  const targets = Int32Array.from({ length: images }, () => rng.integer(labels));
  const features = normals(images * width, SPREAD / Math.sqrt(width));
  targets.forEach((label, image) => {
    for (let d = 0; d < width; d++) features[image * width + d]! += rows[label * width + d]!;
  });
  return {
    sizes,
    parameters: [
      {
        name: "projection.weight",
        shape: [width, width],
        data: normals(width * width, 0.5 / Math.sqrt(width)),
      },
      { name: "projection.bias", shape: [width], data: normals(width, 0.02) },
      { name: "norm.weight", shape: [width], data: normals(width, 0.1, 1) },
      { name: "norm.bias", shape: [width], data: normals(width, 0.1) },
    ],
    features: unit(features, width),
    labels: rows,
    targets,
  };
}

function unit(rows: Float32Array<ArrayBuffer>, width: number): Float32Array<ArrayBuffer> {
  for (let begin = 0; begin < rows.length; begin += width) {
    const row = rows.subarray(begin, begin + width);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    row.forEach((value, d) => row[d] = value / length);
  }
  return rows;
}

/**
 * Floating-point operations of the matrix products of one step that cannot be left out: the linear
 * layer and the gradient of its weight, the cosines and the gradient of the images.
 *
 * @param sizes The sizes.
 * @returns The operations.
 */
export function stepFlops({ images, width, labels }: StepSizes): number {
  return 2 * images * width * (2 * width + 2 * labels);
}
