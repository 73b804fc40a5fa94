/** Numbers and their bytes: how wide each element type is, and which are widened to be used. */

import { refuseFile } from "./_io_error.ts";
import type { SafetensorsData, SafetensorsDType, SafetensorsEntry } from "./_safetensors_types.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./half.ts";

/** The bytes of an element by type, those that cannot be read here included. */
export const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
};

/** How many elements an array of this shape has. */
export function elementCount(shape: readonly number[]): number {
  let product = 1;
  for (const size of shape) product *= size;
  return product;
}

/** Whether a value can be a size or an offset: a whole number, exact and not negative. */
export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** The element type that data has of itself. */
export function dtypeOf(data: SafetensorsData): SafetensorsDType {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof Uint32Array) return "U32";
  if (data instanceof Int16Array) return "I16";
  if (data instanceof Uint16Array) return "U16";
  if (data instanceof Int8Array) return "I8";
  return "U8";
}

function i32ToI64(values: Int32Array): Int32Array<ArrayBuffer> {
  const words = new Int32Array(2 * values.length);
  for (let i = 0; i < values.length; i++) {
    words[2 * i] = values[i]!;
    words[2 * i + 1] = values[i]! >> 31;
  }
  return words;
}

function i64ToI32(path: string, name: string, words: Int32Array): Int32Array<ArrayBuffer> {
  const out = new Int32Array(words.length / 2);
  for (let i = 0; i < out.length; i++) {
    const low = words[2 * i]!;
    if (words[2 * i + 1] !== low >> 31) {
      refuseFile(path, `"${name}" has a value that does not fit 32 bits, the I64 at ${i}`);
    }
    out[i] = low;
  }
  return out;
}

/** Makes the bytes of an array, in a buffer of their own, into numbers. */
export function decodeElements(
  path: string,
  entry: SafetensorsEntry,
  buffer: ArrayBuffer,
): SafetensorsData {
  switch (entry.dtype) {
    case "F64":
      return new Float64Array(buffer);
    case "F32":
      return new Float32Array(buffer);
    case "F16":
      return f16ToF32(new Uint16Array(buffer));
    case "BF16":
      return bf16ToF32(new Uint16Array(buffer));
    case "I32":
      return new Int32Array(buffer);
    case "U32":
      return new Uint32Array(buffer);
    case "I16":
      return new Int16Array(buffer);
    case "U16":
      return new Uint16Array(buffer);
    case "I8":
      return new Int8Array(buffer);
    case "U8":
    case "BOOL":
      return new Uint8Array(buffer);
    case "I64":
      return i64ToI32(path, entry.name, new Int32Array(buffer));
    default:
      refuseFile(path, `"${entry.name}" has dtype ${entry.dtype}, which cannot be read`);
  }
}

/** The bytes of an array as they stand in a file: what `decodeElements` widened is narrowed again. */
export function encodeElements(
  name: string,
  data: SafetensorsData,
  dtype: SafetensorsDType,
): Uint8Array<ArrayBuffer> {
  const own = dtypeOf(data);
  let source = data;
  if (dtype === "F16" && data instanceof Float32Array) {
    source = f32ToF16(data);
  } else if (dtype === "BF16" && data instanceof Float32Array) {
    source = f32ToBf16(data);
  } else if (dtype === "I64" && data instanceof Int32Array) {
    source = i32ToI64(data);
  } else if (own !== dtype && !(own === "U8" && dtype === "BOOL")) {
    throw new TypeError(`Cannot write "${name}": ${own} data does not make a ${dtype} array`);
  }
  return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
}
