/**
 * Arithmetic on shapes with open dimensions, by ONNX's rules of broadcasting, reducing, reshaping
 * and slicing.
 *
 * @module
 */

import type { OpenShape } from "./_known_values.ts";
import { type Dimension, dimensionProduct } from "./value_info.ts";

/** An axis counted from the front. */
export function wrap(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** A length and some more. */
export function plus(length: Dimension, more: number): Dimension {
  if (typeof length === "number") return length + more;
  return more === 0 ? length : "?";
}

/** What a file declares of a shape, with what was inferred where the declaration is open. */
export function mergeShapes(
  declared: OpenShape | undefined,
  inferred: OpenShape | undefined,
): OpenShape | undefined {
  if (declared === undefined || inferred === undefined) return declared ?? inferred;
  if (declared.length !== inferred.length) return declared;
  return declared.map((length, i) => {
    const other = inferred[i]!;
    if (typeof length === "number") return length;
    return typeof other === "number" || length === "?" ? other : length;
  });
}

/** The shape that two shapes are stretched to. */
export function broadcastShapes(a: OpenShape, b: OpenShape): OpenShape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    if (typeof x === "number") return x;
    return typeof y === "number" ? y : "?";
  });
}

/** What is left of a shape when some axes, or without axes all, are reduced. */
export function reduced(
  shape: OpenShape,
  { axes = [], keep }: { axes?: readonly number[] | undefined; keep: boolean },
): OpenShape {
  const all = axes.length === 0;
  const gone = new Set(axes.map((axis) => wrap(axis, shape.length)));
  if (keep) return shape.map((length, i) => all || gone.has(i) ? 1 : length);
  return all ? [] : shape.filter((_, i) => !gone.has(i));
}

/** The shape of a product of matrices, of stacks of them, or of a vector and a matrix. */
export function matmulShape(a: OpenShape, b: OpenShape): OpenShape | undefined {
  if (a.length === 0 || b.length === 0) return undefined;
  if (a.length === 1 || b.length === 1) {
    return [...a.slice(0, -1), ...(b.length === 1 ? [] : [...b.slice(0, -2), b.at(-1)!])];
  }
  const batch = broadcastShapes(a.slice(0, -2), b.slice(0, -2));
  return [...batch, a.at(-2)!, b.at(-1)!];
}

/** A matrix: the axes before one, and the rest. */
export function flattened(shape: OpenShape, axis: number): OpenShape {
  const at = wrap(axis, shape.length);
  return [dimensionProduct(shape.slice(0, at)), dimensionProduct(shape.slice(at))];
}

/** A target shape with its zeros (as in the input) and its -1 (what is left) filled in. */
export function reshaped(
  shape: OpenShape | undefined,
  { target, zeroIsZero }: { target: OpenShape; zeroIsZero: boolean },
): OpenShape {
  const result = target.map((length, i): Dimension =>
    length === 0 && !zeroIsZero ? shape?.[i] ?? "?" : length
  );
  const open = result.indexOf(-1);
  if (open < 0) return result;
  const rest = result.filter((_, i) => i !== open);
  result[open] = shape === undefined ? "?" : quotient(shape, rest);
  return result;
}

/** The dimension that makes `rest` hold as many elements as `shape`. */
function quotient(shape: OpenShape, rest: OpenShape): Dimension {
  const left = [...shape];
  for (const length of rest) {
    if (typeof length === "number") continue;
    const at = left.indexOf(length);
    if (at < 0 || length === "?") return "?";
    left.splice(at, 1);
  }
  const divisor = dimensionProduct(rest.filter((length) => typeof length === "number"));
  const names = left.filter((length) => typeof length === "string");
  const numbers = dimensionProduct(left.filter((length) => typeof length === "number"));
  if (typeof divisor !== "number" || typeof numbers !== "number" || divisor === 0) return "?";
  const ratio = numbers / divisor;
  if (!Number.isInteger(ratio)) return "?";
  if (names.length === 0) return ratio;
  return names.length === 1 && ratio === 1 ? names[0]! : "?";
}

/** A shape without some axes; without a list, without those of length 1. */
export function squeezed(shape: OpenShape, axes: readonly number[] | undefined): OpenShape {
  if (axes === undefined) return shape.filter((length) => length !== 1);
  const gone = new Set(axes.map((axis) => wrap(axis, shape.length)));
  return shape.filter((_, i) => !gone.has(i));
}

/** A shape with axes of length 1 put in. */
export function unsqueezed(shape: OpenShape, axes: readonly number[]): OpenShape {
  const rank = shape.length + axes.length;
  const added = new Set(axes.map((axis) => wrap(axis, rank)));
  const rest = [...shape];
  return Array.from({ length: rank }, (_, i) => added.has(i) ? 1 : rest.shift() ?? "?");
}

/** The length of a range of an axis. */
export function sliced(
  length: Dimension,
  { start, end, step }: { start: number; end: number; step: number },
): Dimension {
  if (typeof length !== "number") return start === 0 && end >= 2 ** 31 - 1 ? length : "?";
  const clamp = (index: number, low: number, high: number) =>
    Math.min(Math.max(index < 0 ? index + length : index, low), high);
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const from = clamp(start, low, high);
  const to = clamp(end, low, high);
  return Math.max(0, Math.ceil((to - from) / step));
}
