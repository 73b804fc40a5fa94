/**
 * The messages of an ONNX file as plain objects, and the tables that map their field numbers.
 *
 * Field numbers and names are those of the ONNX format (onnx.proto, IR version 3 to 13). Fields
 * that are not named here are kept byte for byte in `unknown` and written back at their place.
 *
 * @module
 */

/** A field that the tables do not name: its number, and its bytes with the tag in front. */
export interface UnknownField {
  /** The field's number. */
  readonly number: number;
  /** The tag and the value, as they stood in the file. */
  readonly bytes: Uint8Array;
}

/** What all messages have in common. */
export interface Message {
  /** Fields that this project does not read, in file order. */
  unknown?: UnknownField[];
}

/** A key and a value: metadata, or where external data lies. */
export interface StringStringEntryProto extends Message {
  /** The key. */
  key?: string;
  /** The value. */
  value?: string;
}

/** A version of an operator set. */
export interface OperatorSetIdProto extends Message {
  /** The operators' domain; absent or empty for ONNX's own. */
  domain?: string;
  /** The version. */
  version?: number;
}

/** One dimension of a shape: a number, a name, or nothing when it is not known. */
export interface DimensionProto extends Message {
  /** The length, where it is fixed. */
  dimValue?: number;
  /** The name, where it is open. */
  dimParam?: string;
  /** What the dimension means, for example `DATA_BATCH`. */
  denotation?: string;
}

/** A shape. */
export interface TensorShapeProto extends Message {
  /** The dimensions, outermost first. */
  dim: DimensionProto[];
}

/** The type of a tensor. */
export interface TensorTypeProto extends Message {
  /** An element type, see `ELEMENT_TYPES`. */
  elemType?: number;
  /** The shape; absent when not even the rank is known. */
  shape?: TensorShapeProto;
}

/** The type of a value; only tensors are read, the others are kept as they are. */
export interface TypeProto extends Message {
  /** Set when the value is a tensor. */
  tensorType?: TensorTypeProto;
}

/** A named value with its type. */
export interface ValueInfoProto extends Message {
  /** The value's name. */
  name?: string;
  /** The value's type. */
  type?: TypeProto;
  /** Text for people. */
  docString?: string;
}

/** Array data: an initialiser, or a tensor in an attribute. */
export interface TensorProto extends Message {
  /** The shape. */
  dims: number[];
  /** An element type, see `ELEMENT_TYPES`. */
  dataType?: number;
  /** Elements as packed float32 (float32 and complex64). */
  floatData?: Uint8Array;
  /** Elements as packed varints (integers up to 32 bits, bool, float16 and bfloat16 bits). */
  int32Data?: Uint8Array;
  /** Elements of a string tensor. */
  stringData: Uint8Array[];
  /** Elements as packed varints (int64). */
  int64Data?: Uint8Array;
  /** The name. */
  name?: string;
  /** Elements as little-endian bytes. */
  rawData?: Uint8Array;
  /** Elements as packed float64 (float64 and complex128). */
  doubleData?: Uint8Array;
  /** Elements as packed varints (uint32 and uint64). */
  uint64Data?: Uint8Array;
  /** Text for people. */
  docString?: string;
  /** Where the data lies when it is not in this file: location, offset, length. */
  externalData: StringStringEntryProto[];
  /** 1 when the data is external. */
  dataLocation?: number;
}

/** A constant that stores only its non-zero elements; what is read of it is its name. */
export interface SparseTensorProto extends Message {
  /** The non-zero elements, which carry the name. */
  values?: TensorProto;
}

/** A named attribute of a node; `type` says which field holds the value. */
export interface AttributeProto extends Message {
  /** The name. */
  name?: string;
  /** A float. */
  f?: number;
  /** An integer. */
  i?: bigint;
  /** A string, as UTF-8. */
  s?: Uint8Array;
  /** A tensor. */
  t?: TensorProto;
  /** A graph. */
  g?: GraphProto;
  /** Floats. */
  floats: number[];
  /** Integers. */
  ints: bigint[];
  /** Strings, as UTF-8. */
  strings: Uint8Array[];
  /** Text for people. */
  docString?: string;
  /** Which of the fields holds the value, see `ATTRIBUTE_TYPES`. */
  type?: number;
}

/** One operation. */
export interface NodeProto extends Message {
  /** Names of the inputs; an empty name is an optional input that is left out. */
  input: string[];
  /** Names of the outputs. */
  output: string[];
  /** The node's name, often absent. */
  name?: string;
  /** The operator. */
  opType?: string;
  /** The attributes. */
  attribute: AttributeProto[];
  /** Text for people. */
  docString?: string;
  /** The operator's domain; absent or empty for ONNX's own. */
  domain?: string;
}

/** A graph: nodes in an order in which they can run, with its constants, inputs and outputs. */
export interface GraphProto extends Message {
  /** The nodes. */
  node: NodeProto[];
  /** The graph's name. */
  name?: string;
  /** The constants. */
  initializer: TensorProto[];
  /** Text for people. */
  docString?: string;
  /** The inputs; old files list the initialisers here too. */
  input: ValueInfoProto[];
  /** The outputs. */
  output: ValueInfoProto[];
  /** Types of values in between. */
  valueInfo: ValueInfoProto[];
  /** Sparse constants. */
  sparseInitializer: SparseTensorProto[];
}

/** A whole ONNX file. */
export interface ModelProto extends Message {
  /** The version of the file format. */
  irVersion?: number;
  /** The program that wrote the file. */
  producerName?: string;
  /** That program's version. */
  producerVersion?: string;
  /** The model's name space. */
  domain?: string;
  /** The model's version. */
  modelVersion?: bigint;
  /** Text for people. */
  docString?: string;
  /** The graph. */
  graph?: GraphProto;
  /** The operator sets that the nodes are written for. */
  opsetImport: OperatorSetIdProto[];
  /** Free metadata. */
  metadataProps: StringStringEntryProto[];
  /** Functions that nodes may call, each kept as the bytes of its message. */
  functions: Uint8Array[];
}

/** How a field is stored. `size` is an int64 that is read as a number. */
export type FieldKind =
  | "string"
  | "bytes"
  | "int64"
  | "size"
  | "float"
  | "packed32"
  | "packed64"
  | "packed";

/** One line of a message's table. */
export interface Field {
  /** The property that holds the value. */
  readonly key: string;
  /** How the value is stored: a scalar kind, or the message's table. */
  readonly kind: FieldKind | MessageTable;
  /** True when the field is a list. */
  readonly repeated: boolean;
}

/** The fields of a message by number. */
export interface MessageTable {
  /** The message's name, for errors. */
  readonly name: string;
  /** The fields by number. */
  readonly fields: ReadonlyMap<number, Field>;
}

type Line = readonly [number, string, FieldKind | MessageTable, "repeated"?];

function table(name: string, lines: readonly Line[]): MessageTable {
  return { name, fields: toFields(lines) };
}

function toFields(lines: readonly Line[]): Map<number, Field> {
  return new Map(lines.map(([number, key, kind, repeated]) => [
    number,
    { key, kind, repeated: repeated !== undefined },
  ]));
}

/** Table of {@linkcode StringStringEntryProto}. */
export const STRING_STRING_ENTRY: MessageTable = table("StringStringEntryProto", [
  [1, "key", "string"],
  [2, "value", "string"],
]);

/** Table of {@linkcode OperatorSetIdProto}. */
export const OPERATOR_SET_ID: MessageTable = table("OperatorSetIdProto", [
  [1, "domain", "string"],
  [2, "version", "size"],
]);

/** Table of {@linkcode DimensionProto}. */
export const DIMENSION: MessageTable = table("Dimension", [
  [1, "dimValue", "size"],
  [2, "dimParam", "string"],
  [3, "denotation", "string"],
]);

/** Table of {@linkcode TensorShapeProto}. */
export const TENSOR_SHAPE: MessageTable = table("TensorShapeProto", [
  [1, "dim", DIMENSION, "repeated"],
]);

/** Table of {@linkcode TensorTypeProto}. */
export const TENSOR_TYPE: MessageTable = table("TypeProto.Tensor", [
  [1, "elemType", "size"],
  [2, "shape", TENSOR_SHAPE],
]);

/** Table of {@linkcode TypeProto}. */
export const TYPE: MessageTable = table("TypeProto", [
  [1, "tensorType", TENSOR_TYPE],
]);

/** Table of {@linkcode ValueInfoProto}. */
export const VALUE_INFO: MessageTable = table("ValueInfoProto", [
  [1, "name", "string"],
  [2, "type", TYPE],
  [3, "docString", "string"],
]);

/** Table of {@linkcode TensorProto}. */
export const TENSOR: MessageTable = table("TensorProto", [
  [1, "dims", "size", "repeated"],
  [2, "dataType", "size"],
  [4, "floatData", "packed32"],
  [5, "int32Data", "packed"],
  [6, "stringData", "bytes", "repeated"],
  [7, "int64Data", "packed"],
  [8, "name", "string"],
  [9, "rawData", "bytes"],
  [10, "doubleData", "packed64"],
  [11, "uint64Data", "packed"],
  [12, "docString", "string"],
  [13, "externalData", STRING_STRING_ENTRY, "repeated"],
  [14, "dataLocation", "size"],
]);

/** Table of {@linkcode SparseTensorProto}. */
export const SPARSE_TENSOR: MessageTable = table("SparseTensorProto", [
  [1, "values", TENSOR],
]);

// Attributes hold graphs and graphs hold attributes, so this table is filled in two steps.
const attributeFields = new Map<number, Field>();

/** Table of {@linkcode AttributeProto}. */
export const ATTRIBUTE: MessageTable = { name: "AttributeProto", fields: attributeFields };

/** Table of {@linkcode NodeProto}. */
export const NODE: MessageTable = table("NodeProto", [
  [1, "input", "string", "repeated"],
  [2, "output", "string", "repeated"],
  [3, "name", "string"],
  [4, "opType", "string"],
  [5, "attribute", ATTRIBUTE, "repeated"],
  [6, "docString", "string"],
  [7, "domain", "string"],
]);

/** Table of {@linkcode GraphProto}. */
export const GRAPH: MessageTable = table("GraphProto", [
  [1, "node", NODE, "repeated"],
  [2, "name", "string"],
  [5, "initializer", TENSOR, "repeated"],
  [10, "docString", "string"],
  [11, "input", VALUE_INFO, "repeated"],
  [12, "output", VALUE_INFO, "repeated"],
  [13, "valueInfo", VALUE_INFO, "repeated"],
  [15, "sparseInitializer", SPARSE_TENSOR, "repeated"],
]);

for (
  const [number, field] of toFields([
    [1, "name", "string"],
    [2, "f", "float"],
    [3, "i", "int64"],
    [4, "s", "bytes"],
    [5, "t", TENSOR],
    [6, "g", GRAPH],
    [7, "floats", "float", "repeated"],
    [8, "ints", "int64", "repeated"],
    [9, "strings", "bytes", "repeated"],
    [13, "docString", "string"],
    [20, "type", "size"],
  ])
) attributeFields.set(number, field);

/** Table of {@linkcode ModelProto}. */
export const MODEL: MessageTable = table("ModelProto", [
  [1, "irVersion", "size"],
  [2, "producerName", "string"],
  [3, "producerVersion", "string"],
  [4, "domain", "string"],
  [5, "modelVersion", "int64"],
  [6, "docString", "string"],
  [7, "graph", GRAPH],
  [8, "opsetImport", OPERATOR_SET_ID, "repeated"],
  [14, "metadataProps", STRING_STRING_ENTRY, "repeated"],
  [25, "functions", "bytes", "repeated"],
]);

/** An element type by name. */
export type ElementType =
  | "f32"
  | "u8"
  | "i8"
  | "u16"
  | "i16"
  | "i32"
  | "i64"
  | "string"
  | "bool"
  | "f16"
  | "f64"
  | "u32"
  | "u64"
  | "bf16";

/** Numbers of the element types in a file. */
export const ELEMENT_TYPES: Readonly<Record<ElementType, number>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  u16: 4,
  i16: 5,
  i32: 6,
  i64: 7,
  string: 8,
  bool: 9,
  f16: 10,
  f64: 11,
  u32: 12,
  u64: 13,
  bf16: 16,
};

/** Numbers of the attribute types in a file. */
export const ATTRIBUTE_TYPES = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;
