/**
 * Arrays in ONNX files as typed arrays: initialisers, constants and attributes.
 *
 * @module
 */

import { bf16ToF32, f16ToF32 } from "../data/half.ts";
import { UserError } from "../runtime/errors.ts";
import { create, ELEMENT_TYPES, type ElementType, TENSOR, type TensorProto } from "./proto/mod.ts";

/** The typed arrays that an ONNX tensor can become. */
export type OnnxData =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>;

/** An array out of an ONNX file. */
export interface OnnxTensor {
  /** The element type in the file; `f16` and `bf16` stand in `data` as float32. */
  readonly type: ElementType;
  /** The shape; empty for a scalar. */
  readonly shape: readonly number[];
  /** The elements, row-major; may be a view of the file's bytes, so do not write to it. */
  readonly data: OnnxData;
}

const TYPE_NAMES: ReadonlyMap<number, ElementType> = new Map(
  Object.entries(ELEMENT_TYPES).map(([name, number]) => [number, name as ElementType]),
);

/**
 * Names an element type's number.
 *
 * @param number The number in the file.
 * @returns The name, or undefined for a number that the table lacks (8-bit floats and the like).
 *
 * @example Name float32
 * ```ts
 * import { elementTypeName } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(elementTypeName(1), "f32");
 * ```
 */
export function elementTypeName(number: number | undefined): ElementType | undefined {
  return number === undefined ? undefined : TYPE_NAMES.get(number);
}

/**
 * Reads a tensor of an ONNX file as a typed array, from whichever field holds it.
 *
 * @param proto The tensor; its external data must have been loaded.
 * @returns The array: a view where the bytes are aligned, a copy otherwise; half floats widened.
 * @throws {UserError} When the tensor holds strings, an unknown type, external data or the wrong
 * number of elements.
 *
 * @example Read what was made
 * ```ts
 * import { makeTensor, readTensor } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const proto = makeTensor("w", new Float32Array([1, 2]), { shape: [2, 1] });
 * assertEquals(readTensor(proto).shape, [2, 1]);
 * ```
 */
export function readTensor(proto: TensorProto): OnnxTensor {
  const type = elementTypeName(proto.dataType);
  const label = `tensor "${proto.name ?? ""}"`;
  if (type === undefined || type === "string") {
    throw new UserError(
      `Cannot read ${label}: its element type is ${
        type ?? proto.dataType
      } and numbers were expected`,
    );
  }
  if (proto.dataLocation === 1) {
    throw new UserError(
      `Cannot read ${label}: its data lies in "${externalLocation(proto)}", which was not loaded`,
    );
  }
  const data = proto.rawData !== undefined
    ? fromRaw(type, proto.rawData, label)
    : fromFields(type, proto);
  const count = proto.dims.reduce((product, length) => product * length, 1);
  if (data.length !== count) {
    throw new UserError(
      `Cannot read ${label}: its shape [${proto.dims.join(", ")}] needs ${count} elements and ` +
        `it holds ${data.length}`,
    );
  }
  return { type, shape: proto.dims, data };
}

/**
 * Where a tensor's external data lies.
 *
 * @param proto The tensor.
 * @returns The location as the file gives it, or an empty string.
 *
 * @example A tensor within its file
 * ```ts
 * import { externalLocation, makeTensor } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(externalLocation(makeTensor("w", new Float32Array(1))), "");
 * ```
 */
export function externalLocation(proto: TensorProto): string {
  return proto.externalData.find((entry) => entry.key === "location")?.value ?? "";
}

/**
 * Makes a tensor for an ONNX file from a typed array; the element type is the array's.
 *
 * @param name The tensor's name.
 * @param data The elements; the tensor's bytes are a view of them.
 * @param options `shape`: by default one dimension of the array's length; `type`: another element
 * type of the same width (`bool` for bytes).
 * @returns The tensor.
 * @throws {RangeError} When the shape does not hold the number of elements.
 *
 * @example A scalar
 * ```ts
 * import { makeTensor } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(makeTensor("one", new Float32Array([1]), { shape: [] }).dims, []);
 * ```
 */
export function makeTensor(
  name: string,
  data: OnnxData,
  options: { shape?: readonly number[]; type?: ElementType } = {},
): TensorProto {
  const shape = options.shape ?? [data.length];
  const count = shape.reduce((product, length) => product * length, 1);
  if (count !== data.length) {
    throw new RangeError(
      `Cannot make tensor "${name}": shape [${
        shape.join(", ")
      }] needs ${count} elements: ${data.length} were given`,
    );
  }
  return create<TensorProto>(TENSOR, {
    name,
    dims: [...shape],
    dataType: ELEMENT_TYPES[options.type ?? arrayType(data)],
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });
}

/**
 * Numbers as float32, whatever numeric type they were in.
 *
 * @param tensor The array.
 * @returns The same array when it is float32, a converted copy otherwise.
 *
 * @example Integers become floats
 * ```ts
 * import { toFloat32 } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * const floats = toFloat32({ type: "i32", shape: [2], data: new Int32Array([1, 2]) });
 * assertEquals([...floats], [1, 2]);
 * ```
 */
export function toFloat32(tensor: OnnxTensor): Float32Array<ArrayBuffer> {
  const { data } = tensor;
  return data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number);
}

/**
 * Numbers as plain numbers; meant for shapes and axes.
 *
 * @param tensor The array.
 * @returns The elements as numbers; 64-bit ones lose precision above 2^53.
 *
 * @example Axes
 * ```ts
 * import { toNumbers } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(toNumbers({ type: "i64", shape: [1], data: new BigInt64Array([-1n]) }), [-1]);
 * ```
 */
export function toNumbers(tensor: OnnxTensor): number[] {
  return Array.from(tensor.data as ArrayLike<number | bigint>, Number);
}

function arrayType(data: OnnxData): ElementType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Float64Array) return "f64";
  if (data instanceof Int8Array) return "i8";
  if (data instanceof Int16Array) return "i16";
  if (data instanceof Int32Array) return "i32";
  if (data instanceof Uint8Array) return "u8";
  if (data instanceof Uint16Array) return "u16";
  if (data instanceof Uint32Array) return "u32";
  if (data instanceof BigInt64Array) return "i64";
  return "u64";
}

type NumericType = Exclude<ElementType, "string">;

const WIDTHS: Readonly<Record<NumericType, number>> = {
  f32: 4,
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  i32: 4,
  i64: 8,
  bool: 1,
  f16: 2,
  f64: 8,
  u32: 4,
  u64: 8,
  bf16: 2,
};

function fromRaw(type: NumericType, raw: Uint8Array, label: string): OnnxData {
  const width = WIDTHS[type];
  if (raw.length % width !== 0) {
    throw new UserError(
      `Cannot read ${label}: it holds ${raw.length} bytes and ${type} takes ${width} each`,
    );
  }
  const aligned = raw.byteOffset % width === 0 && raw.buffer instanceof ArrayBuffer;
  const bytes = aligned ? raw : raw.slice();
  const buffer = bytes.buffer as ArrayBuffer;
  const length = raw.length / width;
  switch (type) {
    case "f32":
      return new Float32Array(buffer, bytes.byteOffset, length);
    case "f64":
      return new Float64Array(buffer, bytes.byteOffset, length);
    case "i8":
      return new Int8Array(buffer, bytes.byteOffset, length);
    case "i16":
      return new Int16Array(buffer, bytes.byteOffset, length);
    case "i32":
      return new Int32Array(buffer, bytes.byteOffset, length);
    case "u8":
    case "bool":
      return new Uint8Array(buffer, bytes.byteOffset, length);
    case "u16":
      return new Uint16Array(buffer, bytes.byteOffset, length);
    case "u32":
      return new Uint32Array(buffer, bytes.byteOffset, length);
    case "i64":
      return new BigInt64Array(buffer, bytes.byteOffset, length);
    case "u64":
      return new BigUint64Array(buffer, bytes.byteOffset, length);
    case "f16":
      return f16ToF32(new Uint16Array(buffer, bytes.byteOffset, length));
    case "bf16":
      return bf16ToF32(new Uint16Array(buffer, bytes.byteOffset, length));
  }
}

function fromFields(type: NumericType, proto: TensorProto): OnnxData {
  const label = `tensor "${proto.name ?? ""}"`;
  const none = new Uint8Array(0);
  switch (type) {
    case "f32":
      return fromRaw("f32", proto.floatData ?? none, label);
    case "f64":
      return fromRaw("f64", proto.doubleData ?? none, label);
    case "i64":
      return BigInt64Array.from(varints(proto.int64Data ?? none));
    case "u64":
      return BigUint64Array.from(varints(proto.uint64Data ?? none));
    case "u32":
      return Uint32Array.from(varints(proto.uint64Data ?? none), Number);
    default: {
      const numbers = varints(proto.int32Data ?? none).map((value) =>
        Number(BigInt.asIntN(32, value))
      );
      if (type === "f16") return f16ToF32(Uint16Array.from(numbers));
      if (type === "bf16") return bf16ToF32(Uint16Array.from(numbers));
      if (type === "i8") return Int8Array.from(numbers);
      if (type === "i16") return Int16Array.from(numbers);
      if (type === "u16") return Uint16Array.from(numbers);
      if (type === "i32") return Int32Array.from(numbers);
      return Uint8Array.from(numbers);
    }
  }
}

function varints(bytes: Uint8Array): bigint[] {
  const values: bigint[] = [];
  let value = 0n;
  let shift = 0n;
  for (const byte of bytes) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte < 0x80) {
      values.push(value);
      value = 0n;
      shift = 0n;
    }
  }
  return values;
}
