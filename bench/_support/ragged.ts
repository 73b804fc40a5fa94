/**
 * Shapes of the benchmarks of operations on ragged rows.
 *
 * @module
 */

import { Rng } from "../../kernels/random/rng.ts";
import type { GpuContext, Tensor } from "../../runtime/mod.ts";

/** Lists packed one behind the other. */
export interface RaggedShape {
  /** Number of lists. */
  readonly lists: number;
  /** Rows of the longest list at most. */
  readonly longest: number;
  /** Rows of all lists. */
  readonly rows: number;
  /** Columns. */
  readonly columns: number;
}

/** A shape with what a benchmark needs of it. */
export interface RaggedWorkload extends RaggedShape {
  /** Floating-point operations of one run. */
  readonly flops: number;
  /** Bytes that one run must move at least. */
  readonly bytes: number;
  /** How the shape is written. */
  readonly label: string;
  /** Leave this shape out of quick runs. */
  readonly slow: boolean;
}

/** Object tokens of a batch, few wide lists, many lists, and rows of odd length. */
const SHAPES = [
  { lists: 128, longest: 144, columns: 512 },
  { lists: 16, longest: 256, columns: 1024 },
  { lists: 1024, longest: 49, columns: 128 },
  { lists: 128, longest: 144, columns: 99 },
] as const;

function lengthsOf({ lists, longest }: { lists: number; longest: number }): number[] {
  const rng = new Rng(1);
  return Array.from({ length: lists }, () => rng.integer(longest + 1));
}

/** The shapes with what a benchmark needs of them. */
export function raggedShapes(
  count: (shape: RaggedShape) => { flops: number; bytes: number },
): RaggedWorkload[] {
  return SHAPES.map((sizes, position) => {
    const rows = lengthsOf(sizes).reduce((sum, length) => sum + length, 0);
    const shape = { ...sizes, rows };
    const label = `${sizes.lists}x${rows}x${sizes.columns}`;
    return { ...shape, ...count(shape), label, slow: position > 1 };
  });
}

/** Uploads the offsets of a shape. */
export function uploadOffsets(
  ctx: GpuContext,
  shape: { lists: number; longest: number },
): Tensor {
  const offsets = new Int32Array(shape.lists + 1);
  lengthsOf(shape).forEach((length, n) => offsets[n + 1] = offsets[n]! + length);
  return ctx.upload(offsets, [shape.lists + 1]);
}
