/**
 * How a constant meets the elements of a value.
 *
 * @module
 */

import { type OnnxTensor, toFloat32 } from "../tensor.ts";
import { endsWith, type Factor, type Layout, product } from "./_layout.ts";

/** What a constant is to a value. */
export type Spread =
  /** One number. */
  | { readonly kind: "scalar" }
  /** A vector over what lies last in memory, element by element in the constant's own order. */
  | { readonly kind: "channels"; readonly count: number }
  /** Something that can be spread out to such a vector, as {@linkcode spreadOut} does. */
  | { readonly kind: "spread"; readonly count: number; readonly factors: readonly Factor[] }
  | { readonly kind: "other" };

/**
 * What a constant is to a value that it is put together with by ONNX's rules of broadcasting.
 *
 * @param constant The constant.
 * @param layout How the value lies in memory.
 * @returns Which of them.
 */
export function spreadOf(constant: OnnxTensor, layout: Layout): Spread {
  const { shape } = constant;
  const lead = layout.rank - shape.length;
  if (lead < 0) return { kind: "other" };
  if (shape.every((length) => length === 1)) return { kind: "scalar" };
  const varying: Factor[] = [];
  for (let i = 0; i < shape.length; i++) {
    if (shape[i] === 1) continue;
    if (layout.length(lead + i) !== shape[i]) return { kind: "other" };
    varying.push(...layout.axes[lead + i]!);
  }
  if (endsWith(layout.memory, varying)) return { kind: "channels", count: product(varying) };
  const own = new Set(varying);
  const first = layout.memory.findIndex((factor) => own.has(factor));
  const factors = layout.memory.slice(first);
  if (factors.some(({ batch }) => batch)) return { kind: "other" };
  return { kind: "spread", count: product(factors), factors };
}

/**
 * A constant as a vector over what lies last in the memory of a value.
 *
 * @param constant The constant, which is {@linkcode Spread} so.
 * @param layout How the value lies in memory.
 * @param factors What the vector runs over.
 * @returns One number for each element of them.
 */
export function spreadOut(
  constant: OnnxTensor,
  layout: Layout,
  factors: readonly Factor[],
): Float32Array<ArrayBuffer> {
  const data = toFloat32(constant);
  const { shape } = constant;
  const lead = layout.rank - shape.length;
  const strides = new Map<Factor, number>();
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] === 1) continue;
    for (const factor of layout.axes[lead + i]!.toReversed()) {
      strides.set(factor, stride);
      stride *= factor.size!;
    }
  }
  return Float32Array.from({ length: product(factors) }, (_, index) => {
    let [rest, at] = [index, 0];
    for (const factor of factors.toReversed()) {
      at += (rest % factor.size!) * (strides.get(factor) ?? 0);
      rest = Math.floor(rest / factor.size!);
    }
    return data[at]!;
  });
}
