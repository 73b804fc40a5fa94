/**
 * How the passes of batch normalisation are laid out over a matrix.
 *
 * @module
 */

import { type ColumnVariant, planColumns } from "../_columns.ts";
import type { RowShape } from "../_rows.ts";

/** One pass over the matrix, in groups. */
export interface Pass {
  /** Groups of the matrix. */
  readonly count: number;
  /** Groups of a block. */
  readonly block: number;
  /** Groups of a chunk. */
  readonly chunk: number;
  /** Invocations of the pass. */
  readonly invocations: number;
}

/** How all passes run. */
export interface BatchNormPlan {
  /** Elements of a group, 4 or 1. */
  readonly width: 1 | 4;
  /** Groups that an invocation owns in every block. */
  readonly groups: number;
  /** Rows of a block. */
  readonly phases: number;
  /** Rows of a chunk of the reducing pass. */
  readonly chunkRows: number;
  /** Rows that the reducing pass leaves. */
  readonly parts: number;
  /** The pass that reduces. */
  readonly reduce: Pass;
  /** The pass that maps every element. */
  readonly map: Pass;
  /** Invocations of a workgroup. */
  readonly workgroup: number;
}

/** Invocations of a mapping pass that keep two cores, or a large GPU, busy. */
const SERIAL_INVOCATIONS = 512;
const TREE_INVOCATIONS = 262_144;

/** Blocks of a mapping pass that share one read of the table. */
const SERIAL_BLOCKS = 64;
const TREE_BLOCKS = 16;

/**
 * Lays out the passes.
 *
 * @param shape The matrix; at least one column.
 * @param variant Whether few long chunks are wanted or many short ones.
 * @returns The layout.
 */
export function planBatchNorm(shape: RowShape, variant: ColumnVariant): BatchNormPlan {
  const { rows, columns } = shape;
  const columnPlan = planColumns(shape, variant);
  const { phases, chunks, workgroup } = columnPlan;
  const width = rows * columns % 4 === 0 ? 4 : 1;
  const count = rows * columns / width;
  const block = columnPlan.block / width;
  const groups = variant === "tree" ? 1 : [4, 2].find((some) => block % some === 0) ?? 1;
  const lanes = block / groups;
  const blocks = Math.max(1, Math.ceil(rows / phases));
  const [busy, most] = variant === "tree"
    ? [TREE_INVOCATIONS, TREE_BLOCKS]
    : [SERIAL_INVOCATIONS, SERIAL_BLOCKS];
  const mapBlocks = Math.min(most, Math.max(1, Math.ceil(blocks * lanes / busy)));
  return {
    width,
    groups,
    phases,
    chunkRows: columnPlan.chunk / columns,
    parts: columnPlan.parts,
    reduce: { count, block, chunk: columnPlan.chunk / width, invocations: chunks * lanes },
    map: {
      count,
      block,
      chunk: mapBlocks * block,
      invocations: Math.ceil(blocks / mapBlocks) * lanes,
    },
    workgroup,
  };
}
