/**
 * The gradient of rows scaled to length one.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireMatrix } from "../_arguments.ts";
import { dispatchElementRows } from "../_element_rows.ts";
import { pointwiseKernel } from "../_pointwise.ts";
import { requirePositive, requireRows } from "../_rows.ts";
import type { L2NormalizeOptions } from "./mod.ts";
import source from "./l2_normalize_gradient.wgsl" with { type: "text" };
import { l2NormalizeRowsGradient } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "l2_normalize_gradient",
  wgsl: source,
  bindings: ["read", "read", "read_write"],
  params: { rows: "u32", columns: "u32", epsilon: "f32" },
});

const DEFAULT_EPSILON = 1e-12;

/** Tensors of {@linkcode l2NormalizeGradient}. */
export interface L2NormalizeGradientInputs {
  /** The rows before they were scaled, f32 [N, C] with C >= 1. */
  readonly x: Tensor;
  /** Gradient of the scaled rows, f32 [N, C]. */
  readonly dY: Tensor;
}

/** Options of {@linkcode l2NormalizeGradient}. */
export interface L2NormalizeGradientOptions extends L2NormalizeOptions {
  /** Where the gradient goes, instead of a new tensor; must not be an input. */
  readonly out?: Tensor;
}

/**
 * The gradient of `l2Normalize`: `(dY - y (y . dY)) / norm(x)` row by row, with `y = x / norm(x)`; for a
 * row shorter than epsilon `dY / epsilon`.
 *
 * f32, two reads of `x` and `dY`. Two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The rows before, and the gradient that comes in.
 * @param options The least length, where the gradient goes, and a forced variant.
 * @returns The gradient of `x`, f32 [N, C].
 * @throws {ShapeError} When `x` has not two axes or no column, or another tensor differs from it.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When epsilon is not positive, or the forced variant does not exist.
 *
 * @example A change along the row changes nothing
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { l2NormalizeGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([0, 2]), [1, 2]);
 * const dY = host.upload(new Float32Array([1, 1]), [1, 2]);
 * assertEquals([...l2NormalizeGradient(host, { x, dY }).data], [0.5, 0]);
 * ```
 */
export function l2NormalizeGradient(
  ctx: Context,
  { x, dY }: L2NormalizeGradientInputs,
  options: L2NormalizeGradientOptions = {},
): Tensor {
  const kernel = "l2NormalizeGradient";
  const { rows, columns } = requireRows(x, { kernel, name: "x" });
  requireMatrix(dY, { kernel, name: "dY", rows, columns });
  const epsilon = requirePositive(options.epsilon ?? DEFAULT_EPSILON, { kernel, name: "epsilon" });
  const dX = outputTensor(ctx, [rows, columns], { kernel, out: options.out });
  if (!isGpu(ctx)) {
    const problem = { rows, columns, epsilon };
    l2NormalizeRowsGradient({ x: hostFloats(x), dY: hostFloats(dY) }, hostFloats(dX), problem);
    return dX;
  }
  dispatchElementRows(ctx, {
    operation: kernel,
    kernel: KERNEL,
    buffers: [x, dY, dX],
    rows,
    columns,
    params: { epsilon },
    sweeps: 2,
    options,
  });
  return dX;
}
