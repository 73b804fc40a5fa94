/**
 * Checks that operations make of their tensors before they record anything: WebGPU's own errors
 * come late and point nowhere.
 *
 * @module
 */

import {
  type Context,
  type DType,
  DTypeError,
  type Shape,
  ShapeError,
  type Tensor,
} from "../runtime/mod.ts";

/** Which operation and argument a check speaks of. */
export interface Argument {
  /** The operation's name. */
  readonly kernel: string;
  /** The argument's name. */
  readonly name: string;
}

/**
 * Checks the element type.
 *
 * @throws {DTypeError} When it differs.
 */
export function requireDType(tensor: Tensor, expected: DType, argument: Argument): void {
  if (tensor.dtype === expected) return;
  throw new DTypeError(argument.kernel, argument.name, { expected, actual: tensor.dtype });
}

/**
 * Checks a shape; `null` takes any length, a string names that axis in the message.
 *
 * @returns The shape's lengths.
 * @throws {ShapeError} When the number of axes or a length differs.
 */
export function requireShape(
  tensor: Tensor,
  expected: readonly (number | string)[],
  argument: Argument,
): readonly number[] {
  const fits = tensor.shape.length === expected.length &&
    expected.every((length, axis) => typeof length === "string" || length === tensor.shape[axis]);
  if (fits) return tensor.shape;
  throw new ShapeError(argument.kernel, argument.name, {
    expected: `[${expected.join(", ")}]`,
    actual: tensor.shape,
  });
}

/**
 * Checks an f32 matrix.
 *
 * @returns Rows and columns.
 * @throws {DTypeError} When it does not hold f32.
 * @throws {ShapeError} When it has not two axes, or another number of columns.
 */
export function requireMatrix(
  tensor: Tensor,
  argument: Argument & { readonly rows?: number; readonly columns?: number },
): [rows: number, columns: number] {
  requireDType(tensor, "f32", argument);
  const expected = [argument.rows ?? "rows", argument.columns ?? "columns"];
  const [rows, columns] = requireShape(tensor, expected, argument);
  return [rows!, columns!];
}

/**
 * Checks an f32 vector.
 *
 * @throws {DTypeError} When it does not hold f32.
 * @throws {ShapeError} When it has not one axis of that length.
 */
export function requireVector(
  tensor: Tensor,
  argument: Argument & { readonly length: number },
): void {
  requireDType(tensor, "f32", argument);
  requireShape(tensor, [argument.length], argument);
}

/** What {@linkcode outputTensor} makes or checks. */
export interface Output {
  /** The operation's name. */
  readonly kernel: string;
  /** The tensor to write into, where the caller gives one. */
  readonly out?: Tensor | undefined;
  /** The argument's name, `out` by default. */
  readonly name?: string;
  /** The element type, f32 by default. */
  readonly dtype?: DType;
}

/**
 * The tensor that an operation writes: the caller's `out`, or a new one.
 *
 * @returns A tensor of that shape.
 * @throws {DTypeError} When `out` has another element type.
 * @throws {ShapeError} When `out` has another shape.
 */
export function outputTensor(ctx: Context, shape: Shape, output: Output): Tensor {
  const { kernel, out, name = "out", dtype = "f32" } = output;
  if (out === undefined) {
    return ctx.empty(shape, dtype, { label: name === "out" ? kernel : `${kernel} ${name}` });
  }
  requireDType(out, dtype, { kernel, name });
  requireShape(out, shape, { kernel, name });
  return out;
}

/** The elements of a host tensor that holds f32. */
export function hostFloats(tensor: Tensor): Float32Array<ArrayBuffer> {
  return tensor.data as Float32Array<ArrayBuffer>;
}
