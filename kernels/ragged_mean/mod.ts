/**
 * Means of the rows of ragged lists.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireMatrix } from "../_arguments.ts";
import { columnVariant } from "../_columns.ts";
import { addRows } from "../_columns.ts";
import type { OutOption } from "../_out.ts";
import { LOOP_TURNS } from "../_products.ts";
import { requireOffsets } from "../_ragged.ts";
import { unrolled } from "../_unroll.ts";
import { raggedMeanReference } from "./reference.ts";
import mainSource from "./ragged_mean.wgsl" with { type: "text" };
import naiveSource from "./ragged_mean_naive.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "ragged_mean_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write"],
  params: { lists: "u32", columns: "u32" },
};

const MAIN = /* @__PURE__ */ unrolled({
  name: "ragged_mean",
  wgsl: mainSource,
  bindings: ["read", "read", "read_write"],
  params: { lists: "u32", columns: "u32", parts: "u32" },
});

/**
 * How rows are added: `naive` has a column of a list per invocation; `serial` up to 128 columns, so that
 * a workgroup reads rows as they lie in memory; `tree` shares four columns among several invocations.
 */
export type RaggedMeanVariant = "naive" | "serial" | "tree";

/** The variants, the baseline first. */
export const RAGGED_MEAN_VARIANTS: readonly RaggedMeanVariant[] = ["naive", "serial", "tree"];

const NAIVE_WORKGROUP = 64;
const SERIAL_COLUMNS = 8;
const TREE_COLUMNS = 32;
const TREE_LANES = 8;
/** Groups of four columns that an invocation takes at most. */
const MAX_GROUPS = 32;
/** Loads that a loop turn makes at most, and rows that it takes at most. */
const TURN_LOADS = 64;
const TURN_ROWS = 4;

/** Tensors of {@linkcode raggedMean}. */
export interface RaggedMeanInputs {
  /** Lists packed one behind the other, f32 [R, W]. */
  readonly x: Tensor;
  /** Where each of N lists begins and where the last one ends, i32 [N + 1]. */
  readonly offsets: Tensor;
}

/** Options of {@linkcode raggedMean}. */
export interface RaggedMeanOptions extends OutOption {
  /** Forces a variant; `serial` on software adapters and `tree` elsewhere by default. */
  readonly variant?: RaggedMeanVariant | undefined;
}

/**
 * The mean of each list's rows; zeros for an empty list.
 *
 * f32 sums; bit-equal from run to run.
 *
 * @param ctx Where it runs.
 * @param inputs The rows `x` and their offsets.
 * @param options Where the result goes, and a forced variant.
 * @returns f32 [N, W].
 * @throws {ShapeError} When `x` has not two axes, `offsets` not one, or `out` another shape.
 * @throws {DTypeError} When `offsets` does not hold i32, or another tensor not f32.
 * @throws {RangeError} When the forced variant does not exist or does not take so many rows.
 *
 * @example A list of two rows and an empty one
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { raggedMean } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 6]), [2, 2]);
 * const offsets = host.upload(new Int32Array([0, 2, 2]), [3]);
 * assertEquals([...raggedMean(host, { x, offsets }).data], [2, 4, 0, 0]);
 * ```
 */
export function raggedMean(
  ctx: Context,
  { x, offsets }: RaggedMeanInputs,
  options: RaggedMeanOptions = {},
): Tensor {
  const kernel = "raggedMean";
  const [rows, columns] = requireMatrix(x, { kernel, name: "x" });
  const lists = requireOffsets(offsets, { kernel, name: "offsets" });
  const y = outputTensor(ctx, [lists, columns], { kernel, out: options.out });
  if (isGpu(ctx)) {
    const variant = columnVariant(ctx, "raggedMean", options.variant);
    if (variant === "naive") naive(ctx, { x, offsets, y });
    else byParts(ctx, { x, offsets, y }, { rows, variant });
    return y;
  }
  const arrays = { x: hostFloats(x), offsets: offsets.data as Int32Array };
  raggedMeanReference(arrays, hostFloats(y), columns);
  return y;
}

type Tensors = RaggedMeanInputs & { readonly y: Tensor };

function naive(ctx: GpuContext, { x, offsets, y }: Tensors): void {
  const [rows, columns] = x.shape as readonly [number, number];
  if (ctx.gpu.adapter.isSoftware && rows > LOOP_TURNS) {
    throw new RangeError(
      `Cannot run raggedMean: the variant "naive" takes at most ${LOOP_TURNS} rows on a software ` +
        `adapter: there are ${rows}`,
    );
  }
  ctx.dispatch(NAIVE, {
    buffers: [x, offsets, y],
    params: { lists: y.shape[0]!, columns },
    workgroups: gridFor(y.size, NAIVE_WORKGROUP),
  });
}

function byParts(
  ctx: GpuContext,
  { x, offsets, y }: Tensors,
  { rows, variant }: { readonly rows: number; readonly variant: "serial" | "tree" },
): void {
  const [lists, width] = y.shape as readonly [number, number];
  if (y.size === 0) return;
  const tree = variant === "tree";
  const lanes = tree ? TREE_LANES : 1;
  const perWorkgroup = tree ? TREE_COLUMNS : SERIAL_COLUMNS;
  const vector = width % 4 === 0;
  const columns = vector ? width / 4 : width;
  const groups = tree || !vector ? 1 : groupsOf(columns);
  const turnRows = Math.min(TURN_ROWS, TURN_LOADS / groups | 0);
  // One list may have all rows, and the host does not know.
  const parts = ctx.gpu.adapter.isSoftware
    ? Math.max(1, Math.ceil(rows / (turnRows * lanes * LOOP_TURNS)))
    : 1;
  using scope = ctx.scope();
  const shares = parts === 1 ? y : scope.empty([parts, y.size], "f32", { label: "parts of means" });
  scope.dispatch(
    MAIN({
      Elem: vector ? "vec4<f32>" : "f32",
      GROUPS: groups,
      ROWS: turnRows,
      LANES: lanes,
    }),
    {
      buffers: [x, offsets, shares],
      params: { lists, columns, parts },
      workgroups: gridFor(parts * lists * columns / groups, perWorkgroup),
      overrides: { COLUMNS: perWorkgroup },
    },
  );
  if (parts > 1) addRows(scope, { parts: shares, out: y }, { rows: parts, columns: y.size });
}

/** The most groups of four columns that invocations of the serial variant can share a row by. */
function groupsOf(columns: number): number {
  for (let groups = MAX_GROUPS; groups > 1; groups--) {
    if (columns % (groups * SERIAL_COLUMNS) === 0) return groups;
  }
  return 1;
}

/** Lengths of ragged rows, for {@linkcode raggedMeanFlops} and {@linkcode raggedMeanBytes}. */
export interface RaggedMeanShape {
  /** Rows of all lists. */
  readonly rows: number;
  /** Number of lists. */
  readonly lists: number;
  /** Columns of a row. */
  readonly columns: number;
}

/**
 * Floating-point operations of {@linkcode raggedMean}.
 *
 * @param shape Its lengths.
 * @returns (rows + lists) columns.
 *
 * @example Two lists of five rows together
 * ```ts
 * import { raggedMeanFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(raggedMeanFlops({ rows: 5, lists: 2, columns: 4 }), 28);
 * ```
 */
export function raggedMeanFlops(shape: RaggedMeanShape): number {
  return (shape.rows + shape.lists) * shape.columns;
}

/**
 * Bytes that {@linkcode raggedMean} must move at least.
 *
 * @param shape Its lengths.
 * @returns 4 ((rows + lists) columns + lists + 1).
 *
 * @example Two lists of five rows together
 * ```ts
 * import { raggedMeanBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(raggedMeanBytes({ rows: 5, lists: 2, columns: 4 }), 124);
 * ```
 */
export function raggedMeanBytes(shape: RaggedMeanShape): number {
  const { rows, lists, columns } = shape;
  return 4 * ((rows + lists) * columns + lists + 1);
}
