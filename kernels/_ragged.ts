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
import { type ColumnVariant, columnVariant } from "./_columns.ts";
import type { Lanes, PointwiseKernel } from "./_pointwise.ts";
import { LOOP_TURNS } from "./_products.ts";

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

/** How lists are spread over invocations. */
export interface ListPlan {
  /** Neighbouring elements of a row that an invocation owns, a divisor of the columns. */
  readonly groups: number;
  /** Invocations with the same elements that share a list, every so many rows. */
  readonly shares: number;
  /** Lists times shares, at least 1: they also share the padding. */
  readonly workers: number;
  /** Invocations. */
  readonly items: number;
  /** Invocations of a workgroup. */
  readonly workgroup: number;
}

/** What a {@linkcode ListPlan} depends on. */
export interface ListSizes {
  /** Number of lists. */
  readonly lists: number;
  /** Rows of the result, padding included. */
  readonly rows: number;
  /** Columns of the result in units of the kernel's element type. */
  readonly columns: number;
  /** Whether few invocations with several elements are wanted or many with one. */
  readonly variant: ColumnVariant;
}

/** Invocations of a workgroup. */
export const LIST_WORKGROUP = { naive: 64, serial: 8, tree: 64 } as const;

/** Invocations that keep two cores busy, and those that keep a large GPU busy. */
const SERIAL_ITEMS = 512;
const TREE_ITEMS = 262_144;

/** Elements side by side on a software adapter; on a GPU neighbours read neighbouring memory. */
const MOST_GROUPS = 8;

/**
 * Spreads lists over invocations. Each goes down the rows of a list, so that it looks at offsets once
 * and not for every element.
 *
 * @param sizes The lists, the result and the variant.
 * @returns The plan.
 */
export function planLists({ lists, rows, columns, variant }: ListSizes): ListPlan {
  const serial = variant === "serial";
  const groups = serial ? groupsOf(columns) : 1;
  const lanes = columns / groups;
  const some = Math.max(1, lists);
  const wanted = Math.ceil((serial ? SERIAL_ITEMS : TREE_ITEMS) / (some * lanes));
  // A share should have some rows; and its loops over a list and over padding must end in time.
  const shares = Math.max(
    1,
    Math.min(wanted, Math.ceil(rows / some / 4)),
    Math.ceil(2 * rows / LOOP_TURNS),
  );
  const workers = some * shares;
  return {
    groups,
    shares,
    workers,
    items: workers * lanes,
    workgroup: LIST_WORKGROUP[variant],
  };
}

/** The largest divisor of a number of columns that one invocation takes. */
export function groupsOf(columns: number): number {
  for (let groups = MOST_GROUPS; groups > 1; groups--) {
    if (columns % groups === 0) return groups;
  }
  return 1;
}

/** Floats that an element of the kernel has. */
export function widthOf(columns: number, variant: ColumnVariant): Lanes {
  return variant !== "naive" && columns % 4 === 0 ? 4 : 1;
}

/** Parameters of every kernel that {@linkcode dispatchLists} runs. */
export const LIST_PARAMS = {
  rows: "u32",
  columns: "u32",
  lists: "u32",
  shares: "u32",
  workers: "u32",
} as const;

/** One run over the lists of a result. */
export interface ListRun {
  /** The operation's name, under which a GPU may force a variant. */
  readonly operation: string;
  /** Its kernel, with {@linkcode LIST_PARAMS} first and `GROUPS` marked. */
  readonly kernel: PointwiseKernel;
  /** What it binds. */
  readonly buffers: readonly Tensor[];
  /** Rows of the result, padding included. */
  readonly rows: number;
  /** Columns of the result. */
  readonly columns: number;
  /** Number of lists. */
  readonly lists: number;
  /** Parameters after {@linkcode LIST_PARAMS}. */
  readonly params?: Readonly<Record<string, number>>;
  /** What the caller forces. */
  readonly variant?: ColumnVariant | undefined;
}

/**
 * Records an operation that writes all rows of a result, list by list, and zeros behind the last list.
 *
 * @param ctx The GPU.
 * @param run What to run.
 * @throws {RangeError} When the forced variant does not exist.
 */
export function dispatchLists(ctx: GpuContext, run: ListRun): void {
  const { rows, lists } = run;
  const variant = columnVariant(ctx, run.operation, run.variant);
  const width = widthOf(run.columns, variant);
  const columns = run.columns / width;
  const plan = planLists({ lists, rows, columns, variant });
  const { groups, shares, workers, items, workgroup } = plan;
  ctx.dispatch(run.kernel(width, { GROUPS: groups }), {
    buffers: run.buffers,
    params: { rows, columns, lists, shares, workers, ...run.params },
    workgroups: gridFor(items, workgroup),
    overrides: { WORKGROUP: workgroup },
  });
}
