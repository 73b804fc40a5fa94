/**
 * An ONNX classifier as a network that can be differentiated and trained, and back.
 *
 * @module
 */

import {
  globalAveragePool,
  type ParameterSet,
  reshape,
  Tape,
  type Variable,
} from "../../nn/mod.ts";
import { type Context, type Scalar, sizeOf, type Tensor } from "../../runtime/mod.ts";
import type { Inspection, ValueSource } from "../inspection.ts";
import type { OnnxModel } from "../model.ts";
import type { Run } from "./_compiler.ts";
import { Engine, givenValues, namesOf } from "./_engine.ts";
import { BatchMoments, calibrated, type Observation, observe } from "./_norms.ts";
import { type NetworkPlan, planNetwork } from "./_plan.ts";
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
  readonly #engine: Engine;

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
    this.inserted = plan.weights.norms.map((norm) => {
      const { convolution, weight, bias, runningMean, runningVariance } = norm;
      return { convolution, weight, bias, runningMean, runningVariance };
    });
    const { weights, steps, logits, features, featureMap, outputs, inputs, kept } = plan;
    const wanted = [logits.value, features?.value, featureMap, ...outputs]
      .filter((value) => value !== undefined).map((value) => kept.get(value) ?? value);
    this.#engine = new Engine(ctx, {
      weights,
      steps,
      wanted: [...wanted, ...inputs.map(({ value }) => value)],
      learns: options.trainable !== "none",
      decay: options.decay,
    });
    this.parameters = this.#engine.parameters;
    this.statistics = this.#engine.statistics;
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
    const now = await this.#engine.read(norms.flatMap(namesOf));
    for (const [norm, found] of moments) {
      for (const [name, data] of calibrated(norm, now, found)) {
        this.#ctx.write(this.#engine.tensor(name), data);
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
    const values = givenValues(this.#model.name, plan.inputs, (name) => inputs.get(name));
    this.#engine.run(tape, values, { training, seed, gradients, observe: options.observe });
    const value = (name: string) => values.get(plan.kept.get(name) ?? name)!;
    const parameter = (name: string) => this.#engine.parameter(name, { gradients });
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
    return await this.#engine.export(this.#model);
  }

  /** Releases parameters and statistics. */
  [Symbol.dispose](): void {
    this.#engine[Symbol.dispose]();
  }
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
