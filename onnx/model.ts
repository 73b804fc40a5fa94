/**
 * ONNX models: reading and writing their files, and what a file holds.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { checkGraph } from "./_check_graph.ts";
import { externalTensors, loadExternalData } from "./_external_data.ts";
import { cannotRead, decodeModel, readBytes } from "./_model_file.ts";
import { OnnxGraph } from "./graph.ts";
import { encode, MODEL, type ModelProto } from "./proto/mod.ts";
import { externalLocation } from "./tensor.ts";
import { normalDomain } from "./versions.ts";

/**
 * Reads an ONNX file, or the bytes of one.
 *
 * Data that a file keeps in other files beside it is loaded too.
 *
 * @param source A path, a file URL, or the bytes.
 * @param options `name`: what errors call the model; by default the path. `externalData`: `"leave"`
 * does not read the data in other files, for a look at the graph of a model of gigabytes.
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
  options: { name?: string; externalData?: "load" | "leave" } = {},
): Promise<OnnxModel> {
  if (source instanceof Uint8Array) return parseModel(source, options);
  const name = options.name ?? String(source);
  const proto = decodeModel(await readBytes(source, name), name);
  if (options.externalData !== "leave") await loadExternalData(proto.graph, { path: source, name });
  return checked(proto, name);
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
  const [external] = externalTensors(proto.graph);
  if (external !== undefined) {
    throw cannotRead(
      name,
      `the data of "${external.name ?? ""}" lies in the file "${externalLocation(external)}"; ` +
        `open the model by its path so that the file is found`,
    );
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

function checked(proto: ModelProto, name: string): OnnxModel {
  const model = new OnnxModel(proto, { name });
  checkGraph(model.graph, (why) => cannotRead(name, why));
  return model;
}
