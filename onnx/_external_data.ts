/**
 * Data that a model keeps in files beside it.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { allTensors } from "./_subgraphs.ts";
import type { GraphProto, TensorProto } from "./proto/mod.ts";
import { externalLocation } from "./tensor.ts";

// ONNX's value of a tensor's `data_location` for data in another file.
const EXTERNAL = 1;

/** A location that leaves the model's folder: absolute, with a drive, or with `..`. */
const OUTSIDE_REGEXP = /^([/\\]|[A-Za-z]:)|(^|[/\\])\.\.([/\\]|$)/;

/** The tensors of a graph whose data lies in other files. */
export function externalTensors(graph: GraphProto): TensorProto[] {
  return allTensors(graph).filter((tensor) => tensor.dataLocation === EXTERNAL);
}

/** Loads data from the files beside the model and puts it where data within the file would be. */
export async function loadExternalData(
  graph: GraphProto,
  { path, name }: { path: string | URL; name: string },
): Promise<void> {
  const files = new Map<string, Uint8Array>();
  for (const tensor of externalTensors(graph)) {
    const location = externalLocation(tensor);
    const refuse = (why: string) =>
      new UserError(
        `Cannot read "${name}": the data of "${tensor.name ?? ""}" should lie in "${location}" ` +
          `beside the model: ${why}`,
      );
    // A model must not be able to read files outside its own folder.
    if (location === "" || OUTSIDE_REGEXP.test(location)) {
      throw refuse("the location must be a relative path within the model's folder");
    }
    const bytes = files.get(location) ?? await readBeside(path, { location, refuse });
    files.set(location, bytes);
    const { offset, length } = rangeOf(tensor, bytes.length);
    if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
      throw refuse(`it needs bytes ${offset} to ${offset + length} and has ${bytes.length}`);
    }
    tensor.rawData = bytes.subarray(offset, offset + length);
    tensor.externalData = [];
    delete tensor.dataLocation;
  }
}

async function readBeside(
  model: string | URL,
  { location, refuse }: { location: string; refuse: (why: string) => UserError },
): Promise<Uint8Array> {
  const path = model instanceof URL
    ? new URL(location, model)
    : model.replace(/[^/\\]*$/, "") + location;
  try {
    return await Deno.readFile(path);
  } catch (error) {
    throw refuse(
      error instanceof Deno.errors.NotFound ? "there is no such file" : "it cannot be read",
    );
  }
}

/** Which bytes of the file are the tensor's: all from an offset on unless it says how many. */
function rangeOf(tensor: TensorProto, fileLength: number): { offset: number; length: number } {
  const number = (key: string) => {
    const text = tensor.externalData.find((entry) => entry.key === key)?.value;
    return text === undefined ? undefined : Number(text);
  };
  const offset = number("offset") ?? 0;
  return { offset, length: number("length") ?? fileLength - offset };
}
