/**
 * Generalised entropy (GEN) of the softmax of the rows of a matrix.
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
import main from "./generalized_entropy.wgsl" with { type: "text" };
import naive from "./generalized_entropy_naive.wgsl" with { type: "text" };
import { generalizedEntropyOfRows } from "./reference.ts";

const KERNELS = /* @__PURE__ */ rowKernels("generalized_entropy", { naive, main }, {
  inputs: 1,
  wide: false,
  params: { gamma: "f32", count: "u32" },
  turns: { naive: 36, main: 20 },
});

/** Options of {@linkcode generalizedEntropy}. */
export interface GeneralizedEntropyOptions extends RowOptions {
  /** Exponent, positive. */
  readonly gamma: number;
  /** Number of largest probabilities that count, at least 1; more than there are means all. */
  readonly top: number;
}

/**
 * Generalised entropy: minus the sum of `p^gamma * (1 - p)^gamma` over the `top` largest
 * probabilities of the softmax of each row, with `0^gamma = 0`.
 *
 * f32 [N, C] to f32 [N]; never positive, and higher for confident rows. The largest probabilities are
 * selected exactly. Computed in the logarithm, so that neither a tiny `p` nor a tiny `1 - p` is lost.
 * Two runs give the same bits. Source: Liu, Lochman and Zach, "GEN: pushing the limits of
 * softmax-based out-of-distribution detection", 2023.
 *
 * @param ctx Where it runs.
 * @param inputs The logits `x`.
 * @param options Exponent, number of probabilities, and a forced variant.
 * @returns The negative entropies, f32 [N].
 * @throws {ShapeError} When `x` has not two axes, or no column.
 * @throws {DTypeError} When `x` does not hold f32.
 * @throws {RangeError} When `gamma` is not positive, or `top` is no whole number of at least 1.
 *
 * @example Two equal logits
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { generalizedEntropy } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([5, 5]), [1, 2]);
 * const [score] = generalizedEntropy(host, { x }, { gamma: 0.5, top: 100 }).data;
 * assertAlmostEquals(score!, -1, 1e-6);
 * ```
 */
export function generalizedEntropy(
  ctx: Context,
  { x }: RowInputs,
  options: GeneralizedEntropyOptions,
): Tensor {
  const kernel = "generalizedEntropy";
  const { rows, columns } = requireRows(x, { kernel, name: "x" });
  const gamma = requirePositive(options.gamma, { kernel, name: "gamma" });
  if (!(Number.isInteger(options.top) && options.top >= 1)) {
    throw new RangeError(
      `Cannot run ${kernel}: "top" must be a whole number of at least 1: it is ${options.top}`,
    );
  }
  const count = Math.min(options.top, columns);
  const output = ctx.empty([rows], "f32", { label: kernel });
  if (!isGpu(ctx)) {
    generalizedEntropyOfRows(hostFloats(x), hostFloats(output), { rows, columns, gamma, count });
    return output;
  }
  dispatchRows(ctx, {
    operation: kernel,
    kernels: KERNELS,
    rows,
    columns,
    inputs: [x],
    output,
    options,
    params: { gamma, count },
  });
  return output;
}

/**
 * Floating-point operations of one generalised entropy: three per element for the softmax's sum and
 * seven for the term. Selecting the largest is not counted.
 *
 * @param shape The matrix.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { generalizedEntropyFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(generalizedEntropyFlops({ rows: 2, columns: 8 }), 160);
 * ```
 */
export function generalizedEntropyFlops(shape: RowShape): number {
  return 10 * shape.rows * shape.columns;
}

/**
 * Bytes that one generalised entropy must move: one read of the matrix, one write per row.
 *
 * @param shape The matrix.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { generalizedEntropyBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(generalizedEntropyBytes({ rows: 2, columns: 8 }), 72);
 * ```
 */
export function generalizedEntropyBytes(shape: RowShape): number {
  return 4 * shape.rows * (shape.columns + 1);
}
