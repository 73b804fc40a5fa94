/**
 * Any part of an ONNX graph as a network that can be differentiated and trained, and back.
 *
 * @module
 */

import type { ParameterSet, Tape, Variable } from "../../nn/mod.ts";
import { type Context, type Tensor, UserError } from "../../runtime/mod.ts";
import { GraphView } from "../_graph_view.ts";
import type { OnnxModel } from "../model.ts";
import type { Dimension } from "../value_info.ts";
import { Compiler } from "./_compiler.ts";
import { Engine, givenValues, type PlannedInput } from "./_engine.ts";
import { compileNodes } from "./_operators.ts";
import { partBetween } from "./_part.ts";
import { requireAlone } from "./_plan.ts";
import { WeightPlan } from "./_weights.ts";
import type { ForwardOptions } from "./network.ts";
import type { NetworkInput, NetworkOptions } from "./options.ts";

/** Options of {@linkcode importGraph}. */
export interface GraphOptions
  extends Pick<NetworkOptions, "batchNorm" | "momentum" | "dropout" | "decay"> {
  /**
   * Values at which the network begins, inputs of the graph or values inside it; by default the inputs
   * that the outputs need.
   */
  readonly inputs?: readonly string[];
  /** Values that the network computes. */
  readonly outputs: readonly string[];
  /** Whether the weights learn; `all` by default. */
  readonly trainable?: "all" | "none";
  /**
   * Shapes of values, in ONNX's order and without the batch, where the graph leaves them open; those
   * of the inputs are enough.
   */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
}

/**
 * Imports a part of an ONNX graph, between named values, as a network that can be trained.
 *
 * Convolutions, normalisations of batches, groups, maps and rows, the usual activations, linear
 * layers of rows and tokens, attention, sums, products, concatenations, poolings and nearest resizing
 * are supported, also where exporters write them in several nodes; docs/models.md has the list.
 * The first axis of every value is the batch; the others have fixed lengths.
 *
 * @param ctx Where the network lives; dispose the network before it.
 * @param model The model.
 * @param options Where the network begins and ends, what learns, and how.
 * @returns The network.
 * @throws {UserError} When a value does not exist, a node between is not supported, or a shape can not be
 * inferred; the message names it.
 *
 * @example The last block of a classifier alone
 * ```ts
 * import { importGraph, inspect, readModel } from "@oodgpu/oodgpu/onnx";
 * import { Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const from = inspect(model).blocks.at(-2)!.value;
 * using network = importGraph(host, model, { inputs: [from], outputs: ["feature_map"] });
 * assertEquals(network.inputs, [{ name: from, shape: [8, 8, 64] }]);
 * const x = new Variable(host.upload(new Float32Array(8 * 8 * 64), [1, 8, 8, 64]));
 * const outputs = network.forward(new Tape(host), { [from]: x });
 * assertEquals(outputs["feature_map"]!.shape, [1, 8, 8, 64]);
 * ```
 */
export function importGraph(ctx: Context, model: OnnxModel, options: GraphOptions): GraphNetwork {
  return new GraphNetwork(ctx, model, options);
}

/**
 * A part of an ONNX graph that can be trained. Maps are channels last, [N, H, W, C]; other values have
 * ONNX's order, [N, C] or [N, T, C].
 *
 * @example What learns in it
 * ```ts
 * import { importGraph, readModel } from "@oodgpu/oodgpu/onnx";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * using head = importGraph(host, model, { inputs: ["feature_map"], outputs: ["logits"] });
 * assertEquals(head.parameters.names, ["m.fc.weight", "m.fc.bias"]);
 * ```
 */
export class GraphNetwork implements Disposable {
  /** The parameters by the names of their initialisers. */
  readonly parameters: ParameterSet;
  /** Running means and variances by the names of their initialisers, f32 [C]. */
  readonly statistics: ReadonlyMap<string, Tensor>;
  /** What {@linkcode GraphNetwork.forward} takes. */
  readonly inputs: readonly NetworkInput[];
  readonly #model: OnnxModel;
  readonly #plan: GraphPlan;
  readonly #engine: Engine;

  /**
   * Makes a network, as {@linkcode importGraph} does.
   *
   * @param ctx Where it lives.
   * @param model The model.
   * @param options Where it begins and ends, what learns, and how.
   * @throws {UserError} When the part can not be imported.
   */
  constructor(ctx: Context, model: OnnxModel, options: GraphOptions) {
    const plan = planGraph(model, options);
    const { weights, steps, inputs, kept } = plan;
    this.#model = model;
    this.#plan = plan;
    this.#engine = new Engine(ctx, {
      weights,
      steps,
      wanted: [...kept.values(), ...inputs.map(({ value }) => value)],
      learns: options.trainable !== "none",
      decay: options.decay,
    });
    this.parameters = this.#engine.parameters;
    this.statistics = this.#engine.statistics;
    this.inputs = inputs.map(({ name, shape }) => ({ name, shape }));
  }

  /**
   * Applies the network.
   *
   * @param tape Follows what is computed.
   * @param inputs A variable for each of {@linkcode GraphNetwork.inputs}, by its name.
   * @param options Training or not, the seed of dropout, and whether parameters get gradients.
   * @returns The outputs by their names.
   * @throws {TypeError} When an input is missing or has another shape, or Dropout gets no seed.
   * @throws {OutOfMemoryError} When a value does not fit into one binding; the message names its node.
   */
  forward(
    tape: Tape,
    inputs: Readonly<Record<string, Variable>>,
    options: ForwardOptions = {},
  ): Record<string, Variable> {
    const { training = false, seed, gradients = true } = options;
    const values = givenValues(
      this.#model.name,
      this.#plan.inputs,
      (name) => Object.hasOwn(inputs, name) ? inputs[name] : undefined,
    );
    this.#engine.run(tape, values, { training, seed, gradients });
    return Object.fromEntries(
      [...this.#plan.kept].map(([name, found]) => [name, values.get(found)!]),
    );
  }

  /**
   * The whole model with the weights and statistics of now: the same graph with the same inputs and
   * outputs. What has not changed comes out as it was read.
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

/** A part of a graph before anything is allocated. */
interface GraphPlan extends ReturnType<typeof compileNodes> {
  readonly inputs: readonly PlannedInput[];
  readonly weights: WeightPlan;
}

function planGraph(model: OnnxModel, options: GraphOptions): GraphPlan {
  const { outputs, trainable = "all", shapes = {} } = options;
  const view = new GraphView(model, { shapes: withBatch(model, shapes) });
  const part = partBetween(view, { inputs: options.inputs, outputs });
  const inputs = part.crossing.map((value) => plannedInput(view, value));
  const weights = new WeightPlan(model, trainable !== "none");
  const compiler = new Compiler(model, {
    view,
    weights,
    options: { ...options, trainable },
    part,
    kept: new Set(outputs),
    image: undefined,
    inserts: undefined,
  });
  const program = compileNodes(compiler, part.nodes, outputs);
  if (trainable !== "none") requireAlone(model, { weights, nodes: new Set(part.nodes) });
  return { ...program, inputs, weights };
}

/** Given shapes with the batch in front, as the graph has it. */
function withBatch(
  model: OnnxModel,
  shapes: NonNullable<GraphOptions["shapes"]>,
): Map<string, readonly Dimension[]> {
  return new Map(
    Object.entries(shapes).map(([value, lengths]) => {
      const batch = model.graph.declared(value)?.shape?.[0] ?? "N";
      return [value, [batch, ...lengths]];
    }),
  );
}

const FLOATS: ReadonlySet<string> = new Set(["f32", "f16", "bf16", "f64"]);

function plannedInput(view: GraphView, value: string): PlannedInput {
  const refuse = (why: string) =>
    new UserError(`Cannot import "${view.name}" from "${value}": ${why}`);
  const { type = "f32", shape } = view.info(value) ?? {};
  if (!FLOATS.has(type)) {
    throw refuse(
      `it holds ${type}, and a network begins at real numbers; begin behind it (inputs)`,
    );
  }
  if (shape === undefined) {
    throw refuse("its shape can not be inferred; give it (shapes)");
  }
  const lengths = shape.slice(1);
  if (shape.length === 0 || lengths.some((length) => typeof length !== "number")) {
    throw refuse(
      `its shape is [${shape.join(", ")}], and only the batch may be open; give it (shapes)`,
    );
  }
  const [channels, ...places] = lengths as number[];
  const last = lengths.length === 3 ? [...places, channels!] : lengths as number[];
  return { name: value, value, shape: last };
}
