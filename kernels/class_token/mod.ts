/**
 * A learnt row before each list of ragged rows, and learnt rows added place by place: how a sequence
 * enters a transformer.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireMatrix, requireVector } from "../_arguments.ts";
import { addRows, type ColumnVariant, columnVariant } from "../_columns.ts";
import type { OutOption } from "../_out.ts";
import { pointwiseKernel } from "../_pointwise.ts";
import {
  dispatchLists,
  groupsOf,
  LIST_PARAMS,
  LIST_WORKGROUP,
  requireOffsets,
  widthOf,
} from "../_ragged.ts";
import { requireRows } from "../_rows.ts";
import { merged } from "../_unroll.ts";
import insertSource from "./class_token_insert.wgsl" with { type: "text" };
import removeSource from "./class_token_remove.wgsl" with { type: "text" };
import sumsSource from "./class_token_sums.wgsl" with { type: "text" };
import { insertClassTokenGradientReference, insertClassTokenReference } from "./reference.ts";

const INSERT = /* @__PURE__ */ pointwiseKernel({
  name: "class_token_insert",
  wgsl: insertSource,
  bindings: ["read", "read", "read", "read", "read_write", "read_write"],
  params: /* @__PURE__ */ merged(LIST_PARAMS, { positions: "u32" } as const),
});

const REMOVE = /* @__PURE__ */ pointwiseKernel({
  name: "class_token_remove",
  wgsl: removeSource,
  bindings: ["read", "read", "read_write"],
  params: LIST_PARAMS,
});

const SUMS = /* @__PURE__ */ pointwiseKernel({
  name: "class_token_sums",
  wgsl: sumsSource,
  bindings: ["read", "read", "read_write", "read_write"],
  params: { items: "u32", columns: "u32", positions: "u32", lists: "u32", slice: "u32" },
});

/** Lists that one invocation adds at most, so that an f32 sum keeps its digits, and at least. */
const MOST_LISTS = 4096;
const LEAST_LISTS = 8;

/** Invocations that keep two cores busy, and those that keep a large GPU busy. */
const SERIAL_ITEMS = 512;
const TREE_ITEMS = 131_072;

/** Tensors of {@linkcode insertClassToken}. */
export interface InsertClassTokenInputs {
  /** Lists packed one behind the other, f32 [R, W] with W >= 1. */
  readonly x: Tensor;
  /** Where each of N lists begins and where the last one ends, i32 [N + 1]. */
  readonly offsets: Tensor;
  /** What is put before each list, f32 [W]. */
  readonly token: Tensor;
  /** What is added to the row at each place, the token's first; f32 [P, W]. */
  readonly positions: Tensor;
}

/** Options of {@linkcode insertClassToken}. */
export interface InsertClassTokenOptions extends OutOption {
  /** Forces a variant. */
  readonly variant?: ColumnVariant;
}

/** What {@linkcode insertClassToken} gives. */
export interface ClassTokenRows {
  /** The longer lists, f32 [R + N, W]; rows behind the last list are zeros. */
  readonly y: Tensor;
  /** Where they begin, i32 [N + 1]. */
  readonly offsets: Tensor;
}

/** Tensors of {@linkcode insertClassTokenGradient}. */
export interface InsertClassTokenGradientInputs {
  /** Gradient of the result, f32 [R + N, W]. */
  readonly dY: Tensor;
  /** Where each list began before the token was put there, i32 [N + 1]. */
  readonly offsets: Tensor;
}

/** Options of {@linkcode insertClassTokenGradient}. */
export interface InsertClassTokenGradientOptions {
  /** Number of positions, P. */
  readonly positions: number;
  /** Where the gradient of the token goes. */
  readonly outToken?: Tensor | undefined;
  /** Where the gradient of the positions goes. */
  readonly outPositions?: Tensor | undefined;
  /** Forces a variant. */
  readonly variant?: ColumnVariant;
}

/** What {@linkcode insertClassTokenGradient} gives. */
export interface ClassTokenGradients {
  /** By the rows, f32 [R, W]; rows behind the last list are zeros. */
  readonly dX: Tensor;
  /** By the token, f32 [W]. */
  readonly dToken: Tensor;
  /** By the positions, f32 [P, W]; zeros where no list has so many rows. */
  readonly dPositions: Tensor;
}

/**
 * A token before each list of ragged rows, and positions added: list n becomes `token + positions[0]`,
 * then its row i plus `positions[i + 1]`.
 *
 * There should be a position more than the longest list has rows; rows beyond get none. Lists may be
 * empty, and become the token alone.
 *
 * @param ctx Where it runs.
 * @param inputs Rows, offsets, token and positions.
 * @param options Where the rows go, and a forced variant.
 * @returns The longer lists and their offsets.
 * @throws {ShapeError} When `x` has not two axes or no column, or another tensor does not fit.
 * @throws {DTypeError} When `offsets` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Two lists, one of them empty
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { insertClassToken } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const { y, offsets } = insertClassToken(host, {
 *   x: host.upload(new Float32Array([1, 2]), [2, 1]),
 *   offsets: host.upload(new Int32Array([0, 2, 2]), [3]),
 *   token: host.upload(new Float32Array([9]), [1]),
 *   positions: host.upload(new Float32Array([10, 20, 30]), [3, 1]),
 * });
 * assertEquals([...y.data], [19, 21, 32, 19]);
 * assertEquals([...offsets.data], [0, 3, 4]);
 * ```
 */
export function insertClassToken(
  ctx: Context,
  inputs: InsertClassTokenInputs,
  options: InsertClassTokenOptions = {},
): ClassTokenRows {
  const kernel = "insertClassToken";
  const { x, token, positions } = inputs;
  const { rows, columns } = requireRows(x, { kernel, name: "x" });
  const lists = requireOffsets(inputs.offsets, { kernel, name: "offsets" });
  requireVector(token, { kernel, name: "token", length: columns });
  const [places] = requireMatrix(positions, { kernel, name: "positions", columns });
  const y = outputTensor(ctx, [rows + lists, columns], { kernel, out: options.out });
  const offsets = ctx.empty([lists + 1], "i32", { label: `${kernel} offsets` });
  if (!isGpu(ctx)) {
    const old = inputs.offsets.data as Int32Array;
    insertClassTokenReference({
      x: hostFloats(x),
      offsets: old,
      token: hostFloats(token),
      positions: hostFloats(positions),
    }, hostFloats(y));
    offsets.data.set(old.map((begin, n) => begin + n));
    return { y, offsets };
  }
  dispatchLists(ctx, {
    operation: kernel,
    kernel: INSERT,
    buffers: [x, token, positions, inputs.offsets, y, offsets],
    rows: rows + lists,
    columns,
    lists,
    params: { positions: places },
    variant: options.variant,
  });
  return { y, offsets };
}

/**
 * The gradients of {@linkcode insertClassToken}: that of the rows is a copy, those of token and
 * positions are sums over the lists, always in the same order, so that two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The gradient that comes in, and the offsets of the forward pass's input.
 * @param options Number of positions, where results go, and a forced variant.
 * @returns The gradients.
 * @throws {ShapeError} When `dY` has not two axes, no column or fewer rows than there are lists, or
 * another tensor does not fit.
 * @throws {DTypeError} When `offsets` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When `positions` is no whole number, or the forced variant does not exist.
 *
 * @example Two lists of two and no rows
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { insertClassTokenGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([1, 2, 3, 4]), [4, 1]);
 * const offsets = host.upload(new Int32Array([0, 2, 2]), [3]);
 * const made = insertClassTokenGradient(host, { dY, offsets }, { positions: 4 });
 * assertEquals([...made.dX.data], [2, 3]);
 * assertEquals([...made.dToken.data], [5]);
 * assertEquals([...made.dPositions.data], [5, 2, 3, 0]);
 * ```
 */
export function insertClassTokenGradient(
  ctx: Context,
  { dY, offsets }: InsertClassTokenGradientInputs,
  options: InsertClassTokenGradientOptions,
): ClassTokenGradients {
  const kernel = "insertClassTokenGradient";
  const { rows: longer, columns } = requireRows(dY, { kernel, name: "dY" });
  const lists = requireOffsets(offsets, { kernel, name: "offsets" });
  const { positions, outToken, outPositions, variant } = options;
  const rows = longer - lists;
  if (rows < 0) {
    throw new ShapeError(kernel, "dY", {
      expected: `[rows, columns] with at least ${lists} rows`,
      actual: dY.shape,
    });
  }
  if (!(Number.isInteger(positions) && positions >= 0)) {
    throw new RangeError(
      `Cannot run ${kernel}: positions must be a whole number: it is ${positions}`,
    );
  }
  const dX = outputTensor(ctx, [rows, columns], { kernel });
  const dToken = outputTensor(ctx, [columns], { kernel, name: "outToken", out: outToken });
  const dPositions = outputTensor(ctx, [positions, columns], {
    kernel,
    name: "outPositions",
    out: outPositions,
  });
  if (!isGpu(ctx)) {
    insertClassTokenGradientReference(
      { dY: hostFloats(dY), offsets: offsets.data as Int32Array },
      { dX: hostFloats(dX), dToken: hostFloats(dToken), dPositions: hostFloats(dPositions) },
    );
    return { dX, dToken, dPositions };
  }
  dispatchLists(ctx, {
    operation: kernel,
    kernel: REMOVE,
    buffers: [dY, offsets, dX],
    rows,
    columns,
    lists,
    variant,
  });
  sumLists(ctx, { dY, offsets, dToken, dPositions }, { kernel, variant });
  return { dX, dToken, dPositions };
}

interface ListSums extends InsertClassTokenGradientInputs {
  readonly dToken: Tensor;
  readonly dPositions: Tensor;
}

function sumLists(
  ctx: GpuContext,
  { dY, offsets, dToken, dPositions }: ListSums,
  { kernel, variant: forced }: { kernel: string; variant: ColumnVariant | undefined },
): void {
  const lists = offsets.size - 1;
  const variant = columnVariant(ctx, kernel, forced);
  const serial = variant === "serial";
  const width = widthOf(dToken.size, variant);
  const columns = dToken.size / width;
  const groups = serial ? groupsOf(columns) : 1;
  // The token's gradient is that of the first position, also where there is none.
  const positions = Math.max(1, dPositions.shape[0]!);
  const lanes = positions * columns / groups;
  const wanted = Math.ceil((serial ? SERIAL_ITEMS : TREE_ITEMS) / lanes);
  const slice = Math.min(MOST_LISTS, Math.max(LEAST_LISTS, Math.ceil(lists / wanted)));
  const slices = Math.max(1, Math.ceil(lists / slice));
  const direct = slices === 1 && dPositions.size > 0;
  using sums = direct ? undefined : ctx.empty([slices, positions * dToken.size], "f32");
  using firsts = direct ? undefined : ctx.empty([slices, dToken.size], "f32");
  const workgroup = LIST_WORKGROUP[variant];
  ctx.dispatch(SUMS(width, { GROUPS: groups }), {
    buffers: [dY, offsets, sums ?? dPositions, firsts ?? dToken],
    params: { items: slices * lanes, columns, positions, lists, slice },
    workgroups: gridFor(slices * lanes, workgroup),
    overrides: { WORKGROUP: workgroup },
  });
  if (sums === undefined || firsts === undefined) return;
  const rows = { rows: slices, variant };
  addRows(ctx, { parts: firsts, out: dToken }, { ...rows, columns: dToken.size });
  if (dPositions.size === 0) return;
  addRows(ctx, { parts: sums, out: dPositions }, { ...rows, columns: dPositions.size });
}

/** Sizes of {@linkcode insertClassToken}. */
export interface ClassTokenShape {
  /** Rows before the insertion. */
  readonly rows: number;
  /** Number of lists. */
  readonly lists: number;
  /** Columns. */
  readonly columns: number;
}

/**
 * Floating-point operations of {@linkcode insertClassToken}, and about as many of its gradient: one
 * per element of the result.
 *
 * @param shape Sizes.
 * @returns The number of operations.
 *
 * @example Two lists of three rows
 * ```ts
 * import { classTokenFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(classTokenFlops({ rows: 6, lists: 2, columns: 4 }), 32);
 * ```
 */
export function classTokenFlops({ rows, lists, columns }: ClassTokenShape): number {
  return (rows + lists) * columns;
}

/**
 * Bytes that {@linkcode insertClassToken} or its gradient must move: the rows without the tokens on
 * one side, with them on the other, and the offsets. Token and positions are read or written again
 * and again, and counted not at all.
 *
 * @param shape Sizes.
 * @returns The number of bytes.
 *
 * @example Two lists of three rows
 * ```ts
 * import { classTokenBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(classTokenBytes({ rows: 6, lists: 2, columns: 4 }), 248);
 * ```
 */
export function classTokenBytes({ rows, lists, columns }: ClassTokenShape): number {
  return 4 * ((2 * rows + lists) * columns + 2 * (lists + 1));
}
