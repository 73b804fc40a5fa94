/**
 * Softmax of the rows of a matrix.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats } from "../_arguments.ts";
import {
  dispatchRows,
  requirePositive,
  requireRows,
  rowKernels,
  type RowShape,
  type TemperatureOptions,
} from "../_rows.ts";
import type { RowInputs } from "../row_reduce/mod.ts";
import { softmaxRows } from "./reference.ts";
import main from "./softmax.wgsl" with { type: "text" };
import naive from "./softmax_naive.wgsl" with { type: "text" };

const KERNELS = /* @__PURE__ */ rowKernels("softmax", { naive, main }, {
  inputs: 1,
  wide: true,
  params: { temperature: "f32" },
  turns: { naive: 3, main: 2 },
});

/**
 * Softmax of rows: `exp(x / T) / sum(exp(x / T))`.
 *
 * f32 [N, C] to f32 [N, C]. Shifted by the row's maximum, so that nothing overflows; maximum and sum
 * come from one read of `x`. Two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options The temperature `T`, and a forced variant.
 * @returns The probabilities, f32 [N, C].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 * @throws {RangeError} When the temperature is not positive.
 *
 * @example Equal logits
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { softmax } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1e4, 1e4]), [1, 2]);
 * assertEquals([...softmax(host, { x }).data], [0.5, 0.5]);
 * ```
 */
export function softmax(
  ctx: Context,
  { x }: RowInputs,
  options: TemperatureOptions = {},
): Tensor {
  const { rows, columns } = requireRows(x, { kernel: "softmax", name: "x" });
  const temperature = requirePositive(options.temperature ?? 1, {
    kernel: "softmax",
    name: "temperature",
  });
  const output = ctx.empty([rows, columns], "f32", { label: "softmax" });
  if (!isGpu(ctx)) {
    softmaxRows(hostFloats(x), hostFloats(output), { rows, columns, temperature });
    return output;
  }
  dispatchRows(ctx, {
    operation: "softmax",
    kernels: KERNELS,
    rows,
    columns,
    inputs: [x],
    output,
    options,
    params: { temperature },
  });
  return output;
}

/**
 * Floating-point operations of one softmax: a difference, a product, an exponential and a sum per
 * element, then a product.
 *
 * @param shape The matrix.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { softmaxFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(softmaxFlops({ rows: 2, columns: 8 }), 80);
 * ```
 */
export function softmaxFlops(shape: RowShape): number {
  return 5 * shape.rows * shape.columns;
}

/**
 * Bytes that one softmax must move: one read and one write of the matrix.
 *
 * @param shape The matrix.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { softmaxBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(softmaxBytes({ rows: 2, columns: 8 }), 128);
 * ```
 */
export function softmaxBytes(shape: RowShape): number {
  return 8 * shape.rows * shape.columns;
}
