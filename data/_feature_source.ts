/** Where the arrays of a feature set are, a file or memory, and how numbers are taken from there. */

import { UserError } from "../runtime/errors.ts";
import { isKnownKey, type NamedShapes, WHOLE_KEYS } from "./_feature_shapes.ts";
import { type Offsets, offsetsIn, raggedOf } from "./_ragged_fit.ts";
import type { HostArray } from "./feature_set.ts";
import type { SafetensorsArray } from "./safetensors.ts";
import type { SafetensorsFile } from "./safetensors_file.ts";

/** Something that rows can be read from. */
export interface Source extends NamedShapes {
  /** The images' names, where they are stored. */
  readonly names: readonly string[] | undefined;
  /** Where each image's rows begin in the ragged arrays. */
  readonly offsets: Offsets;
  /** Reads a whole array. */
  read(key: string): Promise<SafetensorsArray>;
  /** Reads some rows of an array; of a ragged one packed rows, whichever images they belong to. */
  readRows(key: string, range: { start: number; rows: number }): Promise<SafetensorsArray>;
  /** Lets go of the file. */
  close(): Promise<void>;
}

/** Labels and counts are whole numbers, and so are unknown arrays that are stored so. */
function isWhole(key: string, data: SafetensorsArray["data"]): boolean {
  if (isKnownKey(key)) return WHOLE_KEYS.includes(key);
  return !(data instanceof Float32Array || data instanceof Float64Array);
}

/** An array as the rest of the project takes it, f32 or i32. */
export function toHost(path: string, key: string, array: SafetensorsArray): HostArray {
  const { data, shape } = array;
  if (!isWhole(key, data)) {
    return { data: data instanceof Float32Array ? data : new Float32Array(data), shape };
  }
  if (data instanceof Int32Array) return { data, shape };
  const out = new Int32Array(data);
  const wrong = out.findIndex((value, i) => value !== data[i]);
  if (wrong >= 0) {
    throw new UserError(
      `Cannot use "${path}": "${key}" has ${
        data[wrong]
      } in row ${wrong}, and a whole number that ` +
        "fits 32 bits was expected",
    );
  }
  return { data: out, shape };
}

function parseNames(metadata: Readonly<Record<string, string>>): readonly string[] | undefined {
  const text = metadata["names"];
  if (text === undefined) return undefined;
  try {
    const names: unknown = JSON.parse(text);
    if (Array.isArray(names) && names.every((name) => typeof name === "string")) return names;
  } catch {
    // Someone else's metadata may mean something else by "names".
  }
  return undefined;
}

/** The arrays of a file; of its ragged ones the counts are read. */
export async function fileSource(file: SafetensorsFile): Promise<Source> {
  let names: readonly string[] | undefined;
  let parsed = false;
  const shapes: NamedShapes = {
    path: file.path,
    keys: [...file.header.entries.keys()],
    shape: (key) => file.header.entries.get(key)?.shape,
  };
  const offsets = new Map<string, Int32Array>();
  for (const { key, countsKey } of raggedOf(shapes)) {
    const { data } = toHost(file.path, countsKey, await file.read(countsKey));
    offsets.set(key, offsetsIn(shapes, key, data));
  }
  return {
    ...shapes,
    offsets,
    get names() {
      if (!parsed) names = parseNames(file.header.metadata);
      parsed = true;
      return names;
    },
    read: (key) => file.read(key),
    readRows: (key, range) => file.readRows(key, range),
    close: () => file[Symbol.asyncDispose](),
  };
}

/** Arrays in memory. */
export function memorySource(
  path: string,
  arrays: Readonly<Record<string, HostArray>>,
  names: readonly string[] | undefined,
): Source {
  const shapes = { path, keys: Object.keys(arrays), shape: (key: string) => arrays[key]?.shape };
  const offsets = new Map(
    raggedOf(shapes).map(({ key, countsKey }) => {
      const { data } = toHost(path, countsKey, arrays[countsKey]!);
      return [key, offsetsIn(shapes, key, data)];
    }),
  );
  return {
    ...shapes,
    names,
    offsets,
    read: (key) => Promise.resolve(arrays[key]!),
    readRows(key, { start, rows }) {
      const { data, shape } = arrays[key]!;
      const width = data.length / Math.max(shape[0] ?? 1, 1);
      // A copy, so that a caller may change or transfer what it gets, as with a file.
      const part = data.slice(start * width, (start + rows) * width);
      return Promise.resolve({ data: part, shape: [rows, ...shape.slice(1)] });
    },
    close: () => Promise.resolve(),
  };
}
