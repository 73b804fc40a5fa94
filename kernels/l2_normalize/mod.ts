/**
 * Rows scaled to Euclidean length one.
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
  type RowOptions,
  type RowShape,
} from "../_rows.ts";
import type { RowInputs } from "../row_reduce/mod.ts";
import main from "./l2_normalize.wgsl" with { type: "text" };
import naive from "./l2_normalize_naive.wgsl" with { type: "text" };
import { l2NormalizeRows } from "./reference.ts";

export * from "./_gradient.ts";

const KERNELS = /* @__PURE__ */ rowKernels("l2_normalize", { naive, main }, {
  inputs: 1,
  wide: true,
  params: { epsilon: "f32" },
  turns: { naive: 2, main: 3 },
});

const DEFAULT_EPSILON = 1e-12;

/** Options of {@linkcode l2Normalize}. */
export interface L2NormalizeOptions extends RowOptions {
  /** The least length that a row is divided by; positive, 1e-12 by default. */
  readonly epsilon?: number;
}

/**
 * Rows scaled to Euclidean length one: `x / max(norm(x), epsilon)`. A row of zeros stays zero.
 *
 * f32 [N, C] to f32 [N, C]. Squares are summed in f32 by blocks, and overflow above 1.8e19. Two runs
 * give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`.
 * @param options The least length, and a forced variant.
 * @returns The scaled rows, f32 [N, C].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 * @throws {RangeError} When epsilon is not positive.
 *
 * @example Three, four, five
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { l2Normalize } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([3, 4, 0, 0]), [2, 2]);
 * assertEquals([...l2Normalize(host, { x }).data], [...new Float32Array([0.6, 0.8, 0, 0])]);
 * ```
 */
export function l2Normalize(
  ctx: Context,
  { x }: RowInputs,
  options: L2NormalizeOptions = {},
): Tensor {
  const { rows, columns } = requireRows(x, { kernel: "l2Normalize", name: "x" });
  const epsilon = requirePositive(options.epsilon ?? DEFAULT_EPSILON, {
    kernel: "l2Normalize",
    name: "epsilon",
  });
  const output = ctx.empty([rows, columns], "f32", { label: "l2Normalize" });
  if (!isGpu(ctx)) {
    l2NormalizeRows(hostFloats(x), hostFloats(output), { rows, columns, epsilon });
    return output;
  }
  dispatchRows(ctx, {
    operation: "l2Normalize",
    kernels: KERNELS,
    rows,
    columns,
    inputs: [x],
    output,
    options,
    params: { epsilon },
  });
  return output;
}

/**
 * Floating-point operations of one normalisation: a product and a sum per element, then a product.
 *
 * @param shape The matrix.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { l2NormalizeFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(l2NormalizeFlops({ rows: 2, columns: 8 }), 48);
 * ```
 */
export function l2NormalizeFlops(shape: RowShape): number {
  return 3 * shape.rows * shape.columns;
}

/**
 * Bytes that one normalisation must move: one read and one write of the matrix.
 *
 * @param shape The matrix.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { l2NormalizeBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(l2NormalizeBytes({ rows: 2, columns: 8 }), 128);
 * ```
 */
export function l2NormalizeBytes(shape: RowShape): number {
  return 8 * shape.rows * shape.columns;
}
