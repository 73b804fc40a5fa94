/**
 * What all reductions over the rows of a matrix share on the host: how the rows are cut, and the
 * second pass that adds the parts.
 *
 * The matrix is read as one flat array of vec4 whatever its number of columns: a block of `phases`
 * rows is a whole number of vec4, and so each of its vec4 meets the same columns in every block. A
 * chunk is a run of blocks; an invocation owns one vec4 of a block in one chunk. The first pass
 * leaves `parts` rows, the sums of one phase in one chunk each; the second pass adds them in a fixed
 * order.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../runtime/mod.ts";
import type { RowShape } from "./_rows.ts";
import addSource from "./_add_rows.wgsl" with { type: "text" };

const ADD_ROWS: Kernel = {
  name: "add_rows",
  wgsl: addSource,
  bindings: ["read", "read_write"],
  params: { rows: "u32", columns: "u32", scale: "f32" },
};

/**
 * Kernels of a reduction over rows: `naive` is the baseline; `serial` has few invocations with long
 * chunks and adds the parts one by one, `tree` has many and adds the parts in a tree.
 */
export type ColumnVariant = "naive" | "serial" | "tree";

/** The variants, the baseline first. */
export const COLUMN_VARIANTS: readonly ColumnVariant[] = ["naive", "serial", "tree"];

/**
 * The variant that a reduction runs: the one forced by the call, else by the GPU, else `serial` on a
 * software adapter and `tree` elsewhere.
 *
 * @param ctx The GPU.
 * @param operation The operation's name.
 * @param forced A variant forced by the call.
 * @returns The variant.
 * @throws {RangeError} When a forced variant does not exist.
 */
export function columnVariant(
  ctx: GpuContext,
  operation: string,
  forced: ColumnVariant | undefined,
): ColumnVariant {
  const wanted = forced ?? ctx.gpu.variants[operation];
  if (wanted === undefined) return ctx.gpu.adapter.isSoftware ? "serial" : "tree";
  const known = COLUMN_VARIANTS.find((variant) => variant === wanted);
  if (known !== undefined) return known;
  throw new RangeError(
    `Cannot run ${operation}: there is no variant "${wanted}", expected one of ${
      COLUMN_VARIANTS.join(", ")
    }`,
  );
}

/** How rows are cut for the first pass. */
export interface ColumnPlan {
  /** Rows of a block. */
  readonly phases: number;
  /** Elements of a block, a multiple of four. */
  readonly block: number;
  /** Elements of a chunk, a multiple of `block`. */
  readonly chunk: number;
  /** Number of chunks, at least 1. */
  readonly chunks: number;
  /** Rows that the first pass leaves: `chunks * phases`. */
  readonly parts: number;
  /** Groups of four elements that an invocation owns in every block. */
  readonly groups: number;
  /** Invocations of the first pass. */
  readonly invocations: number;
  /** Invocations of a workgroup. */
  readonly workgroup: number;
}

/** Invocations that keep two cores busy, and those that keep a large GPU busy. */
const SERIAL_INVOCATIONS = 512;
const TREE_INVOCATIONS = 65_536;

/** A block of this many vec4 lets the neighbours on a GPU read one run of memory. */
const TREE_BLOCK = 64;

/** Blocks that one invocation adds at least, and at most: an f32 sum keeps its digits over those. */
const LEAST_BLOCKS = 8;
const MOST_BLOCKS = 4096;

const SERIAL_WORKGROUP = 8;
const TREE_WORKGROUP = 64;

/** Columns of a workgroup of the second pass, and lanes that share one in a tree. */
const ADD_COLUMNS = 8;
const ADD_LANES = 32;

/** Parts up to which a tree costs more than it gains. */
const FEW_PARTS = 8;

/**
 * Cuts the rows of a matrix.
 *
 * @param shape The matrix; at least one column.
 * @param variant Whether few long chunks are wanted or many short ones.
 * @returns The cut.
 */
export function planColumns({ rows, columns }: RowShape, variant: ColumnVariant): ColumnPlan {
  const tree = variant === "tree";
  const least = columns % 4 === 0 ? 1 : columns % 2 === 0 ? 2 : 4;
  const phases = tree ? least * Math.ceil(4 * TREE_BLOCK / (least * columns)) : least;
  const block = phases * columns;
  const blocks = Math.max(1, Math.ceil(rows / phases));
  const groups = tree ? 1 : [16, 8, 4, 2].find((count) => block / 4 % count === 0) ?? 1;
  const lanes = block / 4 / groups;
  const wanted = (tree ? TREE_INVOCATIONS : SERIAL_INVOCATIONS) / lanes;
  const chunkBlocks = Math.min(MOST_BLOCKS, Math.max(LEAST_BLOCKS, Math.ceil(blocks / wanted)));
  const chunks = Math.ceil(blocks / chunkBlocks);
  return {
    phases,
    block,
    chunk: chunkBlocks * block,
    chunks,
    parts: chunks * phases,
    groups,
    invocations: chunks * lanes,
    workgroup: tree ? TREE_WORKGROUP : SERIAL_WORKGROUP,
  };
}

/** The grid and the overrides of a second pass over `rows` parts. */
export function addGrid(
  { rows, columns }: RowShape,
  variant: ColumnVariant,
): { workgroups: [number, number, number]; overrides: Record<string, number> } {
  const lanes = variant === "tree" && rows > FEW_PARTS ? ADD_LANES : 1;
  return {
    workgroups: gridFor(columns, ADD_COLUMNS),
    overrides: { LANES: lanes, WORKGROUP: lanes * ADD_COLUMNS },
  };
}

/**
 * Adds the rows of a small matrix, times a factor.
 *
 * @param ctx Where to record.
 * @param tensors The rows `parts`, f32 [rows, columns] in any shape, and where their sum goes.
 * @param how Rows and columns, a factor of the sums, 1 by default, and whether lanes share a column.
 */
export function addRows(
  ctx: GpuContext,
  { parts, out }: { readonly parts: Tensor; readonly out: Tensor },
  how: RowShape & { readonly scale?: number; readonly variant?: ColumnVariant },
): void {
  const { rows, columns, scale = 1, variant = "serial" } = how;
  ctx.dispatch(ADD_ROWS, {
    buffers: [parts, out],
    params: { rows, columns, scale },
    ...addGrid({ rows, columns }, variant),
  });
}
