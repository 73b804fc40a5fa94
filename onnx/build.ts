/**
 * Building ONNX graphs by hand, and joining them to models.
 *
 * @module
 */

import { type Dimension, MAX_IR_VERSION, OnnxModel, OPSET_RANGE } from "./model.ts";
import { pruneUnused, renamedGraph, toValueInfoProto } from "./edit.ts";
import {
  ATTRIBUTE,
  ATTRIBUTE_TYPES,
  type AttributeProto,
  create,
  type ElementType,
  GRAPH,
  type GraphProto,
  MODEL,
  type ModelProto,
  NODE,
  type NodeProto,
  OPERATOR_SET_ID,
  type OperatorSetIdProto,
  type TensorProto,
  type ValueInfoProto,
} from "./proto/mod.ts";
import { makeTensor, type OnnxData } from "./tensor.ts";
import { inferShapes } from "./shapes.ts";

/**
 * An attribute's value. A plain number is a float and a bigint an integer, so that `1` and `1n`
 * differ as ONNX's types do; a list likewise.
 */
export type AttributeValue =
  | number
  | bigint
  | string
  | readonly number[]
  | readonly bigint[]
  | readonly string[]
  | TensorProto;

/** The operator set that graphs are built for by default. */
export const DEFAULT_OPSET = 17;

// The lowest file format version that each range of operator sets came with.
const IR_VERSIONS: readonly (readonly [number, number])[] = [
  [24, 11],
  [21, 10],
  [19, 9],
  [15, 8],
  [12, 7],
  [11, 6],
  [0, 5],
];

/**
 * Builds a graph node by node. Helpers hide how operators changed between operator sets, so that
 * one piece of code builds for a set of 11 as well as of 17.
 *
 * @example Rows to their sums
 * ```ts
 * import { GraphBuilder } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const builder = new GraphBuilder();
 * const x = builder.input("x", ["N", 4]);
 * builder.output("sum", builder.reduce("ReduceSum", x, { axes: [1] }));
 * assertEquals(builder.build().graph.outputs[0]?.shape, ["N"]);
 * ```
 */
export class GraphBuilder {
  /** The operator set that the graph is built for. */
  readonly opset: number;
  /** The graph's name. */
  readonly name: string;
  #nodes: NodeProto[] = [];
  #initializers: TensorProto[] = [];
  #inputs: ValueInfoProto[] = [];
  #outputs: { name: string; type: ElementType; shape: readonly Dimension[] | undefined }[] = [];
  #names: Set<string> = new Set();

  /**
   * Begins an empty graph.
   *
   * @param options `opset`: 17 by default; a graph to be joined to a model needs the model's.
   * `name`: the graph's name.
   * @throws {RangeError} When the operator set is outside 7 to 26.
   */
  constructor(options: { opset?: number; name?: string } = {}) {
    this.opset = options.opset ?? DEFAULT_OPSET;
    this.name = options.name ?? "graph";
    if (!(this.opset >= OPSET_RANGE[0] && this.opset <= OPSET_RANGE[1])) {
      throw new RangeError(
        `Cannot build for operator set ${this.opset}: it must be ${OPSET_RANGE.join(" to ")}`,
      );
    }
  }

  /**
   * A name that is not taken.
   *
   * @param stem What it should begin with.
   * @returns The stem, or the stem with a number.
   */
  fresh(stem: string): string {
    let name = stem;
    for (let i = 1; this.#names.has(name); i++) name = `${stem}_${i}`;
    this.#names.add(name);
    return name;
  }

  /**
   * Adds an input.
   *
   * @param name Its name.
   * @param shape Its shape; strings are open dimensions.
   * @param options `type`: the element type, float32 by default.
   * @returns The name.
   * @throws {TypeError} When the name is taken.
   */
  input(name: string, shape: readonly Dimension[], options: { type?: ElementType } = {}): string {
    this.#claim(name);
    this.#inputs.push(toValueInfoProto({ name, type: options.type ?? "f32", shape }));
    return name;
  }

  /**
   * Adds a constant.
   *
   * @param data The elements; a plain number is a float32 scalar.
   * @param options `shape`: one dimension by default, none for a number; `name`: where its name
   * begins; `type`: another element type of the same width.
   * @returns The value's name.
   */
  constant(
    data: OnnxData | number,
    options: { shape?: readonly number[]; name?: string; type?: ElementType } = {},
  ): string {
    const name = this.fresh(options.name ?? "constant");
    const scalar = typeof data === "number";
    const array = scalar ? Float32Array.of(data) : data;
    const shape = options.shape ?? (scalar ? [] : [array.length]);
    this.#initializers.push(
      makeTensor(name, array, { shape, ...(options.type ? { type: options.type } : {}) }),
    );
    return name;
  }

  /**
   * Adds a constant list of int64, as shapes and axes are given.
   *
   * @param values The integers.
   * @returns The value's name.
   */
  ints(values: readonly number[]): string {
    return this.constant(BigInt64Array.from(values, BigInt), { name: "ints" });
  }

  /**
   * Adds a node with one output.
   *
   * @param opType The operator.
   * @param inputs Names of the inputs; empty for an optional one that is left out.
   * @param options `attributes`, `output`: the output's name; `domain`.
   * @returns The output's name.
   */
  node(
    opType: string,
    inputs: readonly string[],
    options: {
      attributes?: Readonly<Record<string, AttributeValue>>;
      output?: string;
      domain?: string;
    } = {},
  ): string {
    const { output, ...rest } = options;
    return this.nodes(opType, inputs, {
      ...rest,
      ...(output === undefined ? { outputs: 1 } : { outputs: [output] }),
    })[0]!;
  }

  /**
   * Adds a node with several outputs.
   *
   * @param opType The operator.
   * @param inputs Names of the inputs; empty for an optional one that is left out.
   * @param options `attributes`; `outputs`: their number or their names; `domain`.
   * @returns The outputs' names.
   * @throws {TypeError} When a name is taken.
   */
  nodes(
    opType: string,
    inputs: readonly string[],
    options: {
      attributes?: Readonly<Record<string, AttributeValue>>;
      outputs: number | readonly string[];
      domain?: string;
    },
  ): string[] {
    const { outputs } = options;
    const names = typeof outputs === "number"
      ? Array.from({ length: outputs }, () => this.fresh(opType.toLowerCase()))
      : outputs.map((name) => this.#claim(name));
    this.#nodes.push(create<NodeProto>(NODE, {
      input: [...inputs],
      output: names,
      name: `${opType}:${names[0]}`,
      opType,
      attribute: Object.entries(options.attributes ?? {}).map(([name, value]) =>
        makeAttribute(name, value)
      ),
      ...(options.domain ? { domain: options.domain } : {}),
    }));
    return names;
  }

  /**
   * Reduces over axes, with the axes where this operator set wants them.
   *
   * @param opType `ReduceSum`, `ReduceMean`, `ReduceMax`, `ReduceMin`, `ReduceL2`,
   * `ReduceLogSumExp` and their like.
   * @param x The value.
   * @param options `axes`, and `keepDims` to keep them with length 1.
   * @returns The reduced value's name.
   */
  reduce(
    opType: string,
    x: string,
    options: { axes: readonly number[]; keepDims?: boolean },
  ): string {
    const keepdims = options.keepDims ? 1n : 0n;
    // ReduceSum took its axes as an input from set 13 on, the others from 18 on.
    if (this.opset >= (opType === "ReduceSum" ? 13 : 18)) {
      return this.node(opType, [x, this.ints(options.axes)], { attributes: { keepdims } });
    }
    return this.node(opType, [x], { attributes: { axes: options.axes.map(BigInt), keepdims } });
  }

  /**
   * Adds axes of length 1.
   *
   * @param x The value.
   * @param axes Where they stand in the result.
   * @returns The result's name.
   */
  unsqueeze(x: string, axes: readonly number[]): string {
    return this.#withAxes("Unsqueeze", x, axes);
  }

  /**
   * Takes away axes of length 1.
   *
   * @param x The value.
   * @param axes The axes.
   * @returns The result's name.
   */
  squeeze(x: string, axes: readonly number[]): string {
    return this.#withAxes("Squeeze", x, axes);
  }

  /**
   * Limits elements to a range.
   *
   * @param x The value.
   * @param range The limits; each is optional.
   * @returns The result's name.
   */
  clip(x: string, range: { min?: number; max?: number }): string {
    const { min, max } = range;
    if (this.opset < 11) {
      return this.node("Clip", [x], {
        attributes: {
          ...(min === undefined ? {} : { min }),
          ...(max === undefined ? {} : { max }),
        },
      });
    }
    const inputs = [x, min === undefined ? "" : this.constant(min)];
    if (max !== undefined) inputs.push(this.constant(max));
    return this.node("Clip", inputs);
  }

  /**
   * The k largest (or smallest) elements of each row, sorted.
   *
   * @param x The value.
   * @param options `k`; `axis`: the last by default; `largest`: true by default.
   * @returns Names of the values and of their indices (int64).
   * @throws {RangeError} When the smallest are asked of an operator set below 11.
   */
  topK(
    x: string,
    options: { k: number; axis?: number; largest?: boolean },
  ): { values: string; indices: string } {
    const axis = BigInt(options.axis ?? -1);
    const largest = options.largest ?? true;
    if (this.opset < 11 && !largest) {
      throw new RangeError(
        `Cannot take the smallest elements in operator set ${this.opset}: 11 is needed`,
      );
    }
    const [values, indices] = this.opset < 10
      ? this.nodes("TopK", [x], { attributes: { axis, k: BigInt(options.k) }, outputs: 2 })
      : this.nodes("TopK", [x, this.ints([options.k])], {
        attributes: { axis, ...(this.opset < 11 ? {} : { largest: largest ? 1n : 0n }) },
        outputs: 2,
      });
    return { values: values!, indices: indices! };
  }

  /**
   * Cuts a range out of one axis.
   *
   * @param x The value.
   * @param range `axis`, `start` and `end` (exclusive; negative ones count from the end).
   * @returns The result's name.
   */
  slice(x: string, range: { axis: number; start: number; end: number }): string {
    const { axis, start, end } = range;
    if (this.opset < 10) {
      return this.node("Slice", [x], {
        attributes: { axes: [BigInt(axis)], starts: [BigInt(start)], ends: [BigInt(end)] },
      });
    }
    return this.node("Slice", [x, this.ints([start]), this.ints([end]), this.ints([axis])]);
  }

  /**
   * Marks a value as an output; a value with another name passes through an Identity node.
   *
   * @param name The output's name.
   * @param value The value; the one called `name` by default.
   * @param options `type`: float32 by default; `shape`: inferred by default.
   */
  output(
    name: string,
    value: string = name,
    options: { type?: ElementType; shape?: readonly Dimension[] } = {},
  ): void {
    if (value !== name) this.node("Identity", [value], { output: name });
    this.#outputs.push({ name, type: options.type ?? "f32", shape: options.shape });
  }

  /**
   * The finished model.
   *
   * @param options `name`: what errors call the model.
   * @returns The model.
   */
  build(options: { name?: string } = {}): OnnxModel {
    const graph = create<GraphProto>(GRAPH, {
      node: [...this.#nodes],
      name: this.name,
      initializer: [...this.#initializers],
      input: [...this.#inputs],
      output: this.#outputs.map(({ name }) => toValueInfoProto({ name })),
    });
    const proto = create<ModelProto>(MODEL, {
      irVersion: irVersionOf(this.opset),
      producerName: "oodgpu",
      opsetImport: [create<OperatorSetIdProto>(OPERATOR_SET_ID, { version: this.opset })],
      graph,
    });
    const shapes = inferShapes(new OnnxModel(proto));
    graph.output = this.#outputs.map(({ name, type, shape }) => {
      const known = shape ?? shapes.get(name)?.shape;
      return toValueInfoProto({ name, type, ...(known === undefined ? {} : { shape: known }) });
    });
    return new OnnxModel(proto, { name: options.name ?? this.name });
  }

  #withAxes(opType: string, x: string, axes: readonly number[]): string {
    if (this.opset >= 13) return this.node(opType, [x, this.ints(axes)]);
    return this.node(opType, [x], { attributes: { axes: axes.map(BigInt) } });
  }

  #claim(name: string): string {
    if (this.#names.has(name)) {
      throw new TypeError(`Cannot name a value "${name}": the name is taken`);
    }
    this.#names.add(name);
    return name;
  }
}

/** How two graphs are joined. */
export interface JoinOptions {
  /** For every input of the second graph, the value of the first that feeds it. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Outputs of the result, from either graph; all outputs of both by default. */
  readonly outputs?: readonly string[];
  /** What names of the second graph get in front where they clash; `ood/` by default. */
  readonly prefix?: string;
}

/**
 * Joins a graph to a model: one file that goes from the model's inputs through both.
 *
 * Names of the second graph that are taken in the first get a prefix; its outputs keep theirs
 * where they are free. Nodes that no output needs are dropped.
 *
 * @param backbone The model whose values feed the second graph.
 * @param scorer The second graph, built for the backbone's operator set (`new GraphBuilder({
 * opset: backbone.opset() })`).
 * @param options What feeds its inputs, and which outputs the result has.
 * @returns The joined model.
 * @throws {TypeError} When an input is not fed, a name is unknown, or the operator sets differ.
 *
 * @example A classifier that also says how large its largest logit is
 * ```ts
 * import { GraphBuilder, joinGraphs, readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const builder = new GraphBuilder({ opset: model.opset() });
 * const x = builder.input("x", ["N", 10]);
 * builder.output("score", builder.reduce("ReduceMax", x, { axes: [1] }));
 * const joined = joinGraphs(model, builder.build(), {
 *   inputs: { x: "logits" },
 *   outputs: ["logits", "score"],
 * });
 * assertEquals(joined.graph.outputs.map((output) => output.name), ["logits", "score"]);
 * ```
 */
export function joinGraphs(
  backbone: OnnxModel,
  scorer: OnnxModel,
  options: JoinOptions,
): OnnxModel {
  for (const set of scorer.proto.opsetImport) {
    const domain = set.domain ?? "";
    const present = backbone.opset(domain);
    if (present !== 0 && present !== set.version) {
      throw new TypeError(
        `Cannot join "${scorer.name}" to "${backbone.name}": it is built for operator set ` +
          `${set.version} and the model uses ${present}; build it with that`,
      );
    }
  }
  const prefix = options.prefix ?? "ood/";
  const feeds = new Map(Object.entries(options.inputs));
  for (const input of scorer.graph.inputs) {
    const feed = feeds.get(input.name);
    if (feed === undefined) {
      throw new TypeError(`Cannot join "${scorer.name}": its input "${input.name}" is not fed`);
    }
    if (!backbone.graph.has(feed)) {
      throw new TypeError(
        `Cannot join "${scorer.name}": the model has no value "${feed}" to feed "${input.name}"`,
      );
    }
  }
  const taken = new Set([
    ...backbone.graph.inputs.map((input) => input.name),
    ...backbone.graph.initializers.keys(),
    ...backbone.graph.valueNames(),
  ]);
  const rename = (name: string) => feeds.get(name) ?? (taken.has(name) ? prefix + name : name);
  const second = renamedGraph(scorer.graph.proto, rename);
  const first = backbone.graph.proto;
  const outputs = [...first.output, ...second.output];
  const kept = options.outputs === undefined ? outputs : options.outputs.map((name) => {
    const found = outputs.find((output) => output.name === name);
    if (found === undefined) {
      throw new TypeError(`Cannot join "${scorer.name}": neither graph has the output "${name}"`);
    }
    return found;
  });
  const domains = new Map(
    [...backbone.proto.opsetImport, ...scorer.proto.opsetImport].map((set) => [
      set.domain ?? "",
      set,
    ]),
  );
  const graph: GraphProto = {
    ...first,
    node: [...first.node, ...second.node],
    initializer: [...first.initializer, ...second.initializer],
    output: kept,
    valueInfo: [...first.valueInfo, ...second.valueInfo],
    sparseInitializer: [...first.sparseInitializer, ...second.sparseInitializer],
  };
  const joined = new OnnxModel({
    ...backbone.proto,
    irVersion: Math.max(backbone.proto.irVersion ?? 0, scorer.proto.irVersion ?? 0),
    opsetImport: [...domains.values()],
    graph,
  }, { name: backbone.name });
  return pruneUnused(joined);
}

/**
 * Makes an attribute; the value's kind says which of ONNX's types it has.
 *
 * @param name The attribute's name.
 * @param value The value; an empty list is a list of integers.
 * @returns The attribute.
 *
 * @example An integer
 * ```ts
 * import { makeAttribute } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(makeAttribute("axis", 1n).i, 1n);
 * ```
 */
export function makeAttribute(name: string, value: AttributeValue): AttributeProto {
  const make = (type: keyof typeof ATTRIBUTE_TYPES, fields: Partial<AttributeProto>) =>
    create<AttributeProto>(ATTRIBUTE, { name, type: ATTRIBUTE_TYPES[type], ...fields });
  if (typeof value === "number") return make("float", { f: Math.fround(value) });
  if (typeof value === "bigint") return make("int", { i: value });
  if (typeof value === "string") return make("string", { s: new TextEncoder().encode(value) });
  if (!Array.isArray(value)) return make("tensor", { t: value as TensorProto });
  const [first] = value as readonly unknown[];
  if (typeof first === "number") return make("floats", { floats: [...value as number[]] });
  if (typeof first === "string") {
    return make("strings", {
      strings: (value as string[]).map((text) => new TextEncoder().encode(text)),
    });
  }
  return make("ints", { ints: [...value as bigint[]] });
}

function irVersionOf(opset: number): number {
  return IR_VERSIONS.find(([from]) => opset >= from)?.[1] ?? MAX_IR_VERSION;
}
