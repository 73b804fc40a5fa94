/**
 * A node of a graph.
 *
 * @module
 */

import { capturedNames } from "./_subgraphs.ts";
import type { AttributeProto, NodeProto } from "./proto/mod.ts";
import { type OnnxTensor, readTensor } from "./tensor.ts";
import { normalDomain } from "./versions.ts";

/**
 * A node: the operator, its inputs and outputs by name, and typed access to its attributes.
 *
 * @example Look at the classifier's attributes
 * ```ts
 * import { readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const { graph } = await readModel("models/cifar10-resnet20.onnx");
 * const head = graph.producer("logits")!;
 * assertEquals([head.opType, head.int("transB", 0)], ["Gemm", 1]);
 * ```
 */
export class OnnxNode {
  /** The node as the file has it. */
  readonly proto: NodeProto;
  /** Its place in the file. */
  readonly index: number;
  /** The operator. */
  readonly opType: string;
  /** The operator's domain, empty for ONNX's own. */
  readonly domain: string;
  /** Names of the inputs; empty where an optional one is left out. */
  readonly inputs: readonly string[];
  /** Names of the outputs; empty where an optional one is left out. */
  readonly outputs: readonly string[];
  /** Names that its subgraphs read from around them. */
  readonly captured: readonly string[];
  #attributes: ReadonlyMap<string, AttributeProto>;

  /**
   * Looks at a node.
   *
   * @param proto The node as the file has it.
   * @param index Its place in the file.
   */
  constructor(proto: NodeProto, index: number) {
    this.proto = proto;
    this.index = index;
    this.opType = proto.opType ?? "";
    this.domain = normalDomain(proto.domain);
    this.inputs = proto.input;
    this.outputs = proto.output;
    this.captured = capturedNames(proto);
    this.#attributes = new Map(proto.attribute.map((item) => [item.name ?? "", item]));
  }

  /** A name for people: the node's own, or its operator and first output. */
  get label(): string {
    return this.proto.name || `${this.opType} -> ${this.outputs[0] ?? ""}`;
  }

  /** The attributes' names. */
  get attributeNames(): readonly string[] {
    return [...this.#attributes.keys()];
  }

  /**
   * Whether an attribute is set.
   *
   * @param name The attribute's name.
   * @returns True when it is.
   */
  has(name: string): boolean {
    return this.#attributes.has(name);
  }

  /**
   * An integer attribute.
   *
   * @param name The attribute's name.
   * @param fallback The value when it is not set.
   * @returns The value.
   */
  int(name: string, fallback: number): number {
    const value = this.#attributes.get(name)?.i;
    return value === undefined ? fallback : Number(value);
  }

  /**
   * A list of integers.
   *
   * @param name The attribute's name.
   * @returns The list, or undefined when it is not set.
   */
  ints(name: string): number[] | undefined {
    return this.#attributes.get(name)?.ints.map(Number);
  }

  /**
   * A float attribute.
   *
   * @param name The attribute's name.
   * @param fallback The value when it is not set.
   * @returns The value.
   */
  float(name: string, fallback: number): number {
    return this.#attributes.get(name)?.f ?? fallback;
  }

  /**
   * A list of floats.
   *
   * @param name The attribute's name.
   * @returns The list, or undefined when it is not set.
   */
  floats(name: string): number[] | undefined {
    return this.#attributes.get(name)?.floats;
  }

  /**
   * A string attribute.
   *
   * @param name The attribute's name.
   * @param fallback The value when it is not set.
   * @returns The value.
   */
  string(name: string, fallback: string): string {
    const value = this.#attributes.get(name)?.s;
    return value === undefined ? fallback : new TextDecoder().decode(value);
  }

  /**
   * A tensor attribute.
   *
   * @param name The attribute's name.
   * @returns The array, or undefined when it is not set.
   * @throws {UserError} When the tensor cannot be read.
   */
  tensor(name: string): OnnxTensor | undefined {
    const value = this.#attributes.get(name)?.t;
    return value === undefined ? undefined : readTensor(value);
  }
}
