/**
 * TagOOD's projection model: object tokens of any number in, one feature and the classes' logits
 * out.
 *
 * @module
 */

// Edge bundles have these modules; nn/mod.ts would bring files and checkpoints along.
import {
  Dropouts,
  encoderBlock,
  encoderParameters,
  encoderReadout,
  layerNormParameters,
  namedLayerNorm,
  namedLinear,
} from "../../nn/encoder.ts";
import { linearLayer } from "../../nn/layers.ts";
import { firstRows, insertClassToken } from "../../nn/ops/ragged.ts";
import type { ParameterSet, ParameterSpec } from "../../nn/parameters.ts";
import type { Tape } from "../../nn/tape.ts";
import type { Variable } from "../../nn/variable.ts";
import { Rng } from "../../kernels/mod.ts";
import type { Scalar, Tensor } from "../../runtime/mod.ts";

/** Sizes of a projection model. */
export interface ProjectionSizes {
  /** Width of an object token, E. */
  readonly inputs: number;
  /** Most tokens of one image, T: a position is learned for each, and for the class token. */
  readonly maxTokens: number;
  /** Width of the projected space, W. */
  readonly width: number;
  /** Number of encoder blocks. */
  readonly depth: number;
  /** Heads of a block. */
  readonly heads: number;
  /** Width inside the perceptrons, H. */
  readonly hidden: number;
  /** Number of classes, K. */
  readonly classes: number;
}

/** Streams of first values, apart from those of the blocks. */
const STREAMS = { input: 0, classToken: 1, positions: 2, classifier: 3, centres: 4, blocks: 16 };

/** Spread of the class token and of the positions before training, as vision transformers have it. */
const TOKEN_DEVIATION = 0.02;

/**
 * First values of a projection model: PyTorch's for linear layers, small normal numbers for the
 * class token and the positions.
 *
 * @param sizes The sizes.
 * @param seed The seed.
 * @returns The parameters: `input`, `class_token`, `positions`, `blocks.0` …, `norm`, `classifier`.
 *
 * @example The paper's size
 * ```ts
 * import { projectionParameters } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const sizes = { inputs: 8, maxTokens: 4, width: 8, depth: 1, heads: 2, hidden: 16, classes: 3 };
 * const specs = projectionParameters(sizes, 1);
 * assertEquals(specs.find(({ name }) => name === "positions")!.shape, [5, 8]);
 * ```
 */
export function projectionParameters(sizes: ProjectionSizes, seed: number): ParameterSpec[] {
  const { inputs, maxTokens, width, depth, hidden, classes } = sizes;
  const positions = [maxTokens + 1, width];
  return [
    ...linearLayer("input", { inputs, outputs: width, seed, stream: STREAMS.input }).parameters,
    {
      name: "class_token",
      shape: [width],
      data: normal(width, { deviation: TOKEN_DEVIATION, seed, stream: STREAMS.classToken }),
    },
    {
      name: "positions",
      shape: positions,
      data: normal(positions[0]! * width, {
        deviation: TOKEN_DEVIATION,
        seed,
        stream: STREAMS.positions,
      }),
    },
    ...encoderParameters(depth, { width, hidden, seed, stream: STREAMS.blocks }),
    ...layerNormParameters("norm", width),
    ...linearLayer("classifier", {
      inputs: width,
      outputs: classes,
      seed,
      stream: STREAMS.classifier,
    }).parameters,
  ];
}

/**
 * Centres before training: Gaussian noise.
 *
 * @param sizes Classes and width.
 * @param seed The seed.
 * @returns f32 [K, W].
 *
 * @example Their number
 * ```ts
 * import { firstCentres } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(firstCentres({ classes: 3, width: 8 }, 1).length, 24);
 * ```
 */
export function firstCentres(
  { classes, width }: Pick<ProjectionSizes, "classes" | "width">,
  seed: number,
): Float32Array<ArrayBuffer> {
  return normal(classes * width, { deviation: 1, seed, stream: STREAMS.centres });
}

function normal(
  length: number,
  how: { readonly deviation: number; readonly seed: number; readonly stream: number },
): Float32Array<ArrayBuffer> {
  const rng = new Rng(how.seed, how.stream);
  return Float32Array.from({ length }, () => how.deviation * rng.normal());
}

/** Object tokens of some images. */
export interface ProjectionInput {
  /** f32 [R, E], the images' tokens one behind the other. */
  readonly tokens: Variable;
  /** Where each image's begin and end, i32 [N + 1]; rows behind the last are not used. */
  readonly offsets: Tensor;
  /** 0, 1, …, N: i32 [N + 1]. */
  readonly singles: Tensor;
}

/** What is dropped while training. */
export interface ProjectionDropout {
  /** Share of row elements. */
  readonly rate: number;
  /** Share of attention probabilities. */
  readonly attention: number;
  /** Another number each step. */
  readonly seed: Scalar;
}

/** What the projection model gives. */
export interface ProjectionOutput {
  /** p(z), f32 [N, W]. */
  readonly features: Variable;
  /** f32 [N, K]. */
  readonly logits: Variable;
}

/** How the projection model is run. */
export interface ProjectionRun {
  /** The model's sizes; its classes do not matter for features. */
  readonly sizes: Omit<ProjectionSizes, "classes" | "inputs" | "width" | "hidden">;
  /** Dropout while training. */
  readonly dropout?: ProjectionDropout;
}

/**
 * Runs the projection model. An image without tokens gives the feature of the class token alone.
 *
 * @param tape The tape.
 * @param input The tokens.
 * @param parameters From {@linkcode projectionParameters}.
 * @param how The sizes, and dropout while training.
 * @returns Features and logits.
 *
 * @example Two images, three tokens
 * ```ts
 * import { project, projectionParameters } from "@oodgpu/oodgpu/methods";
 * import { ParameterSet, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const sizes = { inputs: 8, maxTokens: 4, width: 8, depth: 1, heads: 2, hidden: 16, classes: 3 };
 * using parameters = new ParameterSet(host, projectionParameters(sizes, 1));
 * const tokens = new Variable(host.upload(new Float32Array(24), [3, 8]));
 * const offsets = host.upload(new Int32Array([0, 1, 3]), [3]);
 * const singles = host.upload(new Int32Array([0, 1, 2]), [3]);
 * const input = { tokens, offsets, singles };
 * const { logits } = project(new Tape(host), input, parameters, { sizes });
 * assertEquals(logits.shape, [2, 3]);
 * ```
 */
export function project(
  tape: Tape,
  input: ProjectionInput,
  parameters: ParameterSet,
  how: ProjectionRun,
): ProjectionOutput {
  const features = projectFeatures(tape, input, parameters, how);
  return { features, logits: namedLinear(tape, features, { name: "classifier", parameters }) };
}

/**
 * The features alone, for which the classifier's parameters are not needed.
 *
 * @param tape The tape.
 * @param input The tokens.
 * @param parameters The parameters.
 * @param how The sizes, and dropout while training.
 * @returns p(z), f32 [N, W].
 *
 * @example An image without tokens
 * ```ts
 * import { projectFeatures, projectionParameters } from "@oodgpu/oodgpu/methods";
 * import { ParameterSet, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const sizes = { inputs: 4, maxTokens: 4, width: 8, depth: 2, heads: 2, hidden: 8, classes: 3 };
 * using parameters = new ParameterSet(host, projectionParameters(sizes, 1));
 * const tokens = new Variable(host.upload(new Float32Array(4), [1, 4]));
 * const offsets = host.upload(new Int32Array([0, 0]), [2]);
 * const singles = host.upload(new Int32Array([0, 1]), [2]);
 * const input = { tokens, offsets, singles };
 * assertEquals(projectFeatures(new Tape(host), input, parameters, { sizes }).shape, [1, 8]);
 * ```
 */
export function projectFeatures(
  tape: Tape,
  { tokens, offsets, singles }: ProjectionInput,
  parameters: ParameterSet,
  how: ProjectionRun,
): Variable {
  const { sizes, dropout } = how;
  const dropouts = dropout === undefined ? undefined : new Dropouts(dropout);
  const sequence = insertClassToken(tape, {
    x: namedLinear(tape, tokens, { name: "input", parameters }),
    token: parameters.get("class_token"),
    positions: parameters.get("positions"),
  }, { offsets });
  let x = dropouts === undefined ? sequence.y : dropouts.apply(tape, sequence.y);
  const lists = {
    heads: sizes.heads,
    offsets: sequence.offsets,
    maxLength: sizes.maxTokens + 1,
    dropouts,
  };
  const part = (i: number) => ({ name: `blocks.${i}`, parameters });
  for (let i = 0; i + 1 < sizes.depth; i++) x = encoderBlock(tape, x, part(i), lists);
  // Nothing but the class token leaves the last block.
  const first = sizes.depth === 0
    ? firstRows(tape, x, { offsets: sequence.offsets })
    : encoderReadout(tape, x, part(sizes.depth - 1), { ...lists, singles });
  return namedLayerNorm(tape, first, { name: "norm", parameters });
}
