/** What stands before the arrays of a file, and where arrays are put when one is written. */

import { UserError } from "../runtime/errors.ts";
import { refuseFile } from "./_io_error.ts";
import { dtypeOf, ELEMENT_BYTES, elementCount, isCount } from "./_safetensors_elements.ts";
import type { SafetensorsArray, SafetensorsSpec } from "./_safetensors_types.ts";
import { sortedRecord } from "./_sorted_record.ts";

// The bound that the format's own reader sets.
const MAX_HEADER_BYTES = 100_000_000;

/** The length of the JSON text, from the first eight bytes. */
export function headerLength(path: string, first: Uint8Array<ArrayBuffer>, size: number): number {
  if (size === 0) refuseFile(path, "the file is empty");
  if (size < 8) {
    refuseFile(
      path,
      `the file has ${size} bytes, and a safetensors file begins with 8 bytes of length`,
    );
  }
  const view = new DataView(first.buffer, first.byteOffset, 8);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length < 2 || length > MAX_HEADER_BYTES) {
    refuseFile(path, `it is not a safetensors file (its header would have ${length} bytes)`);
  }
  if (8 + length > size) {
    refuseFile(path, `the header says ${length} bytes and the file has ${size}: it is truncated`);
  }
  return length;
}

/** The header's text, from the bytes that follow the length. */
export function headerText(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    refuseFile(path, "it is not a safetensors file (its header is no UTF-8 text)");
  }
}

/** The types and shapes of arrays in memory. */
export function specsOf(
  tensors: Readonly<Record<string, SafetensorsArray>>,
): Record<string, SafetensorsSpec> {
  const specs: Record<string, SafetensorsSpec> = Object.create(null);
  for (const [name, { data, shape, dtype }] of Object.entries(tensors)) {
    if (elementCount(shape) !== data.length) {
      throw new RangeError(
        `Cannot write "${name}": shape [${shape.join(", ")}] does not hold ${data.length} elements`,
      );
    }
    specs[name] = { dtype: dtype ?? dtypeOf(data), shape };
  }
  return specs;
}

/** How a file will be laid out. */
export interface SafetensorsLayout {
  /** The length and the header. */
  readonly head: Uint8Array<ArrayBuffer>;
  /** The arrays' first bytes, from the beginning of the file, in order. */
  readonly offsets: ReadonlyMap<string, number>;
  /** How many bytes the file has. */
  readonly size: number;
}

/** Lays arrays out: wide elements first, so that each begins at a multiple of its element's size. */
export function layOut(
  specs: Readonly<Record<string, SafetensorsSpec>>,
  metadata: Readonly<Record<string, string>>,
): SafetensorsLayout {
  checkMetadata(metadata);
  const header: Record<string, unknown> = Object.create(null);
  if (Object.keys(metadata).length > 0) header["__metadata__"] = sortedRecord(metadata);
  const width = (name: string) => ELEMENT_BYTES[specs[name]!.dtype]!;
  const names = Object.keys(specs).sort((a, b) => width(b) - width(a) || (a < b ? -1 : 1));
  const offsets = new Map<string, number>();
  let end = 0;
  for (const name of names) {
    const { dtype, shape } = specs[name]!;
    if (name === "__metadata__") throw new TypeError('Cannot write an array named "__metadata__"');
    const start = end;
    end += elementCount(shape) * width(name);
    if (!shape.every(isCount) || !Number.isSafeInteger(end)) {
      throw new RangeError(`Cannot write "${name}": its shape is [${shape.join(", ")}]`);
    }
    offsets.set(name, start);
    header[name] = { dtype, shape, data_offsets: [start, end] };
  }
  const head = frame(JSON.stringify(header));
  for (const [name, offset] of offsets) offsets.set(name, head.length + offset);
  return { head, offsets, size: head.length + end };
}

function checkMetadata(metadata: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") {
      throw new TypeError(`Cannot write metadata "${key}": it must be a string: ${typeof value}`);
    }
  }
}

/** The length and the header, filled up with spaces so that the arrays begin aligned. */
function frame(header: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(header);
  const padded = Math.ceil(text.length / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new UserError(
      `Cannot write a safetensors header of ${padded} bytes: at most ${MAX_HEADER_BYTES} are ` +
        "allowed; keep the set in shards, whose headers list fewer names",
    );
  }
  const head = new Uint8Array(8 + padded).fill(0x20);
  head.set(text, 8);
  const view = new DataView(head.buffer);
  view.setUint32(0, padded, true);
  view.setUint32(4, 0, true);
  return head;
}
