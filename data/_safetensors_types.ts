/** The words of the safetensors format: element types, arrays, and where they stand in a file. */

/** The element types that can be read and written here. */
export type SafetensorsDType =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U32"
  | "U16"
  | "U8"
  | "BOOL";

/** The typed arrays that hold an array of a file: F16 and BF16 as f32, I64 as i32, BOOL as u8. */
export type SafetensorsData =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** An array of a file, in memory. */
export interface SafetensorsArray {
  /** The elements, row-major. */
  readonly data: SafetensorsData;
  /** The dimensions; none for a single number. */
  readonly shape: readonly number[];
  /**
   * The element type in the file; when writing, the data's own type if left out. f32 data can be
   * written as F16 or BF16, i32 data as I64, u8 data as BOOL.
   */
  readonly dtype?: SafetensorsDType;
}

/** Where an array stands in a file. */
export interface SafetensorsEntry {
  /** Its name. */
  readonly name: string;
  /** Its element type as the header spells it; other than `SafetensorsDType` it can't be read. */
  readonly dtype: string;
  /** Its dimensions. */
  readonly shape: readonly number[];
  /** Its first byte, from the beginning of the file. */
  readonly offset: number;
  /** How many bytes it takes. */
  readonly bytes: number;
}

/** What the header of a file says. */
export interface SafetensorsHeader {
  /** The arrays by name, in the order of their bytes. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  /** The strings of `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** An array that a writer shall hold. */
export interface SafetensorsSpec {
  /** Its element type. */
  readonly dtype: SafetensorsDType;
  /** Its dimensions. */
  readonly shape: readonly number[];
}

/** All arrays of a file and its metadata, in memory. */
export interface SafetensorsContent {
  /** The arrays by name. */
  readonly tensors: Readonly<Record<string, SafetensorsArray>>;
  /** The strings of `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
}
