/**
 * A graph that can be walked in both directions: who makes a value, who reads it, what is constant.
 *
 * @module
 */

import { sortNodes } from "./_order.ts";
import { OnnxNode } from "./node.ts";
import type { GraphProto, TensorProto, ValueInfoProto } from "./proto/mod.ts";
import { elementTypeName, type OnnxTensor, readTensor } from "./tensor.ts";
import type { Dimension, ValueInfo } from "./value_info.ts";

/**
 * A graph with its indices: constants by name, and the maker and the readers of every value.
 *
 * @example Walk backwards
 * ```ts
 * import { readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const { graph } = await readModel("models/cifar10-resnet20.onnx");
 * assertEquals(graph.consumers("feature_map").map((node) => node.opType), ["GlobalAveragePool"]);
 * ```
 */
export class OnnxGraph {
  /** The graph as the file has it. */
  readonly proto: GraphProto;
  /** The nodes in file order. */
  readonly nodes: readonly OnnxNode[];
  /** The constants by name. */
  readonly initializers: ReadonlyMap<string, TensorProto>;
  /** The inputs, without the initialisers that old files list among them. */
  readonly inputs: readonly ValueInfo[];
  /** The outputs. */
  readonly outputs: readonly ValueInfo[];
  #producers: Map<string, OnnxNode> = new Map();
  #consumers: Map<string, OnnxNode[]> = new Map();
  #declared: Map<string, ValueInfo> = new Map();
  #constants: Map<string, OnnxTensor | undefined> = new Map();
  #sorted: readonly OnnxNode[] | undefined;

  /**
   * Indexes a graph.
   *
   * @param proto The graph as the file has it.
   */
  constructor(proto: GraphProto) {
    this.proto = proto;
    this.nodes = proto.node.map((node, index) => new OnnxNode(node, index));
    this.initializers = new Map(proto.initializer.map((tensor) => [tensor.name ?? "", tensor]));
    this.inputs = proto.input.map(toValueInfo).filter((info) => !this.initializers.has(info.name));
    this.outputs = proto.output.map(toValueInfo);
    for (const info of proto.valueInfo.map(toValueInfo)) this.#declared.set(info.name, info);
    for (const info of [...this.outputs, ...this.inputs]) this.#declared.set(info.name, info);
    for (const node of this.nodes) {
      for (const output of node.outputs) if (output !== "") this.#producers.set(output, node);
      for (const input of new Set([...node.inputs, ...node.captured])) {
        if (input === "") continue;
        const readers = this.#consumers.get(input);
        if (readers === undefined) this.#consumers.set(input, [node]);
        else readers.push(node);
      }
    }
  }

  /**
   * The node that makes a value.
   *
   * @param value The value's name.
   * @returns The node, or undefined for inputs, initialisers and unknown names.
   */
  producer(value: string): OnnxNode | undefined {
    return this.#producers.get(value);
  }

  /**
   * The nodes that read a value, subgraphs included.
   *
   * @param value The value's name.
   * @returns The nodes in file order.
   */
  consumers(value: string): readonly OnnxNode[] {
    return this.#consumers.get(value) ?? [];
  }

  /**
   * What the file declares about a value.
   *
   * @param value The value's name.
   * @returns Its type and shape, or undefined when the file says nothing.
   */
  declared(value: string): ValueInfo | undefined {
    return this.#declared.get(value);
  }

  /**
   * Whether a value is there: an input, an initialiser or some node's output.
   *
   * @param value The value's name.
   * @returns True when it is.
   */
  has(value: string): boolean {
    return this.#producers.has(value) || this.initializers.has(value) ||
      this.inputs.some((input) => input.name === value);
  }

  /** The names of all values that nodes make, in file order. */
  valueNames(): string[] {
    return this.nodes.flatMap((node) => node.outputs.filter((name) => name !== ""));
  }

  /**
   * A constant: an initialiser or what a Constant node holds.
   *
   * @param value The value's name.
   * @returns The array, or undefined when the value is not such a constant.
   * @throws {UserError} When the tensor cannot be read.
   */
  constant(value: string): OnnxTensor | undefined {
    if (!this.#constants.has(value)) this.#constants.set(value, this.#readConstant(value));
    return this.#constants.get(value);
  }

  /**
   * The nodes in an order in which they can run.
   *
   * @returns File order when it already is one.
   * @throws {UserError} When the graph has a cycle.
   */
  sorted(): readonly OnnxNode[] {
    this.#sorted ??= sortNodes(this.nodes, (value) => this.#producers.get(value));
    return this.#sorted;
  }

  #readConstant(value: string): OnnxTensor | undefined {
    const initializer = this.initializers.get(value);
    if (initializer !== undefined) return readTensor(initializer);
    const node = this.#producers.get(value);
    if (node?.opType !== "Constant" || node.domain !== "") return undefined;
    return constantOf(node);
  }
}

/** What a Constant node holds, in whichever attribute. */
function constantOf(node: OnnxNode): OnnxTensor | undefined {
  const tensor = node.tensor("value");
  if (tensor !== undefined) return tensor;
  const floats = node.floats("value_floats");
  if (node.has("value_floats") && floats !== undefined) {
    return { type: "f32", shape: [floats.length], data: Float32Array.from(floats) };
  }
  if (node.has("value_float")) {
    return { type: "f32", shape: [], data: Float32Array.of(node.float("value_float", 0)) };
  }
  const ints = node.ints("value_ints");
  if (node.has("value_ints") && ints !== undefined) {
    return { type: "i64", shape: [ints.length], data: BigInt64Array.from(ints, BigInt) };
  }
  if (node.has("value_int")) {
    return { type: "i64", shape: [], data: BigInt64Array.of(BigInt(node.int("value_int", 0))) };
  }
  return undefined;
}

function toValueInfo(proto: ValueInfoProto): ValueInfo {
  const name = proto.name ?? "";
  const tensor = proto.type?.tensorType;
  const type = elementTypeName(tensor?.elemType);
  const shape = tensor?.shape?.dim.map((dim): Dimension =>
    dim.dimValue !== undefined && dim.dimValue >= 0 ? dim.dimValue : dim.dimParam || "?"
  );
  return {
    name,
    ...(type === undefined ? {} : { type }),
    ...(shape === undefined ? {} : { shape }),
  };
}
