/**
 * One number per row out of a column of a matrix and a vector: the last step of scores that are
 * made of two others, or that turn a distance around.
 *
 * @module
 */

import { type Context, gridFor, isGpu, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, requireMatrix, requireVector } from "../_arguments.ts";
import source from "./combine_rows.wgsl" with { type: "text" };
import { combineRowsReference } from "./reference.ts";

const KERNEL: Kernel = {
  name: "combine_rows",
  wgsl: source,
  bindings: ["read", "read", "read_write"],
  params: { rows: "u32", columns: "u32", column: "u32", scale: "f32", other_scale: "f32" },
};

const WORKGROUP = 64;

/** What {@linkcode combineRows} combines. */
export interface CombineRowsInputs {
  /** f32 [N] or [N, columns]. */
  readonly a: Tensor;
  /** f32 [N]. */
  readonly b?: Tensor;
}

/** How {@linkcode combineRows} combines. */
export interface CombineRowsOptions {
  /** Which column of a matrix `a`; default 0. */
  readonly column?: number;
  /** Factor of `a`; default 1. */
  readonly scale?: number;
  /** Factor of `b`; default 1. */
  readonly otherScale?: number;
  /** Whether to take the square root of `b`, negative ones counting as 0; default no. */
  readonly root?: boolean;
}

/**
 * scale * a[:, column] + otherScale * b, with the square root of b if asked for.
 *
 * @param ctx Where to run.
 * @param inputs The matrix or vector, and optionally a vector.
 * @param options The column, the factors, and whether to take the root.
 * @returns f32 [N].
 * @throws {ShapeError} When `a` is no vector or matrix, or `b` has another length.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When there is no such column.
 *
 * @example One less twice the root of four
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { combineRows } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = host.upload(new Float32Array([1]), [1]);
 * const b = host.upload(new Float32Array([4]), [1]);
 * const y = combineRows(host, { a, b }, { otherScale: -2, root: true });
 * assertEquals([...y.data], [-3]);
 * ```
 */
export function combineRows(
  ctx: Context,
  inputs: CombineRowsInputs,
  options: CombineRowsOptions = {},
): Tensor {
  const { a, b } = inputs;
  const { column = 0, scale = 1, otherScale = 1, root = false } = options;
  const argument = { kernel: "combineRows", name: "a" };
  const matrix = a.shape.length === 1 ? a.reshape([a.size, 1]) : a;
  const [rows, columns] = requireMatrix(matrix, argument);
  if (b !== undefined) requireVector(b, { kernel: "combineRows", name: "b", length: rows });
  if (!(Number.isInteger(column) && column >= 0 && column < columns)) {
    throw new RangeError(
      `Cannot run combineRows: column ${column} is not one of the ${columns} columns of "a"`,
    );
  }
  const y = ctx.empty([rows], "f32", { label: "combined rows" });
  if (!isGpu(ctx)) {
    const from = { data: hostFloats(a), columns, column };
    y.data.set(
      combineRowsReference(from, b && hostFloats(b), { scale, otherScale, root }),
    );
    return y;
  }
  ctx.dispatch(KERNEL, {
    buffers: [a, b ?? a, y],
    params: { rows, columns, column, scale, other_scale: otherScale },
    workgroups: gridFor(rows, WORKGROUP),
    overrides: { WORKGROUP, HAS_OTHER: b === undefined ? 0 : 1, ROOT: root ? 1 : 0 },
  });
  return y;
}

/**
 * Floating-point operations of {@linkcode combineRows}.
 *
 * @param shape `rows`.
 * @returns Operations.
 *
 * @example A thousand rows
 * ```ts
 * import { combineRowsFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(combineRowsFlops({ rows: 1000 }), 3000);
 * ```
 */
export function combineRowsFlops(shape: { readonly rows: number }): number {
  return 3 * shape.rows;
}

/**
 * Bytes that {@linkcode combineRows} must move with both inputs.
 *
 * @param shape `rows`.
 * @returns Bytes.
 *
 * @example A thousand rows
 * ```ts
 * import { combineRowsBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(combineRowsBytes({ rows: 1000 }), 12000);
 * ```
 */
export function combineRowsBytes(shape: { readonly rows: number }): number {
  return 12 * shape.rows;
}
