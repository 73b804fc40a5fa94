/**
 * The header of a safetensors file: each array's name, type, shape and place, all of it checked.
 *
 * @module
 */

import { parseJson, refuseFile } from "./_io_error.ts";
import { ELEMENT_BYTES, elementCount, isCount } from "./_safetensors_elements.ts";
import type { SafetensorsEntry, SafetensorsHeader } from "./_safetensors_types.ts";

export type { SafetensorsEntry, SafetensorsHeader };

/**
 * Checks the header of a safetensors file: the JSON text, each array's type, shape and place, and
 * that the places fill the file without overlap or gap.
 *
 * @param text The JSON text that follows the eight bytes of length.
 * @param file The file's name for messages, the length of the JSON text and of the file, in bytes.
 * @returns The arrays and the metadata.
 * @throws {UserError} If any of it does not hold.
 *
 * @example One array of two numbers
 * ```ts
 * import { parseSafetensorsHeader } from "@oodgpu/oodgpu/data";
 * import { assertEquals } from "@std/assert";
 *
 * const text = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
 * const size = 8 + text.length + 8;
 * const header = parseSafetensorsHeader(text, { path: "x", headerBytes: text.length, size });
 * assertEquals(header.entries.get("a")?.offset, 8 + text.length);
 * ```
 */
export function parseSafetensorsHeader(
  text: string,
  file: { readonly path: string; readonly headerBytes: number; readonly size: number },
): SafetensorsHeader {
  const { path, size } = file;
  const json = parseJson(path, text, "it is not a safetensors file (its header is no JSON text)");
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    refuseFile(path, "its header is no JSON object");
  }
  const begin = 8 + file.headerBytes;
  let metadata: Readonly<Record<string, string>> = Object.create(null);
  const entries: SafetensorsEntry[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") metadata = parseMetadata(path, value);
    else entries.push(parseEntry(path, { name, value, begin, size }));
  }
  entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  requireNoGaps(path, { entries, begin, size });
  return { entries: new Map(entries.map((entry) => [entry.name, entry])), metadata };
}

function parseMetadata(path: string, value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) {
    refuseFile(path, "its metadata is no JSON object");
  }
  // Without a prototype, so that a string may have any name.
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, word] of Object.entries(value)) {
    if (typeof word !== "string") refuseFile(path, `its metadata "${key}" is not a string`);
    metadata[key] = word;
  }
  return metadata;
}

/** One array's line of the header; `begin` is where the arrays do. */
function parseEntry(
  path: string,
  line: { name: string; value: unknown; begin: number; size: number },
): SafetensorsEntry {
  const { name, begin } = line;
  const { dtype, shape, data_offsets: offsets } = (line.value ?? {}) as Record<string, unknown>;
  if (typeof dtype !== "string") refuseFile(path, `"${name}" has no dtype`);
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    refuseFile(path, `"${name}" has a shape that is no list of whole numbers`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    refuseFile(path, `"${name}" has data_offsets that are no pair of whole numbers`);
  }
  const [start, end] = offsets as [number, number];
  const entry = { name, dtype, shape, offset: begin + start, bytes: end - start };
  checkExtent(path, entry, line.size);
  return entry;
}

/** Checks that an array lies within the file and is as long as its type and shape say. */
function checkExtent(path: string, entry: SafetensorsEntry, size: number): void {
  const { name, dtype, shape, offset, bytes } = entry;
  if (bytes < 0) refuseFile(path, `"${name}" ends before it begins`);
  const end = offset + bytes;
  if (end > size) {
    refuseFile(path, `"${name}" ends at byte ${end} and the file has ${size}: it is truncated`);
  }
  const width = ELEMENT_BYTES[dtype];
  const expected = width === undefined ? bytes : elementCount(shape) * width;
  if (expected !== bytes) {
    refuseFile(
      path,
      `"${name}" of shape [${shape.join(", ")}] and dtype ${dtype} needs ${expected} bytes and ` +
        `has ${bytes}`,
    );
  }
}

/** Checks that the arrays, in the order of their places, fill the file. */
function requireNoGaps(
  path: string,
  file: { entries: readonly SafetensorsEntry[]; begin: number; size: number },
): void {
  let end = file.begin;
  for (const { name, offset, bytes } of file.entries) {
    if (offset < end) refuseFile(path, `"${name}" overlaps the array before it`);
    if (offset > end) {
      refuseFile(path, `there are ${offset - end} bytes before "${name}" that nothing names`);
    }
    end = offset + bytes;
  }
  if (end !== file.size) {
    refuseFile(path, `the header accounts for ${end} bytes and the file has ${file.size}`);
  }
}
