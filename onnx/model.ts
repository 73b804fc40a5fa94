/**
 * An ONNX model as something pleasant to walk: nodes with typed attributes, constants as typed
 * arrays, who makes a value and who reads it.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import {
  type AttributeProto,
  decode,
  type ElementType,
  encode,
  type GraphProto,
  MODEL,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from "./proto/mod.ts";
import { elementTypeName, externalLocation, type OnnxTensor, readTensor } from "./tensor.ts";

/** A dimension: its length, its name when it is open, or `"?"` when nothing is known of it. */
export type Dimension = number | string;

/** A value's name with what the file or inference knows of it. */
export interface ValueInfo {
  /** The value's name. */
  readonly name: string;
  /** The element type, when known. */
  readonly type?: ElementType;
  /** The shape, when the rank is known. */
  readonly shape?: readonly Dimension[];
}

/** The lowest and highest operator set that the project's runtimes run. */
export const OPSET_RANGE: readonly [number, number] = [7, 26];

/** The highest file format version that the project's runtimes read. */
export const MAX_IR_VERSION = 13;

const MAX_BYTES = 0x7fffffff;

/**
 * Reads an ONNX file, or the bytes of one.
 *
 * Data that a file keeps in other files beside it is loaded too.
 *
 * @param source A path, a file URL, or the bytes.
 * @param options `name`: what errors call the model; by default the path.
 * @returns The model; large arrays are views of the file's bytes.
 * @throws {UserError} When the file cannot be read, is empty, truncated, too large, is not ONNX, or
 * is written for an operator set or a format version that is not supported.
 *
 * @example Read a model of the project
 * ```ts
 * import { readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * assertEquals(model.graph.inputs[0]?.shape, ["N", 3, 32, 32]);
 * ```
 */
export async function readModel(
  source: string | URL | Uint8Array,
  options: { name?: string } = {},
): Promise<OnnxModel> {
  if (source instanceof Uint8Array) return parseModel(source, options);
  const name = options.name ?? String(source);
  const model = decodeModel(await readBytes(source, name), name);
  await loadExternalData(model, source, name);
  return checked(model, name);
}

/**
 * Reads the bytes of an ONNX file that keeps all its data inside.
 *
 * @param bytes The file's bytes; large arrays of the model are views of them.
 * @param options `name`: what errors call the model.
 * @returns The model.
 * @throws {UserError} As {@linkcode readModel}, and when data lies in another file.
 *
 * @example Refuse what is not ONNX
 * ```ts
 * import { parseModel } from "@oodgpu/oodgpu/onnx";
 * import { UserError } from "@oodgpu/oodgpu/runtime";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => parseModel(new Uint8Array(0), { name: "a.onnx" }), UserError, "empty");
 * ```
 */
export function parseModel(bytes: Uint8Array, options: { name?: string } = {}): OnnxModel {
  const name = options.name ?? "model";
  const proto = decodeModel(bytes, name);
  for (const tensor of allTensors(proto.graph!)) {
    if (tensor.dataLocation === 1) {
      throw new UserError(
        `Cannot read "${name}": the data of "${tensor.name ?? ""}" lies in the file ` +
          `"${externalLocation(tensor)}"; open the model by its path so that the file is found`,
      );
    }
  }
  return checked(proto, name);
}

/**
 * Writes a model as the bytes of an ONNX file; what was not edited comes out as it was read.
 *
 * @param model The model.
 * @returns The bytes.
 * @throws {UserError} When the model takes more than 2 GiB.
 *
 * @example Reading and writing lose nothing
 * ```ts
 * import { parseModel, writeModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = await Deno.readFile("models/cifar10-resnet20.onnx");
 * assertEquals(writeModel(parseModel(bytes)), bytes);
 * ```
 */
export function writeModel(model: OnnxModel): Uint8Array<ArrayBuffer> {
  try {
    return encode(MODEL, model.proto);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(`Cannot write "${model.name}": it takes more than 2 GiB, ONNX's limit`);
  }
}

/**
 * A model: the graph, and the operator sets it is written for. Edits make new models.
 *
 * @example The operator set
 * ```ts
 * import { readModel } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals((await readModel("models/cifar10-resnet20.onnx")).opset(), 13);
 * ```
 */
export class OnnxModel {
  /** What errors call the model. */
  readonly name: string;
  /** The file's content. */
  readonly proto: ModelProto;
  /** The main graph. */
  readonly graph: OnnxGraph;

  /**
   * Looks at a file's content.
   *
   * @param proto The file's content, with a graph.
   * @param options `name`: what errors call the model.
   */
  constructor(proto: ModelProto, options: { name?: string } = {}) {
    if (proto.graph === undefined) throw new TypeError("Cannot make a model without a graph");
    this.proto = proto;
    this.name = options.name ?? "model";
    this.graph = new OnnxGraph(proto.graph);
  }

  /**
   * The version of an operator set.
   *
   * @param domain The set's domain; ONNX's own by default.
   * @returns The version, or 0 when the model does not use the domain.
   */
  opset(domain = ""): number {
    return this.proto.opsetImport.find((set) => normalDomain(set.domain) === normalDomain(domain))
      ?.version ?? 0;
  }
}

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
}

/** ONNX's own domain has two spellings. */
function normalDomain(domain: string | undefined): string {
  return domain === undefined || domain === "ai.onnx" ? "" : domain;
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

/** Subgraphs of a node: those of If, Loop and Scan. */
function subgraphs(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap((attribute) => attribute.g === undefined ? [] : [attribute.g]);
}

function capturedNames(node: NodeProto): string[] {
  const names = new Set<string>();
  for (const graph of subgraphs(node)) {
    const own = new Set([
      ...graph.input.map((info) => info.name ?? ""),
      ...graph.initializer.map((tensor) => tensor.name ?? ""),
      ...graph.node.flatMap((inner) => inner.output),
    ]);
    const read = [
      ...graph.node.flatMap((inner) => [...inner.input, ...capturedNames(inner)]),
      ...graph.output.map((info) => info.name ?? ""),
    ];
    for (const name of read) if (name !== "" && !own.has(name)) names.add(name);
  }
  return [...names];
}

function sortNodes(
  nodes: readonly OnnxNode[],
  producer: (value: string) => OnnxNode | undefined,
): readonly OnnxNode[] {
  const waiting = new Map<OnnxNode, Set<OnnxNode>>();
  const readers = new Map<OnnxNode, OnnxNode[]>();
  for (const node of nodes) {
    const makers = new Set<OnnxNode>();
    for (const input of [...node.inputs, ...node.captured]) {
      const maker = producer(input);
      if (maker !== undefined) makers.add(maker);
    }
    waiting.set(node, makers);
    for (const maker of makers) readers.set(maker, [...readers.get(maker) ?? [], node]);
  }
  const sorted: OnnxNode[] = [];
  const done = new Set<OnnxNode>();
  // Files are nearly always sorted already, so one pass in file order does most of the work.
  const ready = nodes.filter((node) => waiting.get(node)!.size === 0);
  while (ready.length > 0) {
    // The earliest in the file first keeps a sorted file as it is.
    const next = takeEarliest(ready);
    sorted.push(next);
    done.add(next);
    for (const reader of readers.get(next) ?? []) {
      const makers = waiting.get(reader)!;
      makers.delete(next);
      if (makers.size === 0 && !done.has(reader)) ready.push(reader);
    }
  }
  if (sorted.length < nodes.length) {
    const stuck = nodes.find((node) => !done.has(node))!;
    throw new UserError(`Cannot order the graph: node "${stuck.label}" lies on a cycle`);
  }
  return sorted;
}

function takeEarliest(ready: OnnxNode[]): OnnxNode {
  let best = 0;
  for (let i = 1; i < ready.length; i++) if (ready[i]!.index < ready[best]!.index) best = i;
  return ready.splice(best, 1)[0]!;
}

function decodeModel(bytes: Uint8Array, name: string): ModelProto {
  const refuse = (why: string) => new UserError(`Cannot read "${name}": ${why}`);
  if (bytes.length === 0) throw refuse("the file is empty");
  if (bytes.length > MAX_BYTES) {
    throw refuse("the file is larger than 2 GiB, ONNX's limit; keep its data in external files");
  }
  const head = new TextDecoder().decode(bytes.subarray(0, 64));
  if (head.startsWith("version https://git-lfs")) {
    throw refuse("it is a Git LFS pointer and not the model itself; fetch it with git lfs pull");
  }
  let proto: ModelProto;
  try {
    proto = decode<ModelProto>(MODEL, bytes);
  } catch {
    if (isText(bytes)) throw refuse("it is a text file and an ONNX model was expected");
    throw refuse(
      bytes[0] === 0x08
        ? `the file is truncated or damaged (it has ${bytes.length} bytes)`
        : "it is not an ONNX model",
    );
  }
  if (proto.graph === undefined) {
    if (isText(bytes)) throw refuse("it is a text file and an ONNX model was expected");
    throw refuse(
      proto.irVersion === undefined
        ? "it is not an ONNX model"
        : `it has no graph; the file may be truncated (it has ${bytes.length} bytes)`,
    );
  }
  if (proto.irVersion === undefined || proto.graph.node.length === 0) {
    throw refuse("it is not an ONNX model: it lacks a format version or has no nodes");
  }
  if (proto.opsetImport.length === 0) {
    throw refuse("it names no operator set; the file may be truncated");
  }
  if (proto.irVersion > MAX_IR_VERSION) {
    throw refuse(
      `its format version is ${proto.irVersion} and up to ${MAX_IR_VERSION} are supported`,
    );
  }
  for (const set of proto.opsetImport) {
    if (normalDomain(set.domain) !== "") continue;
    const version = set.version ?? 0;
    if (version < OPSET_RANGE[0] || version > OPSET_RANGE[1]) {
      throw refuse(
        `it is written for operator set ${version} and ${OPSET_RANGE[0]} to ${OPSET_RANGE[1]} ` +
          `are supported; convert it`,
      );
    }
  }
  return proto;
}

/** True when the first kilobyte is UTF-8 without control characters other than white space. */
function isText(bytes: Uint8Array): boolean {
  const head = bytes.subarray(0, 1024);
  if (head.some((byte) => byte === 0x7f || byte < 0x20 && (byte < 0x09 || byte > 0x0d))) {
    return false;
  }
  try {
    // Streaming forgives a character that the cut at a kilobyte split.
    new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** Refuses graphs that no runtime could run, so that the rest can rely on names. */
function checked(proto: ModelProto, name: string): OnnxModel {
  const refuse = (why: string) => new UserError(`Cannot read "${name}": ${why}`);
  const model = new OnnxModel(proto, { name });
  const { graph } = model;
  const known = new Set([
    ...graph.inputs.map((info) => info.name),
    ...graph.initializers.keys(),
    ...graph.valueNames(),
    ...graph.proto.sparseInitializer.map((sparse) => sparse.values?.name ?? ""),
  ]);
  const made = new Set<string>();
  for (const node of graph.nodes) {
    if (node.opType === "") throw refuse(`node "${node.label}" names no operator`);
    for (const output of node.outputs) {
      if (output === "") continue;
      if (made.has(output)) throw refuse(`two nodes make the value "${output}"`);
      made.add(output);
    }
    for (const input of node.inputs) {
      if (input !== "" && !known.has(input)) {
        throw refuse(
          `node "${node.label}" reads "${input}", which is neither an input nor made by a node`,
        );
      }
    }
  }
  if (graph.outputs.length === 0) throw refuse("the graph has no outputs");
  for (const output of graph.outputs) {
    if (!known.has(output.name)) throw refuse(`nothing makes the output "${output.name}"`);
  }
  try {
    graph.sorted();
  } catch (error) {
    throw error instanceof UserError ? refuse(error.message) : error;
  }
  return model;
}

function allTensors(graph: GraphProto): TensorProto[] {
  const inNodes = graph.node.flatMap((node) => [
    ...node.attribute.flatMap((attribute) => attribute.t === undefined ? [] : [attribute.t]),
    ...subgraphs(node).flatMap(allTensors),
  ]);
  return [...graph.initializer, ...inNodes];
}

async function readBytes(path: string | URL, name: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_BYTES) {
      throw new UserError(
        `Cannot read "${name}": the file is larger than 2 GiB, ONNX's limit; keep its data in ` +
          `external files`,
      );
    }
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new UserError(`Cannot read "${name}": there is no such file`, { cause: error });
    }
    if (error instanceof Deno.errors.IsADirectory) {
      throw new UserError(`Cannot read "${name}": it is a folder and a file was expected`);
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new UserError(`Cannot read "${name}": permission is denied`, { cause: error });
    }
    throw error;
  }
}

/** Loads data from the files beside the model and puts it where data within the file would be. */
async function loadExternalData(
  proto: ModelProto,
  source: string | URL,
  name: string,
): Promise<void> {
  const files = new Map<string, Uint8Array>();
  for (const tensor of allTensors(proto.graph!)) {
    if (tensor.dataLocation !== 1) continue;
    const location = externalLocation(tensor);
    const refuse = (why: string) =>
      new UserError(
        `Cannot read "${name}": the data of "${tensor.name ?? ""}" should lie in "${location}" ` +
          `beside the model: ${why}`,
      );
    // A model must not be able to read files outside its own folder.
    if (location === "" || /^([/\\]|[A-Za-z]:)|(^|[/\\])\.\.([/\\]|$)/.test(location)) {
      throw refuse("the location must be a relative path within the model's folder");
    }
    let bytes = files.get(location);
    if (bytes === undefined) {
      const path = source instanceof URL
        ? new URL(location, source)
        : source.replace(/[^/\\]*$/, "") + location;
      try {
        bytes = await Deno.readFile(path);
      } catch (error) {
        throw refuse(
          error instanceof Deno.errors.NotFound ? "there is no such file" : "it cannot be read",
        );
      }
      files.set(location, bytes);
    }
    const number = (key: string) => {
      const text = tensor.externalData.find((entry) => entry.key === key)?.value;
      return text === undefined ? undefined : Number(text);
    };
    const offset = number("offset") ?? 0;
    const length = number("length") ?? bytes.length - offset;
    if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
      throw refuse(`it needs bytes ${offset} to ${offset + length} and has ${bytes.length}`);
    }
    tensor.rawData = bytes.subarray(offset, offset + length);
    tensor.externalData = [];
    delete tensor.dataLocation;
  }
}
