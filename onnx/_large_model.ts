/**
 * Models beyond 2 GiB, the most that one ONNX file can hold: their weights go to onnxruntime-web as
 * files beside the graph, without a copy.
 *
 * @module
 */

import { withGraph } from "./edit.ts";
import { type OnnxModel, writeModel } from "./model.ts";
import {
  create,
  STRING_STRING_ENTRY,
  type StringStringEntryProto,
  type TensorProto,
} from "./proto/mod.ts";

/** Bytes that a file can hold. */
const MOST_BYTES = 0x7fffffff;
/** Bytes that the graph itself and its small tensors take at most. */
const ROOM = 1 << 24;
/** Smaller tensors stay in the graph: shapes and settings are read while it is loaded. */
const LEAST_BYTES = 1024;

/** A model as onnxruntime-web takes it. */
export interface ModelFiles {
  /** The graph. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Files beside it. */
  readonly externalData: { readonly path: string; readonly data: Uint8Array }[];
}

/**
 * The bytes of a model, and of files beside it where one file cannot hold them.
 *
 * @param model The model.
 * @param most Bytes that one file may have.
 * @returns The files.
 */
export function modelFiles(model: OnnxModel, most: number = MOST_BYTES): ModelFiles {
  const { initializer } = model.graph.proto;
  const total = initializer.reduce((sum, { rawData }) => sum + (rawData?.length ?? 0), 0);
  if (total <= most - Math.min(ROOM, most / 2)) {
    return { bytes: writeModel(model), externalData: [] };
  }
  // Tensors are views of what was read; each array that they view is a file.
  const files = new Map<ArrayBufferLike, string>();
  const outside = initializer.map((tensor): TensorProto => {
    const { rawData } = tensor;
    if (rawData === undefined || rawData.length < LEAST_BYTES) return tensor;
    const location = files.get(rawData.buffer) ?? `weights-${files.size}`;
    files.set(rawData.buffer, location);
    const place = { location, offset: `${rawData.byteOffset}`, length: `${rawData.length}` };
    return {
      ...tensor,
      rawData: undefined as unknown as Uint8Array,
      dataLocation: 1,
      externalData: Object.entries(place).map(([key, value]) =>
        create<StringStringEntryProto>(STRING_STRING_ENTRY, { key, value })
      ),
    };
  });
  return {
    bytes: writeModel(withGraph(model, { initializer: outside })),
    externalData: [...files].map(([buffer, path]) => ({ path, data: new Uint8Array(buffer) })),
  };
}
