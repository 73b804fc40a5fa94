/**
 * The largest elements of the rows of a matrix, with the others taken away and made up for.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats } from "../_arguments.ts";
import { dispatchRows, requireRows, rowKernels, type RowOptions, type RowShape } from "../_rows.ts";
import type { RowInputs } from "../row_reduce/mod.ts";
import main from "./keep_top.wgsl" with { type: "text" };
import naive from "./keep_top_naive.wgsl" with { type: "text" };
import { type KeepTopMode, keepTopOfRows } from "./reference.ts";

export type { KeepTopMode } from "./reference.ts";

const KERNELS = /* @__PURE__ */ rowKernels("keep_top", { naive, main }, {
  inputs: 1,
  wide: true,
  params: { count: "u32" },
  turns: { naive: 35, main: 21 },
});

const MODES: Readonly<Record<KeepTopMode, number>> = { prune: 0, fill: 1, scale: 2, scaleAll: 3 };

/** Options of {@linkcode keepTop}. */
export interface KeepTopOptions extends RowOptions {
  /** How many elements of a row are kept, at least 1; more than there are means all. */
  readonly count: number;
  /**
   * What becomes of a row: `prune` sets the others to zero; `fill` sets those that are kept to the
   * row's sum over their number as well; `scale` multiplies those that are kept by
   * exp(the row's sum / the sum of what is kept); `scaleAll` multiplies all of them by it. `prune` by
   * default.
   */
  readonly mode?: KeepTopMode;
}

/**
 * Keeps the largest elements of every row; among equal elements those of the lowest index.
 *
 * f32 [N, C] to f32 [N, C]. The largest elements are selected exactly, without sorting. The exponent
 * of `scale` and `scaleAll` counts as 0 below and as 80 above these, and a sum of kept elements below
 * 1e-30 as that, so that no element comes out as NaN. Two runs give the same bits. Source: Djurisic
 * et al., "Extremely simple activation shaping for out-of-distribution detection", 2023 (ASH-P, -B
 * and -S); `scaleAll` is Xu et al., "Scaling for training time and post-hoc out-of-distribution
 * detection", 2024.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options How many are kept, what becomes of them, and a forced variant.
 * @returns The changed rows, f32 [N, C].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 * @throws {RangeError} When `count` is no whole number of at least 1, or there is no such mode.
 *
 * @example The two largest of four take the row's sum
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { keepTop } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([3, 1, 2, 2]), [1, 4]);
 * assertEquals([...keepTop(host, { x }, { count: 2 }).data], [3, 0, 2, 0]);
 * assertEquals([...keepTop(host, { x }, { count: 2, mode: "fill" }).data], [4, 0, 4, 0]);
 * ```
 */
export function keepTop(ctx: Context, { x }: RowInputs, options: KeepTopOptions): Tensor {
  const { rows, columns } = requireRows(x, { kernel: "keepTop", name: "x" });
  const mode = options.mode ?? "prune";
  if (!Object.hasOwn(MODES, mode)) {
    throw new RangeError(
      `Cannot run keepTop: there is no mode "${mode}", expected ${Object.keys(MODES).join(", ")}`,
    );
  }
  if (!(Number.isInteger(options.count) && options.count >= 1)) {
    throw new RangeError(
      `Cannot run keepTop: "count" must be a whole number of at least 1: it is ${options.count}`,
    );
  }
  const count = Math.min(options.count, columns);
  const output = ctx.empty([rows, columns], "f32", { label: "keepTop" });
  if (!isGpu(ctx)) {
    keepTopOfRows(hostFloats(x), hostFloats(output), { rows, columns, count, mode });
    return output;
  }
  dispatchRows(ctx, {
    operation: "keepTop",
    kernels: KERNELS,
    rows,
    columns,
    inputs: [x],
    output,
    options,
    params: { count },
    overrides: { MODE: MODES[mode] },
  });
  return output;
}

/**
 * Floating-point operations of {@linkcode keepTop}, counted as if the selection took none: two sums
 * and a product per element.
 *
 * @param shape The matrix.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { keepTopFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(keepTopFlops({ rows: 2, columns: 8 }), 48);
 * ```
 */
export function keepTopFlops(shape: RowShape): number {
  return 3 * shape.rows * shape.columns;
}

/**
 * Bytes that {@linkcode keepTop} must move: one read and one write of the matrix.
 *
 * @param shape The matrix.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { keepTopBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(keepTopBytes({ rows: 2, columns: 8 }), 128);
 * ```
 */
export function keepTopBytes(shape: RowShape): number {
  return 8 * shape.rows * shape.columns;
}
