/**
 * What is known of a value: its element type, and its shape with dimensions that may be open.
 *
 * @module
 */

import type { ElementType } from "./proto/mod.ts";

/** A dimension: its length, its name when it is open, or `"?"` when nothing is known of it. */
export type Dimension = number | string;

/** A value's name with what the file or inference knows of it. */
export interface ValueInfo {
  /** The value's name. */
  readonly name: string;
  /** The element type, when known. */
  readonly type?: ElementType;
  /** The shape, when the rank is known. */
  readonly shape?: readonly Dimension[];
}

/**
 * Multiplies dimensions.
 *
 * @param shape The dimensions.
 * @returns A number when all are fixed, a name when it is the only factor besides ones, else `"?"`.
 *
 * @example A batch of vectors
 * ```ts
 * import { dimensionProduct } from "@oodgpu/oodgpu/onnx";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals([dimensionProduct([64, 1, 1]), dimensionProduct(["N", 1])], [64, "N"]);
 * ```
 */
export function dimensionProduct(shape: readonly Dimension[]): Dimension {
  const names = shape.filter((length) => typeof length === "string");
  const numbers = shape.filter((length) => typeof length === "number");
  const product = numbers.reduce((a, b) => a * b, 1);
  if (names.length === 0 || product === 0) return product;
  return names.length === 1 && product === 1 ? names[0]! : "?";
}
