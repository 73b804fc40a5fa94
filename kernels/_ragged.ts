/**
 * What operations on ragged rows share on the host: lists of different lengths, packed one behind
 * the other, and i32 offsets of which the GPU alone knows the values.
 *
 * List n owns the rows `offsets[n]` to `offsets[n + 1] - 1` of a matrix; rows from the last offset on
 * are padding, which results hold as zeros.
 *
 * @module
 */

import { type GpuContext, gridFor, ShapeError, type Tensor } from "../runtime/mod.ts";
import { type Argument, requireDType } from "./_arguments.ts";
import {
  type Lanes,
  lanesOf,
  POINTWISE_WORKGROUP,
  type PointwiseKernel,
  type PointwiseVariant,
} from "./_pointwise.ts";

/**
 * Checks the offsets of ragged rows.
 *
 * @returns The number of lists.
 * @throws {DTypeError} When they do not hold i32.
 * @throws {ShapeError} When they have not one axis of at least one element.
 */
export function requireOffsets(offsets: Tensor, argument: Argument): number {
  requireDType(offsets, "i32", argument);
  if (offsets.shape.length === 1 && offsets.size >= 1) return offsets.size - 1;
  throw new ShapeError(argument.kernel, argument.name, {
    expected: "[lists + 1]",
    actual: offsets.shape,
  });
}

/** One run over the rows of a result. */
export interface RaggedRows {
  /** The operation's name, under which a GPU may force a variant. */
  readonly operation: string;
  /** Its kernel, with `rows`, `columns` (in units of its element type) and `lists` as parameters. */
  readonly kernel: PointwiseKernel;
  /** What it binds. */
  readonly buffers: readonly Tensor[];
  /** Rows of the result. */
  readonly rows: number;
  /** Columns of the result. */
  readonly columns: number;
  /** Number of lists. */
  readonly lists: number;
  /** Parameters after `rows`, `columns` and `lists`. */
  readonly params?: Readonly<Record<string, number>>;
  /** Invocations that it needs at least. */
  readonly least?: number;
  /** What the caller forces. */
  readonly variant?: PointwiseVariant | undefined;
}

/**
 * Records an operation over the rows of a result, an invocation for each element.
 *
 * @param ctx The GPU.
 * @param run What to run.
 * @throws {RangeError} When the forced variant does not exist.
 */
export function dispatchRagged(ctx: GpuContext, run: RaggedRows): void {
  const { rows, lists, least = 0 } = run;
  const lanes: Lanes = lanesOf(ctx, { ...run, channels: [run.columns] });
  const columns = run.columns / lanes;
  ctx.dispatch(run.kernel(lanes), {
    buffers: run.buffers,
    params: { rows, columns, lists, ...run.params },
    workgroups: gridFor(Math.max(least, rows * columns), POINTWISE_WORKGROUP),
  });
}
