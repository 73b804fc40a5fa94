/**
 * The parts of transformers, over lists of rows of different lengths: multi-head attention, the
 * two-layer perceptron, and the pre-norm encoder block of both.
 *
 * @module
 */

import type { Scalar, Tensor } from "../runtime/mod.ts";
import { type LayerSeed, linearLayer } from "./layers.ts";
import { raggedAttention } from "./ops/attention.ts";
import { linear } from "./ops/linear.ts";
import { layerNorm } from "./ops/normalization.ts";
import { activation, add, dropout } from "./ops/pointwise.ts";
import { firstRows } from "./ops/ragged.ts";
import type { ParameterSet, ParameterSpec } from "./parameters.ts";
import type { Tape } from "./tape.ts";
import type { Variable } from "./variable.ts";

/** Sizes of an encoder block. */
export interface EncoderSizes {
  /** Width of a row, a multiple of the heads. */
  readonly width: number;
  /** Width inside the perceptron. */
  readonly hidden: number;
}

/** A part of a network by its name, with the parameters that it looks its own up in. */
export interface NamedPart {
  /** Prefix of its parameters. */
  readonly name: string;
  /** The network's parameters. */
  readonly parameters: ParameterSet;
}

/** Lists that attend within themselves, or from one set of rows to another. */
export interface AttendedLists {
  /** Number of heads. */
  readonly heads: number;
  /** Where the lists of queries begin and end, i32 [N + 1]. */
  readonly offsets: Tensor;
  /** No list of queries is longer. */
  readonly maxLength: number;
  /** Where the lists of keys begin and end; those of the queries by default. */
  readonly keyOffsets?: Tensor;
  /** No list of keys is longer; `maxLength` by default. */
  readonly maxKeys?: number;
}

/**
 * Dropout of a training step: each use draws from a stream of its own, and each step from a seed of
 * its own.
 *
 * @example Nothing is dropped at rate 0
 * ```ts
 * import { Dropouts, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host, Scalar } from "@oodgpu/oodgpu/runtime";
 * import { assert } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1]), [1]));
 * const dropouts = new Dropouts({ rate: 0, attention: 0, seed: new Scalar(1) });
 * assert(dropouts.apply(new Tape(host), x) === x);
 * ```
 */
export class Dropouts {
  readonly #rates: { readonly rate: number; readonly attention: number; readonly seed: Scalar };
  #stream = 0;

  /**
   * Sets the rates.
   *
   * @param rates `rate` of rows, `attention` of probabilities, both below 1, and the step's `seed`.
   */
  constructor(
    rates: { readonly rate: number; readonly attention: number; readonly seed: Scalar },
  ) {
    this.#rates = rates;
  }

  /**
   * Drops elements of a variable.
   *
   * @param tape The tape.
   * @param x Any shape.
   * @returns A variable of the same shape; `x` itself at rate 0.
   */
  apply(tape: Tape, x: Variable): Variable {
    const { rate, seed } = this.#rates;
    const stream = this.#stream++;
    return rate === 0 ? x : dropout(tape, x, { rate, seed, stream });
  }

  /** The option of the next attention; nothing at rate 0. */
  forAttention(): {
    readonly dropout?: { readonly rate: number; readonly seed: Scalar; readonly stream: number };
  } {
    const { attention: rate, seed } = this.#rates;
    const stream = this.#stream++;
    return rate === 0 ? {} : { dropout: { rate, seed, stream } };
  }
}

const PROJECTIONS = ["query", "key", "value", "output"] as const;

/**
 * First values of a multi-head attention: PyTorch's of four linear layers.
 *
 * @param name Prefix of the parameters `query`, `key`, `value`, `output`.
 * @param options The width of rows and the seed; four streams from `stream` on are used.
 * @returns The parameters.
 *
 * @example Their names
 * ```ts
 * import { attentionParameters } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const specs = attentionParameters("attention", { width: 4, seed: 1, stream: 0 });
 * assertEquals(specs.length, 8);
 * assertEquals(specs[0]!.name, "attention.query.weight");
 * ```
 */
export function attentionParameters(
  name: string,
  { width, seed, stream }: LayerSeed & { readonly width: number },
): ParameterSpec[] {
  return PROJECTIONS.flatMap((part, i) =>
    linearLayer(`${name}.${part}`, { inputs: width, outputs: width, seed, stream: stream + i })
      .parameters
  );
}

/**
 * Multi-head attention with its four linear layers.
 *
 * @param tape The tape.
 * @param x Rows `queries` f32 [Rq, W] and `keys` f32 [Rk, W], which are the queries by default.
 * @param part Name and parameters.
 * @param lists The lists, and dropout of the probabilities.
 * @returns f32 [Rq, W].
 *
 * @example A list of two
 * ```ts
 * import { attend, attentionParameters, ParameterSet, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const specs = attentionParameters("a", { width: 4, seed: 1, stream: 0 });
 * using parameters = new ParameterSet(host, specs);
 * const queries = new Variable(host.upload(new Float32Array(8), [2, 4]));
 * const offsets = host.upload(new Int32Array([0, 2]), [2]);
 * const lists = { heads: 2, offsets, maxLength: 2 };
 * assertEquals(attend(new Tape(host), { queries }, { name: "a", parameters }, lists).shape, [2, 4]);
 * ```
 */
export function attend(
  tape: Tape,
  x: { readonly queries: Variable; readonly keys?: Variable },
  part: NamedPart,
  lists: AttendedLists & ReturnType<Dropouts["forAttention"]>,
): Variable {
  const { queries, keys = queries } = x;
  const q = namedLinear(tape, queries, part, "query");
  const k = namedLinear(tape, keys, part, "key");
  const v = namedLinear(tape, keys, part, "value");
  return namedLinear(tape, raggedAttention(tape, { q, k, v }, lists), part, "output");
}

/**
 * First values of a two-layer perceptron.
 *
 * @param name Prefix of the parameters `in` and `out`.
 * @param options Widths and seed; two streams from `stream` on are used.
 * @returns The parameters.
 *
 * @example Their shapes
 * ```ts
 * import { perceptronParameters } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const specs = perceptronParameters("mlp", { width: 4, hidden: 16, seed: 1, stream: 0 });
 * assertEquals(specs.map(({ shape }) => shape), [[16, 4], [16], [4, 16], [4]]);
 * ```
 */
export function perceptronParameters(
  name: string,
  { width, hidden, seed, stream }: LayerSeed & EncoderSizes,
): ParameterSpec[] {
  return [
    ...linearLayer(`${name}.in`, { inputs: width, outputs: hidden, seed, stream }).parameters,
    ...linearLayer(`${name}.out`, { inputs: hidden, outputs: width, seed, stream: stream + 1 })
      .parameters,
  ];
}

/**
 * Two linear layers with a GELU between them.
 *
 * @param tape The tape.
 * @param x f32 [R, W].
 * @param part Name and parameters.
 * @param dropouts Drops elements behind the GELU, where given.
 * @returns f32 [R, W].
 *
 * @example Zeros in, the bias out
 * ```ts
 * import { ParameterSet, perceptron, perceptronParameters, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const specs = perceptronParameters("mlp", { width: 4, hidden: 8, seed: 1, stream: 0 });
 * using parameters = new ParameterSet(host, specs);
 * const x = new Variable(host.upload(new Float32Array(12), [3, 4]));
 * assertEquals(perceptron(new Tape(host), x, { name: "mlp", parameters }).shape, [3, 4]);
 * ```
 */
export function perceptron(
  tape: Tape,
  x: Variable,
  part: NamedPart,
  dropouts?: Dropouts,
): Variable {
  const inside = activation(tape, namedLinear(tape, x, part, "in"), { kind: "gelu" });
  const kept = dropouts === undefined ? inside : dropouts.apply(tape, inside);
  return namedLinear(tape, kept, part, "out");
}

/**
 * First values of a layer normalisation.
 *
 * @param name Prefix of `weight` and `bias`.
 * @param width Width of a row.
 * @returns Ones and zeros.
 *
 * @example Two parameters
 * ```ts
 * import { layerNormParameters } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(layerNormParameters("norm", 4).map(({ name }) => name), ["norm.weight", "norm.bias"]);
 * ```
 */
export function layerNormParameters(name: string, width: number): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape: [width], data: new Float32Array(width).fill(1) },
    { name: `${name}.bias`, shape: [width], data: new Float32Array(width) },
  ];
}

/**
 * A layer normalisation by its name.
 *
 * @param tape The tape.
 * @param x f32 [R, W].
 * @param part Name and parameters.
 * @param options Epsilon, 1e-6 by default, as encoders have it.
 * @returns f32 [R, W].
 *
 * @example A row of two
 * ```ts
 * import { layerNormParameters, namedLayerNorm, ParameterSet, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * using parameters = new ParameterSet(host, layerNormParameters("norm", 2));
 * const x = new Variable(host.upload(new Float32Array([1, 3]), [1, 2]));
 * const y = namedLayerNorm(new Tape(host), x, { name: "norm", parameters });
 * assertAlmostEquals(y.value.data[1]!, 1, 1e-5);
 * ```
 */
export function namedLayerNorm(
  tape: Tape,
  x: Variable,
  { name, parameters }: NamedPart,
  options: { readonly epsilon?: number } = {},
): Variable {
  return layerNorm(tape, x, {
    weight: parameters.get(`${name}.weight`),
    bias: parameters.get(`${name}.bias`),
  }, { epsilon: options.epsilon ?? ENCODER_EPSILON });
}

/** What encoders add to a variance. */
const ENCODER_EPSILON = 1e-6;

/** Streams of first values that an encoder block takes. */
const BLOCK_STREAMS = 6;

/**
 * First values of encoder blocks.
 *
 * @param count How many blocks; their names are `blocks.0` and so on.
 * @param options Widths and seed; six streams a block are used.
 * @returns The parameters.
 *
 * @example One block
 * ```ts
 * import { encoderParameters } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const specs = encoderParameters(1, { width: 4, hidden: 8, seed: 1, stream: 0 });
 * assertEquals(specs.length, 16);
 * ```
 */
export function encoderParameters(
  count: number,
  options: LayerSeed & EncoderSizes,
): ParameterSpec[] {
  return Array.from({ length: count }, (_, i) => {
    const name = `blocks.${i}`;
    const stream = options.stream + BLOCK_STREAMS * i;
    return [
      ...layerNormParameters(`${name}.norm1`, options.width),
      ...attentionParameters(`${name}.attention`, { ...options, stream }),
      ...layerNormParameters(`${name}.norm2`, options.width),
      ...perceptronParameters(`${name}.mlp`, { ...options, stream: stream + 4 }),
    ];
  }).flat();
}

/**
 * A pre-norm encoder block: attention and a perceptron, each behind a layer normalisation and added
 * to what came in.
 *
 * @param tape The tape.
 * @param x f32 [R, W].
 * @param part Name and parameters.
 * @param lists The lists, and the step's dropouts where there are any.
 * @returns f32 [R, W].
 *
 * @example Shapes stay
 * ```ts
 * import { encoderBlock, encoderParameters, ParameterSet, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const specs = encoderParameters(1, { width: 4, hidden: 8, seed: 1, stream: 0 });
 * using parameters = new ParameterSet(host, specs);
 * const x = new Variable(host.upload(new Float32Array(12), [3, 4]));
 * const offsets = host.upload(new Int32Array([0, 1, 3]), [3]);
 * const lists = { heads: 2, offsets, maxLength: 2 };
 * const y = encoderBlock(new Tape(host), x, { name: "blocks.0", parameters }, lists);
 * assertEquals(y.shape, [3, 4]);
 * ```
 */
export function encoderBlock(
  tape: Tape,
  x: Variable,
  { name, parameters }: NamedPart,
  lists: AttendedLists & { readonly dropouts?: Dropouts | undefined },
): Variable {
  const { dropouts, ...attended } = lists;
  const part = (suffix: string) => ({ name: `${name}.${suffix}`, parameters });
  const drop = (value: Variable) => dropouts === undefined ? value : dropouts.apply(tape, value);
  const attention = attend(
    tape,
    { queries: namedLayerNorm(tape, x, part("norm1")) },
    part("attention"),
    {
      ...attended,
      ...dropouts?.forAttention(),
    },
  );
  const middle = add(tape, x, drop(attention));
  const inside = perceptron(
    tape,
    namedLayerNorm(tape, middle, part("norm2")),
    part("mlp"),
    dropouts,
  );
  return add(tape, middle, drop(inside));
}

/** Lists of which only the first rows are wanted. */
export interface ReadLists extends Omit<AttendedLists, "keyOffsets" | "maxKeys"> {
  /** 0, 1, …, N: each list's first row as a list of its own, i32 [N + 1]. */
  readonly singles: Tensor;
}

/**
 * An encoder block of which only each list's first row is wanted: the last one of a network with a
 * class token. The result is that of {@linkcode encoderBlock} at those rows; queries, output and
 * perceptron of the others, half of a two-block network's work, are not computed.
 *
 * @param tape The tape.
 * @param x f32 [R, W].
 * @param part Name and parameters.
 * @param lists The lists, and the step's dropouts where there are any.
 * @returns f32 [N, W].
 *
 * @example The first of three rows
 * ```ts
 * import {
 *   encoderBlock, encoderParameters, encoderReadout, ParameterSet, Tape, Variable,
 * } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const specs = encoderParameters(1, { width: 2, hidden: 4, seed: 1, stream: 0 });
 * using parameters = new ParameterSet(host, specs);
 * const x = new Variable(host.upload(new Float32Array([1, 2, 3, 4, 5, 6]), [3, 2]));
 * const offsets = host.upload(new Int32Array([0, 3]), [2]);
 * const singles = host.upload(new Int32Array([0, 1]), [2]);
 * const part = { name: "blocks.0", parameters };
 * const lists = { heads: 1, offsets, maxLength: 3 };
 * const all = encoderBlock(new Tape(host), x, part, lists);
 * const first = encoderReadout(new Tape(host), x, part, { ...lists, singles });
 * assertEquals(first.value.data, all.value.data.slice(0, 2));
 * ```
 */
export function encoderReadout(
  tape: Tape,
  x: Variable,
  { name, parameters }: NamedPart,
  lists: ReadLists & { readonly dropouts?: Dropouts | undefined },
): Variable {
  const { dropouts, singles, offsets, maxLength, heads } = lists;
  const part = (suffix: string) => ({ name: `${name}.${suffix}`, parameters });
  const drop = (value: Variable) => dropouts === undefined ? value : dropouts.apply(tape, value);
  const keys = namedLayerNorm(tape, x, part("norm1"));
  const queries = firstRows(tape, keys, { offsets });
  const attention = attend(tape, { queries, keys }, part("attention"), {
    heads,
    offsets: singles,
    maxLength: 1,
    keyOffsets: offsets,
    maxKeys: maxLength,
    ...dropouts?.forAttention(),
  });
  const middle = add(tape, firstRows(tape, x, { offsets }), drop(attention));
  const inside = perceptron(
    tape,
    namedLayerNorm(tape, middle, part("norm2")),
    part("mlp"),
    dropouts,
  );
  return add(tape, middle, drop(inside));
}

/**
 * A linear layer by its name.
 *
 * @param tape The tape.
 * @param x f32 [R, inputs].
 * @param part Name and parameters.
 * @param suffix What follows the name; nothing by default.
 * @returns f32 [R, outputs].
 *
 * @example Two outputs
 * ```ts
 * import { linearLayer, namedLinear, ParameterSet, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const { parameters: specs } = linearLayer("head", { inputs: 3, outputs: 2, seed: 1, stream: 0 });
 * using parameters = new ParameterSet(host, specs);
 * const x = new Variable(host.upload(new Float32Array(3), [1, 3]));
 * assertEquals(namedLinear(new Tape(host), x, { name: "head", parameters }).shape, [1, 2]);
 * ```
 */
export function namedLinear(
  tape: Tape,
  x: Variable,
  { name, parameters }: NamedPart,
  suffix?: string,
): Variable {
  const full = suffix === undefined ? name : `${name}.${suffix}`;
  return linear(tape, x, {
    weight: parameters.get(`${full}.weight`),
    bias: parameters.get(`${full}.bias`),
  });
}
