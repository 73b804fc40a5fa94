/**
 * Safetensors in memory: bytes to arrays and back, without a file system.
 *
 * This module is browser compatible.
 *
 * @module
 */

import { decodeElements, encodeElements } from "./_safetensors_elements.ts";
import { headerLength, headerText, layOut, specsOf } from "./_safetensors_layout.ts";
import type {
  SafetensorsArray,
  SafetensorsContent,
  SafetensorsDType,
} from "./_safetensors_types.ts";
import { parseSafetensorsHeader } from "./safetensors_header.ts";

/**
 * Reads a safetensors file that is in memory already; needs no file system.
 *
 * @param bytes The whole file.
 * @param options `name`: the file's name for messages.
 * @returns Its arrays, copied out of `bytes`, and its metadata.
 * @throws {UserError} If the bytes are no sound safetensors file.
 *
 * @example There and back
 * ```ts
 * import { decodeSafetensors, encodeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = encodeSafetensors({ x: { data: new Float32Array([1, 2]), shape: [2] } });
 * assertEquals([...decodeSafetensors(bytes).tensors["x"]!.data], [1, 2]);
 * ```
 */
export function decodeSafetensors(
  bytes: Uint8Array,
  options: { readonly name?: string } = {},
): SafetensorsContent {
  const path = options.name ?? "safetensors";
  const size = bytes.length;
  // Node's Buffer is a Uint8Array too, but its slice() makes no copy.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, size);
  const headerBytes = headerLength(path, plain.slice(0, 8), size);
  const text = headerText(path, plain.subarray(8, 8 + headerBytes));
  const { entries, metadata } = parseSafetensorsHeader(text, { path, headerBytes, size });
  const tensors: Record<string, SafetensorsArray> = Object.create(null);
  for (const entry of entries.values()) {
    const buffer = plain.slice(entry.offset, entry.offset + entry.bytes).buffer;
    tensors[entry.name] = {
      data: decodeElements(path, entry, buffer),
      shape: entry.shape,
      dtype: entry.dtype as SafetensorsDType,
    };
  }
  return { tensors, metadata };
}

/**
 * Makes a safetensors file in memory. The same content always makes the same bytes.
 *
 * @param tensors The arrays by name; `dtype: "F16"` stores f32 data in half the space.
 * @param metadata Strings for `__metadata__`.
 * @returns The whole file.
 * @throws {RangeError} If a shape does not hold its data.
 *
 * @example Eight bytes of data behind a header
 * ```ts
 * import { encodeSafetensors } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = encodeSafetensors({ x: { data: new Float32Array([1, 2]), shape: [2] } });
 * assertEquals(bytes.length, 8 + bytes[0]! + 8);
 * ```
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, SafetensorsArray>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const specs = specsOf(tensors);
  const { head, offsets, size } = layOut(specs, metadata);
  const out = new Uint8Array(size);
  out.set(head);
  for (const [name, { data }] of Object.entries(tensors)) {
    out.set(encodeElements(name, data, specs[name]!.dtype), offsets.get(name)!);
  }
  return out;
}
