/**
 * Building ONNX graphs by hand.
 *
 * @module
 */

import { type AttributeValue, makeAttribute } from "./attribute.ts";
import { toValueInfoProto } from "./edit.ts";
import { OnnxModel } from "./model.ts";
import {
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
import { inferShapes } from "./shapes.ts";
import { makeTensor, type OnnxData } from "./tensor.ts";
import type { Dimension } from "./value_info.ts";
import { DEFAULT_OPSET, irVersionOf, OPSET_RANGE } from "./versions.ts";

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
