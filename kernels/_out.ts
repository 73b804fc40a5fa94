/**
 * Where an operation writes: a new tensor, or one that the caller gives.
 *
 * @module
 */

import type { Context, DType, Tensor } from "../runtime/mod.ts";
import { type Argument, requireDType, requireShape } from "./_arguments.ts";

/** Option of every operation whose result can be a gradient, a parameter or a state. */
export interface OutOption {
  /** Written instead of a new tensor, and returned; of the result's shape, none of the inputs. */
  readonly out?: Tensor | undefined;
}

/**
 * The tensor that a result goes to.
 *
 * @param ctx Makes it where none is given.
 * @param out The one given.
 * @param result Operation, name of the option, shape, and element type (f32 unless told).
 * @returns The tensor.
 * @throws {ShapeError} When the given one has another shape.
 * @throws {DTypeError} When it holds something else.
 */
export function outputOf(
  ctx: Context,
  out: Tensor | undefined,
  result: Argument & { readonly shape: readonly number[]; readonly dtype?: DType },
): Tensor {
  const { kernel, name, shape, dtype = "f32" } = result;
  if (out === undefined) {
    const label = name === "out" ? kernel : `${kernel} ${name}`;
    return ctx.empty(shape, dtype, { label });
  }
  requireDType(out, dtype, result);
  requireShape(out, shape, result);
  return out;
}
