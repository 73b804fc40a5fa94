/**
 * Reads and writes protobuf messages by table, without generated code and without `eval`.
 *
 * Large byte fields are never copied while reading: they are views of the file's bytes.
 *
 * @module
 */

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Field, FieldKind, Message, MessageTable } from "./schema.ts";

type Fields = Record<string, unknown> & Message;

// Subgraphs nest in attributes; real files nest a handful of levels, so a deeper one is garbage.
const MAX_DEPTH = 64;

// Messages below this size are copied into their parent's buffer; larger ones stay chunks.
const INLINE_BYTES = 4096;

/**
 * Reads one message.
 *
 * @param type The message's table.
 * @param bytes The message's bytes; byte fields of the result are views of them.
 * @returns The message as a plain object; lists are always there, scalars only when set.
 * @throws {RangeError} When the bytes end within a field.
 * @throws {Error} When the bytes are no protobuf message of this type.
 */
export function decode<T>(type: MessageTable, bytes: Uint8Array): T {
  return decodeMessage(type, bytes, 0) as T;
}

/**
 * Makes a message with empty lists, to be filled.
 *
 * @param type The message's table.
 * @param values The fields to set.
 * @returns The message.
 */
export function create<T>(type: MessageTable, values: Partial<T>): T {
  const message: Fields = {};
  for (const field of type.fields.values()) if (field.repeated) message[field.key] = [];
  return Object.assign(message, values) as T;
}

/**
 * Writes one message: fields by number, lists as ONNX packs them.
 *
 * @param type The message's table.
 * @param message The message.
 * @returns The bytes.
 * @throws {RangeError} When the message takes more than 2 GiB, protobuf's limit.
 */
export function encode<T>(type: MessageTable, message: T): Uint8Array<ArrayBuffer> {
  const chunks = encodeMessage(type, message as Fields);
  if (chunks.length > 0x7fffffff) {
    throw new RangeError(
      `Cannot write ${type.name}: it takes ${chunks.length} bytes and protobuf ends at 2 GiB`,
    );
  }
  const result = new Uint8Array(chunks.length);
  let offset = 0;
  for (const part of chunks.parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

function decodeMessage(type: MessageTable, bytes: Uint8Array, depth: number): Fields {
  if (depth > MAX_DEPTH) throw new Error(`${type.name} is nested too deep`);
  const message: Fields = create<Fields>(type, {});
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const field = type.fields.get(number);
    if (field === undefined || !accepts(field, wireType)) {
      reader.skip(wireType, number);
      (message.unknown ??= []).push({ number, bytes: bytes.subarray(start, reader.pos) });
    } else {
      decodeField({ message, field, reader, wireType, depth });
    }
  }
  return message;
}

/** Where a field's value goes and where it comes from. */
interface FieldContext {
  message: Fields;
  field: Field;
  reader: BinaryReader;
  wireType: WireType;
  depth: number;
}

function decodeField({ message, field, reader, wireType, depth }: FieldContext): void {
  const { key, kind, repeated } = field;
  if (kind === "packed" || kind === "packed32" || kind === "packed64") {
    const piece = wireType === WireType.LengthDelimited ? reader.bytes() : reader.skip(wireType);
    const before = message[key] as Uint8Array | undefined;
    message[key] = before === undefined ? piece : concat(before, piece);
    return;
  }
  if (!repeated) {
    message[key] = decodeValue(kind, reader, depth);
    return;
  }
  const list = message[key] as unknown[];
  if (wireType === WireType.LengthDelimited && isNumeric(kind)) {
    const end = reader.uint32() + reader.pos;
    if (end > reader.len) throw new RangeError("Premature end of a packed list");
    while (reader.pos < end) list.push(decodeValue(kind, reader, depth));
  } else {
    list.push(decodeValue(kind, reader, depth));
  }
}

function decodeValue(kind: FieldKind | MessageTable, reader: BinaryReader, depth: number): unknown {
  switch (kind) {
    case "string":
      return reader.string();
    case "bytes":
      return reader.bytes();
    case "int64":
      return BigInt(reader.int64());
    case "size":
      return Number(reader.int64());
    case "float":
      return reader.float();
    case "packed":
    case "packed32":
    case "packed64":
      throw new TypeError("Cannot decode a packed list as one value");
    default:
      return decodeMessage(kind, reader.bytes(), depth + 1);
  }
}

function isNumeric(kind: FieldKind | MessageTable): boolean {
  return kind === "int64" || kind === "size" || kind === "float";
}

function accepts({ kind, repeated }: Field, wireType: WireType): boolean {
  switch (kind) {
    case "int64":
    case "size":
      return wireType === WireType.Varint || repeated && wireType === WireType.LengthDelimited;
    case "float":
      return wireType === WireType.Bit32 || repeated && wireType === WireType.LengthDelimited;
    case "packed":
      return wireType === WireType.Varint || wireType === WireType.LengthDelimited;
    case "packed32":
      return wireType === WireType.Bit32 || wireType === WireType.LengthDelimited;
    case "packed64":
      return wireType === WireType.Bit64 || wireType === WireType.LengthDelimited;
    default:
      return wireType === WireType.LengthDelimited;
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const result = new Uint8Array(a.length + b.length);
  result.set(a);
  result.set(b, a.length);
  return result;
}

/** Bytes in pieces, so that a large initialiser is copied once and not once per level. */
interface Chunks {
  parts: Uint8Array[];
  length: number;
}

function encodeMessage(type: MessageTable, message: Fields): Chunks {
  const chunks: Chunks = { parts: [], length: 0 };
  const writer = new BinaryWriter();
  const append = (parts: readonly Uint8Array[], length: number) => {
    if (length < INLINE_BYTES) {
      for (const part of parts) writer.raw(part);
      return;
    }
    const head = writer.finish();
    chunks.parts.push(head, ...parts);
    chunks.length += head.length + length;
  };
  const unknown = [...message.unknown ?? []];
  for (const [number, field] of type.fields) {
    while (unknown.length > 0 && unknown[0]!.number < number) {
      const { bytes } = unknown.shift()!;
      append([bytes], bytes.length);
    }
    const value = message[field.key];
    if (value === undefined) continue;
    const values = field.repeated ? value as unknown[] : [value];
    for (const item of values) encodeValue({ number, kind: field.kind, writer, append }, item);
  }
  for (const { bytes } of unknown) append([bytes], bytes.length);
  const tail = writer.finish();
  chunks.parts.push(tail);
  chunks.length += tail.length;
  return chunks;
}

/** Where a field's value is written. */
interface ValueTarget {
  number: number;
  kind: FieldKind | MessageTable;
  writer: BinaryWriter;
  append: (parts: readonly Uint8Array[], length: number) => void;
}

function encodeValue({ number, kind, writer, append }: ValueTarget, value: unknown): void {
  switch (kind) {
    case "string":
      writer.tag(number, WireType.LengthDelimited).string(value as string);
      return;
    case "int64":
    case "size":
      writer.tag(number, WireType.Varint).int64(BigInt(value as number | bigint));
      return;
    case "float":
      writer.tag(number, WireType.Bit32).float(value as number);
      return;
    case "bytes":
    case "packed":
    case "packed32":
    case "packed64": {
      const bytes = value as Uint8Array;
      writer.tag(number, WireType.LengthDelimited).uint32(bytes.length);
      append([bytes], bytes.length);
      return;
    }
    default: {
      const chunks = encodeMessage(kind, value as Fields);
      writer.tag(number, WireType.LengthDelimited).uint32(chunks.length);
      append(chunks.parts, chunks.length);
    }
  }
}
