/**
 * An ONNX classifier as a network that can be differentiated and trained, and back.
 *
 * @module
 */

import {
  globalAveragePool,
  ParameterSet,
  type ParameterSpec,
  reshape,
  Tape,
  Variable,
} from "../../nn/mod.ts";
import {
  type Context,
  type Scalar,
  sizeOf,
  type Tensor,
  type TypedArray,
} from "../../runtime/mod.ts";
import type { Inspection, ValueSource } from "../inspection.ts";
import type { OnnxModel } from "../model.ts";
import type { Run } from "./_compiler.ts";
import { exportWeights } from "./_export.ts";
import { Lifetimes } from "./_lifetimes.ts";
import {
  BatchMoments,
  calibrated,
  folded,
  normSpecs,
  normStatistics,
  type Observation,
  observe,
} from "./_norms.ts";
import { type NetworkPlan, planNetwork } from "./_plan.ts";
import { type PlannedWeight, toEngine } from "./_weights.ts";
import type { InsertedNorm, NetworkInput, NetworkOptions } from "./options.ts";

/** What {@linkcode Network.forward} gives. Maps are channels last, [N, H, W, C]. */
export interface NetworkOutputs {
  /** Class scores before any Softmax, f32 [N, K]. */
  readonly logits: Variable;
  /** Penultimate features, f32 [N, C], where the network has them. */
  readonly features?: Variable;
  /** The last feature map, f32 [N, H, W, C], where the network has it. */
  readonly featureMap?: Variable;
  /** The further values that were asked for, by name. */
  readonly values: ReadonlyMap<string, Variable>;
  /** The linear head, where the network has one: logits are `features weightᵀ + bias`. */
  readonly head?: {
    /** f32 [K, C]. */
    readonly weight: Variable;
    /** f32 [K]. */
    readonly bias?: Variable;
  };
}

/** Options of {@linkcode Network.forward}. */
export interface ForwardOptions {
  /** Whether batch statistics and dropout apply; false by default. */
  readonly training?: boolean;
  /** Seed of dropout, a scalar so that each step draws anew. */
  readonly seed?: Scalar;
  /**
   * Whether parameters get gradients; true by default. Without them, and without an input that
   * needs one, values are released as soon as nothing reads them any more.
   */
  readonly gradients?: boolean;
}

/**
 * Imports an ONNX classifier, or the last part of one, as a network that can be trained.
 *
 * Convolutions, BatchNormalization, the usual activations, poolings, sums, gates, concatenations
 * and linear layers are supported; docs/models.md has the list. A Softmax behind the class scores
 * is left out here and stays in what {@linkcode Network.export} gives.
 *
 * @param ctx Where the network lives; dispose the network before it.
 * @param model The model.
 * @param inspection What {@linkcode inspect} found in it.
 * @param options What learns, and how.
 * @returns The network.
 * @throws {UserError} When a node in the part to be trained is not supported, or the part can not be
 * found; the message names the node.
 *
 * @example Class scores and their gradient
 * ```ts
 * import { importNetwork, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * using network = importNetwork(host, model, inspect(model), { trainable: "head" });
 * const tape = new Tape(host);
 * const features = new Variable(host.upload(new Float32Array(64), [1, 64]));
 * const { logits } = network.forward(tape, new Map([[network.inputs[0]!.name, features]]));
 * tape.backward([{ variable: logits, gradient: host.upload(new Float32Array(10).fill(1), [1, 10]) }]);
 * assertEquals([...network.parameters.get("m.fc.bias").gradient!.data], Array(10).fill(1));
 * ```
 */
export function importNetwork(
  ctx: Context,
  model: OnnxModel,
  inspection: Inspection,
  options: NetworkOptions = {},
): Network {
  return new Network(ctx, { model, inspection, options });
}

/** What a network is made from. */
export interface NetworkSource {
  /** The model. */
  readonly model: OnnxModel;
  /** What was found in it. */
  readonly inspection: Inspection;
  /** What learns, and how. */
  readonly options?: NetworkOptions;
}

/**
 * An ONNX classifier, or the last part of one, that can be trained.
 *
 * @example What crosses from the frozen part
 * ```ts
 * import { importNetwork, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * using network = importNetwork(host, model, inspect(model), { trainable: "last-block" });
 * assertEquals(network.inputs.map(({ shape }) => shape), [[8, 8, 64]]);
 * assertEquals(network.trunk!.graph.outputs.map(({ name }) => name), [network.inputs[0]!.name]);
 * ```
 */
export class Network implements Disposable {
  /** The parameters by the names of their initialisers. */
  readonly parameters: ParameterSet;
  /** Running means and variances by the names of their initialisers, f32 [C]. */
  readonly statistics: ReadonlyMap<string, Tensor>;
  /** What {@linkcode Network.forward} takes: the image, or the outputs of the trunk. */
  readonly inputs: readonly NetworkInput[];
  /**
   * What computes the inputs from the image, in ONNX's layout; undefined when the network begins at
   * the image.
   */
  readonly trunk: OnnxModel | undefined;
  /** Normalisations that were put behind convolutions, and that an export folds away. */
  readonly inserted: readonly InsertedNorm[];
  readonly #ctx: Context;
  readonly #model: OnnxModel;
  readonly #plan: NetworkPlan;
  readonly #constants: ReadonlyMap<string, Tensor>;
  readonly #lifetimes: Lifetimes;

  /**
   * Makes a network, as {@linkcode importNetwork} does.
   *
   * @param ctx Where it lives.
   * @param source The model, what was found in it, and what learns.
   * @throws {UserError} When the model can not be trained.
   */
  constructor(ctx: Context, { model, inspection, options = {} }: NetworkSource) {
    const plan = planNetwork(model, inspection, options);
    this.#ctx = ctx;
    this.#model = model;
    this.#plan = plan;
    this.trunk = plan.trunk;
    this.inputs = plan.inputs.map(({ name, shape }) => ({ name, shape }));
    const { parameters, statistics, norms } = plan.weights;
    this.inserted = norms.map(({ convolution, weight, bias, runningMean, runningVariance }) => (
      { convolution, weight, bias, runningMean, runningVariance }
    ));
    this.parameters = new ParameterSet(ctx, [
      ...[...parameters.values()].map((weight) => specOf(weight, options)),
      ...norms.flatMap((norm) => normSpecs(norm, options)),
    ]);
    const vectors = [
      ...[...statistics].map(([name, weight]) => [name, toEngine(weight)] as const),
      ...norms.flatMap(normStatistics),
    ];
    this.statistics = new Map(
      vectors.map(([name, data]) => [name, ctx.upload(data, [data.length], { label: name })]),
    );
    this.#constants = new Map(
      [...plan.weights.constants].map(([name, data]) => [
        name,
        ctx.upload(data, [data.length], { label: name }),
      ]),
    );
    this.#lifetimes = new Lifetimes(plan);
  }

  /**
   * Applies the network.
   *
   * @param tape Follows what is computed.
   * @param inputs A variable f32 [N, H, W, C] or [N, C] for each of {@linkcode Network.inputs}.
   * @param options Training or not, and the seed of dropout.
   * @returns Class scores, and what else the network offers.
   * @throws {TypeError} When an input is missing or has another shape, or Dropout gets no seed.
   */
  forward(
    tape: Tape,
    inputs: ReadonlyMap<string, Variable>,
    options: ForwardOptions = {},
  ): NetworkOutputs {
    return this.#pass(tape, inputs, options);
  }

  /**
   * Estimates the statistics of the inserted normalisations on batches, such as images of the
   * training set that are not moved, without changing what the network computes with its running
   * statistics: γ becomes the deviation and β the mean of what a convolution gives. Do it once before
   * the first step; it is needed where statistics of the batch are taken, and does nothing where
   * nothing was inserted.
   *
   * @param batches Number of batches.
   * @param inputs Gives what {@linkcode Network.forward} takes for a batch, counted from 0; what it
   * makes in the context is released after the batch.
   * @throws {RangeError} When there is no batch.
   *
   * @example A network without batch normalisation trains with it
   * ```ts
   * import { importNetwork, inspect, readModel, writeModel } from "@oodgpu/oodgpu/onnx";
   * import { Variable } from "@oodgpu/oodgpu/nn";
   * import { Host } from "@oodgpu/oodgpu/runtime";
   * import { assertEquals } from "@std/assert";
   *
   * using host = new Host();
   * const model = await readModel("models/cifar10-resnet20.onnx");
   * using network = importNetwork(host, model, inspect(model), {
   *   trainable: "last-block",
   *   insertNorms: "auto",
   * });
   * assertEquals(network.inserted.length, 2);
   * const maps = Float32Array.from({ length: 8 * 8 * 64 }, (_, i) => Math.abs(Math.sin(i)));
   * await network.calibrate(1, (ctx) =>
   *   new Map([[network.inputs[0]!.name, new Variable(ctx.upload(maps, [1, 8, 8, 64]))]])
   * );
   * assertEquals(writeModel(await network.export()), writeModel(model));
   * ```
   */
  async calibrate(
    batches: number,
    inputs: (ctx: Context, batch: number) => ReadonlyMap<string, Variable>,
  ): Promise<void> {
    const { norms } = this.#plan.weights;
    if (norms.length === 0) return;
    if (!(Number.isInteger(batches) && batches >= 1)) {
      throw new RangeError(`Cannot calibrate on ${batches} batches: at least one is needed`);
    }
    const moments = new Map(norms.map((norm) => [norm, new BatchMoments(norm.channels)]));
    for (let batch = 0; batch < batches; batch++) {
      using scope = this.#ctx.scope();
      const seen: Observation[] = [];
      this.#pass(new Tape(scope), inputs(scope, batch), {
        gradients: false,
        observe: (norm, x) => seen.push(observe(scope, norm, x)),
      });
      const arrays = await scope.read(...seen.flatMap(({ mean, variance }) => [mean, variance]));
      seen.forEach(({ norm, rows }, i) => {
        moments.get(norm)!.add(rows, arrays[2 * i]!, arrays[2 * i + 1]!);
      });
    }
    const now = await this.#read(norms.flatMap(namesOf));
    for (const [norm, found] of moments) {
      for (const [name, data] of calibrated(norm, now, found)) {
        this.#ctx.write(this.#tensor(name), data);
      }
    }
  }

  #pass(
    tape: Tape,
    inputs: ReadonlyMap<string, Variable>,
    options: ForwardOptions & { readonly observe?: Run["observe"] },
  ): NetworkOutputs {
    const { training = false, seed, gradients = true } = options;
    const plan = this.#plan;
    const values = this.#given(inputs);
    const value = (name: string) => values.get(name)!;
    const parameter = (name: string) => {
      const variable = this.parameters.get(name);
      return gradients ? variable : new Variable(variable.value);
    };
    const run: Run = {
      tape,
      training,
      observe: options.observe,
      seed,
      value,
      parameter,
      statistic: (name) => this.statistics.get(name)!,
      constant: (name) => this.#constants.get(name)!,
    };
    const live = this.#lifetimes.begin(values);
    plan.steps.forEach((step, index) => {
      values.set(step.output, step.run(run));
      live.ran(index);
    });
    const rows = (source: ValueSource) => asRows(tape, value(source.value), source);
    const { features, featureMap, head } = plan;
    return {
      logits: rows(plan.logits),
      ...(features === undefined ? {} : { features: rows(features) }),
      ...(featureMap === undefined ? {} : { featureMap: value(featureMap) }),
      values: new Map(plan.outputs.map((name) => [name, value(name)])),
      ...(head === undefined ? {} : {
        head: {
          weight: asMatrix(tape, parameter(head.weight)),
          ...(head.bias === undefined ? {} : { bias: parameter(head.bias) }),
        },
      }),
    };
  }

  /**
   * The model with the weights and statistics of now: the same graph with the same inputs and
   * outputs, the frozen part included. What has not changed comes out as it was read.
   *
   * Inserted normalisations are folded, as they are with their running statistics, into the weight
   * and the bias of their convolution. One that has no bias, or shares it, gets an initialiser of
   * its own for it, the one addition to the graph.
   *
   * @returns The model.
   */
  async export(): Promise<OnnxModel> {
    const { parameters, statistics, norms } = this.#plan.weights;
    const weights = [...parameters.values(), ...statistics.values()]
      .filter(({ writable }) => writable);
    const names = new Set([...weights.map(({ name }) => name), ...norms.flatMap(namesOf)]);
    const now = await this.#read([...names]);
    const kernels = new Map<string, ArrayLike<number>>();
    const offsets = norms.map((norm) => {
      const { kernel, offset } = folded(norm, now);
      kernels.set(norm.kernel, kernel);
      return { weight: norm.offset, now: offset, place: norm.place };
    });
    return exportWeights(this.#model, [
      ...weights.map((weight) => ({
        weight,
        now: kernels.get(weight.name) ?? now.get(weight.name)!,
      })),
      ...offsets,
    ]);
  }

  /** Releases parameters and statistics. */
  [Symbol.dispose](): void {
    this.parameters[Symbol.dispose]();
    for (const tensor of this.statistics.values()) tensor.dispose();
    for (const tensor of this.#constants.values()) tensor.dispose();
  }

  #tensor(name: string): Tensor {
    return this.statistics.get(name) ?? this.parameters.get(name).value;
  }

  /** Parameters and statistics on the host. */
  async #read(names: readonly string[]): Promise<Map<string, TypedArray>> {
    const arrays = names.length === 0
      ? []
      : await this.#ctx.read(...names.map((name) => this.#tensor(name)));
    return new Map(names.map((name, i) => [name, arrays[i]!]));
  }

  #given(inputs: ReadonlyMap<string, Variable>): Map<string, Variable> {
    return new Map(this.#plan.inputs.map(({ name, value, shape }) => {
      const variable = inputs.get(name);
      if (variable === undefined) {
        throw new TypeError(
          `Cannot run the network "${this.#model.name}": the input "${name}" is missing`,
        );
      }
      if (String(variable.shape.slice(1)) !== String(shape)) {
        throw new TypeError(
          `Cannot run the network "${this.#model.name}": the input "${name}" must have shape [N, ${
            shape.join(", ")
          }]: current shape is [${variable.shape.join(", ")}]`,
        );
      }
      return [value, variable];
    }));
  }
}

function namesOf(norm: InsertedNorm): string[] {
  return [norm.weight, norm.bias, norm.runningMean, norm.runningVariance];
}

function specOf(weight: PlannedWeight, options: NetworkOptions): ParameterSpec {
  const { name, shape } = weight;
  return {
    name,
    shape,
    data: toEngine(weight),
    trainable: options.trainable !== "none",
    decay: options.decay === "all" || shape.length > 1,
  };
}

/** A value as rows: as it is, flattened, or pooled. */
function asRows(tape: Tape, value: Variable, { via }: ValueSource): Variable {
  if (value.shape.length === 2) return value;
  if (via === "pool") return globalAveragePool(tape, value);
  const [n] = value.shape;
  return reshape(tape, value, [n!, sizeOf(value.shape.slice(1))]);
}

/** A 1x1 kernel as the matrix that it is. */
function asMatrix(tape: Tape, weight: Variable): Variable {
  const [outputs, ...rest] = weight.shape;
  return rest.length === 1 ? weight : reshape(tape, weight, [outputs!, sizeOf(rest)]);
}
