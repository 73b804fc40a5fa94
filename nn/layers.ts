/**
 * Layers for networks that are built here rather than imported: each names its parameters and
 * statistics, and applies itself to a variable.
 *
 * @module
 */

import type { Context, Tensor } from "../runtime/mod.ts";
import { heNormal, uniformFanIn } from "./initialize.ts";
import { batchNorm, type BatchNormMode } from "./ops/batch_norm.ts";
import { conv2d, type ConvOptions } from "./ops/convolution.ts";
import { linear } from "./ops/linear.ts";
import { add } from "./ops/pointwise.ts";
import { globalAveragePool } from "./ops/pooling.ts";
import { ParameterSet, type ParameterSpec } from "./parameters.ts";
import type { Tape } from "./tape.ts";
import type { Variable } from "./variable.ts";

/** A statistic that a layer keeps, such as a running mean. */
export interface StatisticSpec {
  /** Its name, unique in the network. */
  readonly name: string;
  /** Its first value. */
  readonly data: Float32Array<ArrayBuffer>;
}

/** What layers read when they are applied. */
export interface LayerState {
  /** The parameters by name. */
  readonly parameters: ParameterSet;
  /** The statistics by name. */
  readonly statistics: ReadonlyMap<string, Tensor>;
  /** Which statistics batch normalisation takes; `train` by default. */
  readonly batchNorm?: BatchNormMode;
}

/** A part of a network. */
export interface Layer {
  /** The parameters that it needs. */
  readonly parameters: readonly ParameterSpec[];
  /** The statistics that it keeps. */
  readonly statistics: readonly StatisticSpec[];
  /** Applies the layer. */
  apply(tape: Tape, x: Variable, state: LayerState): Variable;
}

/** Seeds of a layer's first values. */
export interface LayerSeed {
  /** Seed of the network. */
  readonly seed: number;
  /** A number of the layer's own. */
  readonly stream: number;
}

/** A convolution's sizes. */
export interface ConvLayerOptions extends ConvOptions, LayerSeed {
  /** Channels that come in. */
  readonly inputs: number;
  /** Channels that go out. */
  readonly outputs: number;
  /** Height and width of the kernel. */
  readonly kernel: readonly [number, number];
  /** Whether there is a bias; true by default. */
  readonly bias?: boolean;
}

/**
 * A convolution with He's first weights and zero biases.
 *
 * @param name Prefix of its parameters: `name.weight`, `name.bias`.
 * @param options Its sizes.
 * @returns The layer.
 *
 * @example Its parameters
 * ```ts
 * import { convLayer } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const layer = convLayer("stem", { inputs: 3, outputs: 8, kernel: [3, 3], seed: 1, stream: 0 });
 * assertEquals(layer.parameters.map(({ name }) => name), ["stem.weight", "stem.bias"]);
 * ```
 */
export function convLayer(name: string, options: ConvLayerOptions): Layer {
  const { inputs, outputs, kernel, bias = true, seed, stream, ...geometry } = options;
  const shape = [outputs, ...kernel, inputs / (geometry.groups ?? 1)];
  const weight = { name: `${name}.weight`, shape, data: heNormal(shape, { seed, stream }) };
  const offset = { name: `${name}.bias`, shape: [outputs], data: new Float32Array(outputs) };
  return {
    parameters: bias ? [weight, offset] : [weight],
    statistics: [],
    apply: (tape, x, { parameters }) =>
      conv2d(tape, x, {
        weight: parameters.get(weight.name),
        ...(bias ? { bias: parameters.get(offset.name) } : {}),
      }, geometry),
  };
}

/**
 * Batch normalisation with weight 1 and bias 0.
 *
 * @param name Prefix of its parameters and statistics.
 * @param options Channels, and a ReLU in the same kernel.
 * @returns The layer.
 *
 * @example Its statistics
 * ```ts
 * import { batchNormLayer } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const layer = batchNormLayer("bn", { channels: 4 });
 * assertEquals(layer.statistics.map(({ name }) => name), ["bn.running_mean", "bn.running_var"]);
 * ```
 */
export function batchNormLayer(
  name: string,
  options: { readonly channels: number; readonly activation?: "none" | "relu" },
): Layer {
  const { channels, activation = "none" } = options;
  const named = (part: string, value: number) => ({
    name: `${name}.${part}`,
    shape: [channels],
    data: new Float32Array(channels).fill(value),
  });
  const [weight, bias] = [named("weight", 1), named("bias", 0)];
  const [mean, variance] = [named("running_mean", 0), named("running_var", 1)];
  return {
    parameters: [weight, bias],
    statistics: [mean, variance],
    apply: (tape, x, { parameters, statistics, batchNorm: mode = "train" }) =>
      batchNorm(tape, x, {
        weight: parameters.get(weight.name),
        bias: parameters.get(bias.name),
        runningMean: statistics.get(mean.name)!,
        runningVariance: statistics.get(variance.name)!,
      }, { mode, activation }),
  };
}

/**
 * A linear layer with PyTorch's first values.
 *
 * @param name Prefix of its parameters.
 * @param options Its sizes.
 * @returns The layer.
 *
 * @example Its parameters
 * ```ts
 * import { linearLayer } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const layer = linearLayer("head", { inputs: 8, outputs: 2, seed: 1, stream: 0 });
 * assertEquals(layer.parameters[0]!.shape, [2, 8]);
 * ```
 */
export function linearLayer(
  name: string,
  options: LayerSeed & { readonly inputs: number; readonly outputs: number },
): Layer {
  const { inputs, outputs, seed, stream } = options;
  const shape = [outputs, inputs];
  const weight = { name: `${name}.weight`, shape, data: uniformFanIn(shape, { seed, stream }) };
  const offset = {
    name: `${name}.bias`,
    shape: [outputs],
    data: uniformFanIn([outputs], { seed, stream: stream + BIAS_STREAMS, inputs }),
  };
  return {
    parameters: [weight, offset],
    statistics: [],
    apply: (tape, x, { parameters }) =>
      linear(tape, x, { weight: parameters.get(weight.name), bias: parameters.get(offset.name) }),
  };
}

/** Biases draw from streams of their own, far from those of weights. */
const BIAS_STREAMS = 1 << 20;

/**
 * Global average pooling.
 *
 * @returns The layer.
 *
 * @example It learns nothing
 * ```ts
 * import { poolLayer } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(poolLayer().parameters, []);
 * ```
 */
export function poolLayer(): Layer {
  return { parameters: [], statistics: [], apply: (tape, x) => globalAveragePool(tape, x) };
}

/**
 * Layers one after the other.
 *
 * @param layers The layers.
 * @returns Them as one.
 *
 * @example Parameters of all
 * ```ts
 * import { batchNormLayer, sequential } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const both = sequential([
 *   batchNormLayer("a", { channels: 2 }),
 *   batchNormLayer("b", { channels: 2 }),
 * ]);
 * assertEquals(both.parameters.length, 4);
 * ```
 */
export function sequential(layers: readonly Layer[]): Layer {
  return {
    parameters: layers.flatMap(({ parameters }) => parameters),
    statistics: layers.flatMap(({ statistics }) => statistics),
    apply: (tape, x, state) => layers.reduce((value, layer) => layer.apply(tape, value, state), x),
  };
}

/**
 * A branch added to its input, or to what a shortcut makes of it, with a ReLU on the sum.
 *
 * @param branch The branch.
 * @param shortcut What the input passes; nothing by default.
 * @returns The layer.
 *
 * @example A block
 * ```ts
 * import { batchNormLayer, residual } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(residual(batchNormLayer("a", { channels: 2 })).parameters.length, 2);
 * ```
 */
export function residual(branch: Layer, shortcut?: Layer): Layer {
  return {
    parameters: [...branch.parameters, ...shortcut?.parameters ?? []],
    statistics: [...branch.statistics, ...shortcut?.statistics ?? []],
    apply: (tape, x, state) => {
      const y = branch.apply(tape, x, state);
      return add(tape, y, shortcut?.apply(tape, x, state) ?? x, { activation: "relu" });
    },
  };
}

/**
 * Places a layer's parameters and statistics.
 *
 * @param ctx Where they live.
 * @param layer The layer, or a whole network.
 * @returns What {@linkcode Layer.apply} needs; dispose `parameters` before the context.
 *
 * @example A network of one layer
 * ```ts
 * import { linearLayer, placeLayer, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const layer = linearLayer("head", { inputs: 3, outputs: 2, seed: 1, stream: 0 });
 * const state = placeLayer(host, layer);
 * using _ = state.parameters;
 * const x = new Variable(host.upload(new Float32Array(3), [1, 3]));
 * assertEquals(layer.apply(new Tape(host), x, state).shape, [1, 2]);
 * ```
 */
export function placeLayer(ctx: Context, layer: Layer): LayerState {
  return {
    parameters: new ParameterSet(ctx, layer.parameters),
    statistics: new Map(
      layer.statistics.map(({ name, data }) => [
        name,
        ctx.upload(data, [data.length], { label: name }),
      ]),
    ),
  };
}
