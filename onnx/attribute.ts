/**
 * Making the attributes of nodes.
 *
 * @module
 */

import {
  ATTRIBUTE,
  ATTRIBUTE_TYPES,
  type AttributeProto,
  create,
  type TensorProto,
} from "./proto/mod.ts";

/**
 * An attribute's value. A plain number is a float and a bigint an integer, so that `1` and `1n`
 * differ as ONNX's types do; a list likewise.
 */
export type AttributeValue =
  | number
  | bigint
  | string
  | readonly number[]
  | readonly bigint[]
  | readonly string[]
  | TensorProto;

/**
 * Makes an attribute; the value's kind says which of ONNX's types it has.
 *
 * @param name The attribute's name.
 * @param value The value; an empty list is a list of integers.
 * @returns The attribute.
 *
 * @example An integer
 * ```ts
 * import { makeAttribute } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(makeAttribute("axis", 1n).i, 1n);
 * ```
 */
export function makeAttribute(name: string, value: AttributeValue): AttributeProto {
  const make = (type: keyof typeof ATTRIBUTE_TYPES, fields: Partial<AttributeProto>) =>
    create<AttributeProto>(ATTRIBUTE, { name, type: ATTRIBUTE_TYPES[type], ...fields });
  if (typeof value === "number") return make("float", { f: Math.fround(value) });
  if (typeof value === "bigint") return make("int", { i: value });
  if (typeof value === "string") return make("string", { s: new TextEncoder().encode(value) });
  if (!Array.isArray(value)) return make("tensor", { t: value as TensorProto });
  const [first] = value as readonly unknown[];
  if (typeof first === "number") return make("floats", { floats: [...value as number[]] });
  if (typeof first === "string") {
    return make("strings", {
      strings: (value as string[]).map((text) => new TextEncoder().encode(text)),
    });
  }
  return make("ints", { ints: [...value as bigint[]] });
}
