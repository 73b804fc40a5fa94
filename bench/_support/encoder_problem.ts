/**
 * What a training step of TagOOD's projection model is given, the same for whoever computes it: first
 * values of the parameters, one batch, and the numbers of the optimiser.
 *
 * The model: a linear layer, a class token in front, learned positions, pre-norm encoder blocks
 * with an exact GELU, a layer normalisation of the class token, a linear classifier. The loss:
 * cross-entropy plus {@linkcode TRAINING}.centreWeight times the mean squared distance to the
 * centre of the class. Then AdamW on everything, then the centres follow. No dropout.
 *
 * @module
 */

import { Rng } from "../../kernels/random/rng.ts";

/** Sizes of the model and of its batch. */
export interface EncoderSizes {
  /** Lists in a batch. */
  readonly lists: number;
  /** Tokens of a list, the class token not counted. */
  readonly tokens: number;
  /** Width of a token as it comes in. */
  readonly inputs: number;
  /** Width inside. */
  readonly width: number;
  /** Heads of an attention. */
  readonly heads: number;
  /** Width inside the perceptrons. */
  readonly hidden: number;
  /** Encoder blocks. */
  readonly blocks: number;
  /** Classes; at least as many as lists, since no class stands twice in the batch. */
  readonly classes: number;
  /**
   * Whether tfjs and jax-js compute all rows of the last block, of which only the class tokens are
   * used: the textbook's way. Otherwise they compute what ours does, which leaves out the rest.
   */
  readonly everyRow?: boolean;
}

/** The paper's model on lists that lost no token. */
export const PAPER_SIZES: EncoderSizes = {
  lists: 16,
  tokens: 145,
  inputs: 512,
  width: 512,
  heads: 8,
  hidden: 2048,
  blocks: 2,
  classes: 1000,
};

/** Sizes for a check of who computes what, in seconds on any machine. */
export const SMALL_SIZES: EncoderSizes = {
  lists: 4,
  tokens: 9,
  inputs: 20,
  width: 32,
  heads: 4,
  hidden: 64,
  blocks: 2,
  classes: 12,
};

/** Numbers of the training: the paper's but for the rate, which is for a first step without warm-up. */
export const TRAINING = {
  learningRate: 1e-4,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 5e-4,
  centreWeight: 0.1,
  centreRate: 1e-3,
  normEpsilon: 1e-6,
} as const;

/** A parameter with its first value. */
export interface EncoderParameter {
  /** Its name, as in `methods/tagood`. */
  readonly name: string;
  /** Its shape; linear weights are [outputs, inputs]. */
  readonly shape: readonly number[];
  /** Its first value. */
  readonly data: Float32Array<ArrayBuffer>;
}

/** A model and a batch. */
export interface EncoderProblem {
  /** The sizes. */
  readonly sizes: EncoderSizes;
  /** The parameters. */
  readonly parameters: readonly EncoderParameter[];
  /** The tokens, f32 [lists * tokens, inputs]. */
  readonly tokens: Float32Array<ArrayBuffer>;
  /** The classes, i32 [lists], none twice. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** First centres, f32 [classes, width]. */
  readonly centres: Float32Array<ArrayBuffer>;
}

const SEED = 11;

/**
 * The problem of given sizes; the same numbers in every run.
 *
 * @param sizes The sizes.
 * @returns The problem.
 */
export function makeEncoderProblem(sizes: EncoderSizes): EncoderProblem {
  const { lists, tokens, inputs, width, hidden, blocks, classes } = sizes;
  const rng = new Rng(SEED);
  const normals = (count: number, deviation = 1, mean = 0) =>
    Float32Array.from({ length: count }, () => mean + deviation * rng.normal());
  const parameters: EncoderParameter[] = [];
  const add = (name: string, shape: readonly number[], deviation: number, mean = 0) =>
    parameters.push({
      name,
      shape,
      data: normals(shape.reduce((a, b) => a * b, 1), deviation, mean),
    });
  const addLinear = (name: string, from: number, to: number) => {
    add(`${name}.weight`, [to, from], 1 / Math.sqrt(from));
    add(`${name}.bias`, [to], 0.02);
  };
  const addNorm = (name: string) => {
    add(`${name}.weight`, [width], 0.1, 1);
    add(`${name}.bias`, [width], 0.1);
  };
  addLinear("input", inputs, width);
  add("class_token", [width], 0.5);
  add("positions", [tokens + 1, width], 0.1);
  for (let i = 0; i < blocks; i++) {
    addNorm(`blocks.${i}.norm1`);
    for (const part of ["query", "key", "value", "output"]) {
      addLinear(`blocks.${i}.attention.${part}`, width, width);
    }
    addNorm(`blocks.${i}.norm2`);
    addLinear(`blocks.${i}.mlp.in`, width, hidden);
    addLinear(`blocks.${i}.mlp.out`, hidden, width);
  }
  addNorm("norm");
  addLinear("classifier", width, classes);
  return {
    sizes,
    parameters,
    tokens: normals(lists * tokens * inputs),
    labels: Int32Array.from(
      rng.shuffle(Array.from({ length: classes }, (_, i) => i)).slice(0, lists),
    ),
    centres: normals(classes * width),
  };
}

/**
 * Floating-point operations of the matrix products of one step that cannot be left out: forward and
 * both gradients but for that of the tokens, and of the last block what reaches the class tokens.
 *
 * @param sizes The sizes.
 * @returns The operations.
 */
export function encoderStepFlops(sizes: EncoderSizes): number {
  const { lists, tokens, inputs, width, hidden, blocks, classes } = sizes;
  const rows = lists * (tokens + 1);
  const block = (queries: number) =>
    rows * 2 * width * width + queries * (2 * width * width + 2 * width * hidden) +
    queries * 2 * (tokens + 1) * width;
  const products = (blocks - 1) * block(rows) + block(lists) + lists * width * classes;
  return 2 * (2 * lists * tokens * inputs * width + 3 * products);
}
