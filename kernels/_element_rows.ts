/**
 * Operations on rows whose source has the element type `Elem` (see `_pointwise.ts`): one source for
 * vec4 and scalars, for one invocation per row and for several that meet in workgroup memory. The
 * naive variant is scalar, one row per invocation.
 *
 * @module
 */

import { type GpuContext, gridFor, type Scalar, type Tensor } from "../runtime/mod.ts";
import type { PointwiseKernel } from "./_pointwise.ts";
import { planRows, type RowOptions, type RowShape } from "./_rows.ts";
import type { Spec } from "./_unroll.ts";

/** One run over rows. */
export interface ElementRows extends RowShape {
  /** The operation's name, under which a GPU may force a variant. */
  readonly operation: string;
  /** Its kernel, with `rows` and `columns` (in units of its element type) as parameters. */
  readonly kernel: PointwiseKernel;
  /** Values of its other marked constants. */
  readonly spec?: Spec;
  /** What it binds. */
  readonly buffers: readonly Tensor[];
  /** Parameters besides `rows` and `columns`. */
  readonly params?: Readonly<Record<string, number | Scalar>>;
  /** How often it goes over a row. */
  readonly sweeps: number;
  /** What the caller forces. */
  readonly options: RowOptions;
}

/**
 * Records an operation over all rows.
 *
 * @param ctx The GPU.
 * @param run What to run.
 * @throws {RangeError} When the forced variant does not exist, or the adapter cannot run it.
 */
export function dispatchElementRows(ctx: GpuContext, run: ElementRows): void {
  const { rows, columns, sweeps, options } = run;
  const vector = columns % 4 === 0;
  const plan = planRows(run, {
    software: ctx.gpu.adapter.isSoftware,
    turns: { naive: sweeps, main: vector ? sweeps : 4 * sweeps },
    variant: options.variant ?? ctx.gpu.variants[run.operation],
    lanes: options.lanes,
  });
  const width = vector && plan.variant !== "naive" ? 4 : 1;
  ctx.dispatch(run.kernel(width, run.spec), {
    buffers: run.buffers,
    params: { rows, columns: columns / width, ...run.params },
    workgroups: gridFor(rows, plan.workgroup / plan.lanes),
    overrides: { WORKGROUP: plan.workgroup, LANES: plan.lanes },
  });
}
