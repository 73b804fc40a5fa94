/**
 * What a part of a graph is while it runs: its parameters, statistics and constants, and its steps in
 * order.
 *
 * @module
 */

import { type Operation, ParameterSet, type ParameterSpec, Tape, Variable } from "../../nn/mod.ts";
import {
  type Context,
  OutOfMemoryError,
  type Scalar,
  type Tensor,
  type TypedArray,
} from "../../runtime/mod.ts";
import type { OnnxModel } from "../model.ts";
import type { Run, Step } from "./_compiler.ts";
import { type CurrentWeight, exportWeights } from "./_export.ts";
import { Lifetimes } from "./_lifetimes.ts";
import { folded, normSpecs, normStatistics } from "./_norms.ts";
import type { InsertedNorm, NetworkInput, NetworkOptions } from "./options.ts";
import { type PlannedWeight, toEngine, type WeightPlan } from "./_weights.ts";

/** What an engine is made of. */
export interface EnginePlan {
  /** What it holds. */
  readonly weights: WeightPlan;
  /** Its operations in order. */
  readonly steps: readonly Step[];
  /** Values that outlive a pass. */
  readonly wanted: readonly string[];
  /** Whether parameters learn. */
  readonly learns: boolean;
  /** What weight decay reaches. */
  readonly decay: NetworkOptions["decay"];
}

/** How a pass runs. */
export interface PassOptions {
  /** Whether batch statistics and dropout apply. */
  readonly training: boolean;
  /** Seed of dropout. */
  readonly seed?: Scalar | undefined;
  /** Whether parameters get gradients. */
  readonly gradients: boolean;
  /** Told what an inserted normalisation is given. */
  readonly observe?: Run["observe"];
}

/** A part of a graph with its weights. */
export class Engine implements Disposable {
  /** The parameters by the names of their initialisers. */
  readonly parameters: ParameterSet;
  /** Running means and variances by the names of their initialisers, f32 [C]. */
  readonly statistics: ReadonlyMap<string, Tensor>;
  readonly #ctx: Context;
  readonly #plan: EnginePlan;
  readonly #constants: ReadonlyMap<string, Tensor>;
  readonly #offsets: Map<string, Tensor> = new Map();
  readonly #lifetimes: Lifetimes;

  /** @param ctx Where it lives. @param plan What it is made of. */
  constructor(ctx: Context, plan: EnginePlan) {
    const { parameters, statistics, constants, norms } = plan.weights;
    this.#ctx = ctx;
    this.#plan = plan;
    this.parameters = new ParameterSet(ctx, [
      ...[...parameters.values()].map((weight) => specOf(weight, plan)),
      ...norms.flatMap((norm) => normSpecs(norm, plan)),
    ]);
    const upload = ([name, data]: readonly [string, Float32Array<ArrayBuffer>]) =>
      [name, ctx.upload(data, [data.length], { label: name })] as const;
    this.statistics = new Map([
      ...[...statistics].map(([name, weight]) => upload([name, toEngine(weight)])),
      ...norms.flatMap(normStatistics).map(upload),
    ]);
    this.#constants = new Map([...constants].map(upload));
    this.#lifetimes = new Lifetimes(plan.steps, plan.wanted);
  }

  /** A parameter, or where it gets no gradient its value alone. */
  parameter(name: string, { gradients }: Pick<PassOptions, "gradients">): Variable {
    const variable = this.parameters.get(name);
    return gradients ? variable : new Variable(variable.value);
  }

  /**
   * Runs all steps.
   *
   * @param tape Follows what is computed.
   * @param values What the part is given, by name; all that it makes is added.
   * @param options How it runs.
   * @throws {OutOfMemoryError} When a value does not fit into one binding; the message names the node.
   */
  run(tape: Tape, values: Map<string, Variable>, options: PassOptions): void {
    const [first] = values.values();
    const run: Run = {
      tape,
      batch: first?.shape[0] ?? 1,
      training: options.training,
      observe: options.observe,
      seed: options.seed,
      value: (name) => values.get(name)!,
      parameter: (name) => this.parameter(name, options),
      statistic: (name) => this.statistics.get(name)!,
      constant: (name) => this.#constants.get(name)!,
      offsets: (count, length) => this.#offsetsOf(count, length),
    };
    const live = this.#lifetimes.begin(values);
    this.#plan.steps.forEach((step, index) => {
      const differs = options.gradients ||
        step.inputs.some((input) => values.get(input)!.needsGradient);
      if (differs) {
        values.set(step.output, runStep(step, run));
        live.ran(index, []);
        return;
      }
      const recorder = new Recorder(tape.ctx);
      const made = runStep(step, { ...run, tape: recorder });
      values.set(step.output, made);
      live.ran(index, recorder.leave(made.value));
    });
  }

  /** A model with the weights and statistics of now. */
  async export(model: OnnxModel): Promise<OnnxModel> {
    const { parameters, statistics, norms } = this.#plan.weights;
    const weights = [...parameters.values(), ...statistics.values()]
      .filter(({ writable }) => writable);
    const names = new Set([...weights.map(({ name }) => name), ...norms.flatMap(namesOf)]);
    const now = await this.read([...names]);
    const kernels = new Map<string, ArrayLike<number>>();
    const offsets = norms.map((norm): CurrentWeight => {
      const { kernel, offset } = folded(norm, now);
      kernels.set(norm.kernel, kernel);
      return { weight: norm.offset, now: offset, place: norm.place };
    });
    const current = weights.map((weight): CurrentWeight => ({
      weight,
      now: kernels.get(weight.name) ?? now.get(weight.name)!,
    }));
    return exportWeights(model, [...current, ...offsets]);
  }

  /** The tensor of a parameter or a statistic. */
  tensor(name: string): Tensor {
    return this.statistics.get(name) ?? this.parameters.get(name).value;
  }

  /** Parameters and statistics on the host. */
  async read(names: readonly string[]): Promise<Map<string, TypedArray>> {
    const arrays = names.length === 0
      ? []
      : await this.#ctx.read(...names.map((name) => this.tensor(name)));
    return new Map(names.map((name, i) => [name, arrays[i]!]));
  }

  /** Releases parameters, statistics and constants. */
  [Symbol.dispose](): void {
    this.parameters[Symbol.dispose]();
    for (const tensors of [this.statistics, this.#constants, this.#offsets]) {
      for (const tensor of tensors.values()) tensor.dispose();
    }
  }

  #offsetsOf(count: number, length: number): Tensor {
    const name = `${count} lists of ${length}`;
    const found = this.#offsets.get(name);
    if (found !== undefined) return found;
    const data = Int32Array.from({ length: count + 1 }, (_, i) => i * length);
    const tensor = this.#ctx.upload(data, [count + 1], { label: name });
    this.#offsets.set(name, tensor);
    return tensor;
  }
}

/** A tape of a step that nobody goes back on: what the step made on its way is released behind it. */
class Recorder extends Tape {
  readonly #made: Tensor[] = [];

  override operation(operation: Operation): Variable {
    this.#made.push(operation.output);
    return super.operation(operation);
  }

  /** Releases all but what the step's result is, or shows the memory of, which it gives back. */
  leave(result: Tensor): Tensor[] {
    const held = this.#made.filter((tensor) => tensor === result || tensor.sharesMemory(result));
    for (const tensor of this.#made) if (!held.includes(tensor)) tensor.dispose();
    return held;
  }
}

/** An input, and the value of the graph that it stands for. */
export interface PlannedInput extends NetworkInput {
  /** The value's name in the graph. */
  readonly value: string;
}

/**
 * What a network is given, by the names of the graph's values.
 *
 * @throws {TypeError} When an input is missing or has another shape.
 */
export function givenValues(
  network: string,
  inputs: readonly PlannedInput[],
  find: (name: string) => Variable | undefined,
): Map<string, Variable> {
  return new Map(inputs.map(({ name, value, shape }) => {
    const variable = find(name);
    if (variable === undefined) {
      throw new TypeError(`Cannot run the network "${network}": the input "${name}" is missing`);
    }
    if (String(variable.shape.slice(1)) !== String(shape)) {
      throw new TypeError(
        `Cannot run the network "${network}": the input "${name}" must have shape [N, ${
          shape.join(", ")
        }]: current shape is [${variable.shape.join(", ")}]`,
      );
    }
    return [value, variable];
  }));
}

/** Names of the four vectors of a normalisation that was put in. */
export function namesOf(norm: InsertedNorm): string[] {
  return [norm.weight, norm.bias, norm.runningMean, norm.runningVariance];
}

function runStep({ run: step, node }: Step, run: Run): Variable {
  try {
    return step(run);
  } catch (error) {
    if (!(error instanceof OutOfMemoryError) || node === undefined) throw error;
    const { requestedBytes, limitBytes } = error;
    throw new OutOfMemoryError(`what ${node.opType} "${node.label}" makes`, {
      requestedBytes,
      limitBytes,
    });
  }
}

function specOf(weight: PlannedWeight, { learns, decay }: EnginePlan): ParameterSpec {
  const { name, shape } = weight;
  return {
    name,
    shape,
    data: toEngine(weight),
    trainable: learns,
    decay: decay === "all" || shape.length > 1,
  };
}
