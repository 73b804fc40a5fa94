/**
 * Layer normalisation of the rows of a matrix.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, requireVector } from "../_arguments.ts";
import {
  dispatchRows,
  requirePositive,
  requireRows,
  rowKernels,
  type RowOptions,
  type RowShape,
} from "../_rows.ts";
import main from "./layer_norm.wgsl" with { type: "text" };
import naive from "./layer_norm_naive.wgsl" with { type: "text" };
import { layerNormRows } from "./reference.ts";

export * from "./_gradient.ts";

const KERNELS = /* @__PURE__ */ rowKernels("layer_norm", { naive, main }, {
  inputs: 3,
  wide: true,
  params: { epsilon: "f32" },
  turns: { naive: 3, main: 2 },
});

const DEFAULT_EPSILON = 1e-5;

/** Tensors of {@linkcode layerNorm}. */
export interface LayerNormInputs {
  /** f32 [N, C] with C >= 1. */
  readonly x: Tensor;
  /** Factor of each column, f32 [C]; ones when left out. */
  readonly weight?: Tensor;
  /** Summand of each column, f32 [C]; zeros when left out. */
  readonly bias?: Tensor;
}

/** Options of {@linkcode layerNorm}. */
export interface LayerNormOptions extends RowOptions {
  /** Added to the variance; positive, 1e-5 by default. */
  readonly epsilon?: number;
}

/**
 * Layer normalisation: `(x - mean) / sqrt(variance + epsilon) * weight + bias`, row by row.
 *
 * f32 [N, C] to f32 [N, C]; the variance is over all C columns. Statistics in f32 from one read of
 * `x`, by merging blocks (as exact as two reads, also where the mean is large). Two runs give the
 * same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix `x`, and where there are any, `weight` and `bias`.
 * @param options Epsilon, and a forced variant.
 * @returns The normalised rows, f32 [N, C].
 * @throws {ShapeError} When `x` has not two axes or no column, or `weight` or `bias` is not [C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When epsilon is not positive.
 *
 * @example A row of two
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { layerNorm } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([2, 6]), [1, 2]);
 * const y = layerNorm(host, { x }).data;
 * assertAlmostEquals(y[0]!, -1, 1e-5);
 * assertAlmostEquals(y[1]!, 1, 1e-5);
 * ```
 */
export function layerNorm(
  ctx: Context,
  inputs: LayerNormInputs,
  options: LayerNormOptions = {},
): Tensor {
  const { x, weight, bias } = inputs;
  const { rows, columns } = requireRows(x, { kernel: "layerNorm", name: "x" });
  for (const [name, tensor] of Object.entries({ weight, bias })) {
    if (tensor) requireVector(tensor, { kernel: "layerNorm", name, length: columns });
  }
  const epsilon = requirePositive(options.epsilon ?? DEFAULT_EPSILON, {
    kernel: "layerNorm",
    name: "epsilon",
  });
  const output = ctx.empty([rows, columns], "f32", { label: "layerNorm" });
  if (!isGpu(ctx)) {
    layerNormRows(hostFloats(x), hostFloats(output), {
      rows,
      columns,
      weight: weight && hostFloats(weight),
      bias: bias && hostFloats(bias),
      epsilon,
    });
    return output;
  }
  dispatchRows(ctx, {
    operation: "layerNorm",
    kernels: KERNELS,
    rows,
    columns,
    inputs: [x, weight ?? x, bias ?? x],
    output,
    options,
    params: { epsilon },
    overrides: { HAS_WEIGHT: weight ? 1 : 0, HAS_BIAS: bias ? 1 : 0 },
  });
  return output;
}

/**
 * Floating-point operations of one layer normalisation: eight per element (two for the mean, two for
 * the variance, four for the result).
 *
 * @param shape The matrix.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { layerNormFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(layerNormFlops({ rows: 2, columns: 8 }), 128);
 * ```
 */
export function layerNormFlops(shape: RowShape): number {
  return 8 * shape.rows * shape.columns;
}

/**
 * Bytes that one layer normalisation must move: one read and one write of the matrix, one read of
 * weight and bias.
 *
 * @param shape The matrix.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { layerNormBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(layerNormBytes({ rows: 2, columns: 8 }), 192);
 * ```
 */
export function layerNormBytes(shape: RowShape): number {
  return 8 * shape.columns * (shape.rows + 1);
}
