/**
 * From a file to its content, with a sentence for everything that a file can be instead.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { decode, MODEL, type ModelProto } from "./proto/mod.ts";
import { MAX_IR_VERSION, normalDomain, OPSET_RANGE } from "./versions.ts";

const MAX_BYTES = 0x7fffffff;

const TOO_LARGE = "the file is larger than 2 GiB, ONNX's limit; keep its data in external files";

/** Content that is known to have a graph. */
export type CompleteModelProto = ModelProto & { readonly graph: NonNullable<ModelProto["graph"]> };

/** The error of a model that cannot be read. */
export function cannotRead(name: string, why: string, options: ErrorOptions = {}): UserError {
  return new UserError(`Cannot read "${name}": ${why}`, options);
}

/** The bytes of a model's file. */
export async function readBytes(
  path: string | URL,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_BYTES) throw cannotRead(name, TOO_LARGE);
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw cannotRead(name, "there is no such file", { cause: error });
    }
    if (error instanceof Deno.errors.IsADirectory) {
      throw cannotRead(name, "it is a folder and a file was expected");
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw cannotRead(name, "permission is denied", { cause: error });
    }
    throw error;
  }
}

/** The content of a file's bytes, for a version that the project supports. */
export function decodeModel(bytes: Uint8Array, name: string): CompleteModelProto {
  if (bytes.length === 0) throw cannotRead(name, "the file is empty");
  if (bytes.length > MAX_BYTES) throw cannotRead(name, TOO_LARGE);
  const head = new TextDecoder().decode(bytes.subarray(0, 64));
  if (head.startsWith("version https://git-lfs")) {
    throw cannotRead(
      name,
      "it is a Git LFS pointer and not the model itself; fetch it with git lfs pull",
    );
  }
  const proto = decodeProto(bytes, name);
  if (proto.irVersion === undefined || proto.graph.node.length === 0) {
    throw cannotRead(name, "it is not an ONNX model: it lacks a format version or has no nodes");
  }
  checkVersions(proto, name);
  return proto;
}

function decodeProto(bytes: Uint8Array, name: string): CompleteModelProto {
  let proto: ModelProto;
  try {
    proto = decode<ModelProto>(MODEL, bytes);
  } catch {
    throw cannotRead(name, whyUndecodable(bytes));
  }
  if (!hasGraph(proto)) throw cannotRead(name, whyGraphless(bytes, proto));
  return proto;
}

function hasGraph(proto: ModelProto): proto is CompleteModelProto {
  return proto.graph !== undefined;
}

function whyUndecodable(bytes: Uint8Array): string {
  if (isText(bytes)) return "it is a text file and an ONNX model was expected";
  // The tag of the format version, with which nearly every writer begins.
  return bytes[0] === 0x08
    ? `the file is truncated or damaged (it has ${bytes.length} bytes)`
    : "it is not an ONNX model";
}

function whyGraphless(bytes: Uint8Array, proto: ModelProto): string {
  if (isText(bytes)) return "it is a text file and an ONNX model was expected";
  return proto.irVersion === undefined
    ? "it is not an ONNX model"
    : `it has no graph; the file may be truncated (it has ${bytes.length} bytes)`;
}

function checkVersions({ irVersion = 0, opsetImport }: ModelProto, name: string): void {
  if (opsetImport.length === 0) {
    throw cannotRead(name, "it names no operator set; the file may be truncated");
  }
  if (irVersion > MAX_IR_VERSION) {
    throw cannotRead(
      name,
      `its format version is ${irVersion} and up to ${MAX_IR_VERSION} are supported`,
    );
  }
  const [lowest, highest] = OPSET_RANGE;
  for (const { domain, version = 0 } of opsetImport) {
    if (normalDomain(domain) !== "" || version >= lowest && version <= highest) continue;
    throw cannotRead(
      name,
      `it is written for operator set ${version} and ${lowest} to ${highest} are supported; ` +
        `convert it`,
    );
  }
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
