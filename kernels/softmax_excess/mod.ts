/**
 * How far the largest softmax of the rows of a matrix lies above chance.
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
import { softmaxExcessOfRows } from "./reference.ts";
import main from "./softmax_excess.wgsl" with { type: "text" };
import naive from "./softmax_excess_naive.wgsl" with { type: "text" };

const KERNELS = /* @__PURE__ */ rowKernels("softmax_excess", { naive, main }, {
  inputs: 1,
  wide: false,
  params: { temperature: "f32" },
  turns: { naive: 2, main: 3 },
});

/**
 * How far the largest softmax of each row lies above chance: `T * (1 - 1 / (C * p))` with
 * `p = max(softmax(x / T))`.
 *
 * f32 [N, C] to f32 [N]. It grows with `p` and so ranks rows as `p` does, but keeps its digits where
 * all probabilities are close to 1 / C, as at high temperatures: there it goes to the row's maximum
 * less its mean. Two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options The temperature `T`, and a forced variant.
 * @returns The excess, f32 [N], 0 to T.
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 * @throws {RangeError} When the temperature is not positive.
 *
 * @example Softmax 3/4 and 1/4
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { softmaxExcess } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([Math.log(3), 0]), [1, 2]);
 * assertAlmostEquals(softmaxExcess(host, { x }).data[0]!, 1 - 1 / (2 * 0.75), 1e-6);
 * ```
 */
export function softmaxExcess(
  ctx: Context,
  { x }: RowInputs,
  options: TemperatureOptions = {},
): Tensor {
  const { rows, columns } = requireRows(x, { kernel: "softmaxExcess", name: "x" });
  const temperature = requirePositive(options.temperature ?? 1, {
    kernel: "softmaxExcess",
    name: "temperature",
  });
  const output = ctx.empty([rows], "f32", { label: "softmaxExcess" });
  if (!isGpu(ctx)) {
    softmaxExcessOfRows(hostFloats(x), hostFloats(output), { rows, columns, temperature });
    return output;
  }
  dispatchRows(ctx, {
    operation: "softmaxExcess",
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
 * Floating-point operations of {@linkcode softmaxExcess}: a maximum, a difference, a product, a sum,
 * and fourteen for the series of the exponential.
 *
 * @param shape The matrix.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { softmaxExcessFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(softmaxExcessFlops({ rows: 2, columns: 8 }), 288);
 * ```
 */
export function softmaxExcessFlops(shape: RowShape): number {
  return 18 * shape.rows * shape.columns;
}

/**
 * Bytes that {@linkcode softmaxExcess} must move: one read of the matrix, one write per row.
 *
 * @param shape The matrix.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { softmaxExcessBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(softmaxExcessBytes({ rows: 2, columns: 8 }), 72);
 * ```
 */
export function softmaxExcessBytes(shape: RowShape): number {
  return 4 * (shape.rows * shape.columns + shape.rows);
}
