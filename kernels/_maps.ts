/**
 * What operations on maps with channels last share: the check of a map, and the dispatch of one
 * invocation per element, or per four channels.
 *
 * @module
 */

import { type GpuContext, gridFor, type Tensor } from "../runtime/mod.ts";
import { type Argument, requireDType, requireShape } from "./_arguments.ts";
import {
  lanesOf,
  POINTWISE_WORKGROUP,
  type PointwiseKernel,
  type PointwiseVariant,
} from "./_pointwise.ts";
import type { Spec } from "./_unroll.ts";

/** Lengths of maps. */
export interface Maps {
  /** Number of maps. */
  readonly n: number;
  /** Rows. */
  readonly height: number;
  /** Columns. */
  readonly width: number;
  /** Channels. */
  readonly channels: number;
}

/**
 * Checks maps with channels last.
 *
 * @returns Their lengths.
 * @throws {DTypeError} When the tensor does not hold f32.
 * @throws {ShapeError} When it has not four axes.
 */
export function requireMaps(tensor: Tensor, argument: Argument): Maps {
  requireDType(tensor, "f32", argument);
  const shape = requireShape(tensor, ["N", "H", "W", "C"], argument);
  const [n, height, width, channels] = shape as [number, number, number, number];
  return { n, height, width, channels };
}

/** One run over maps. */
export interface MapRun {
  /** The operation's name, under which a GPU may force a variant. */
  readonly operation: string;
  /** Its kernel, with `items` and `channels` as parameters, in units of its element type. */
  readonly kernel: PointwiseKernel;
  /** Values of its other marked constants. */
  readonly spec?: Spec;
  /** What it binds. */
  readonly buffers: readonly Tensor[];
  /** Elements to write, one or four for each invocation; those of the last buffer by default. */
  readonly count?: number;
  /** Channels of all maps. */
  readonly channels: number;
  /** Parameters besides `items` and `channels`. */
  readonly params?: Readonly<Record<string, number>>;
  /** What the caller forces. */
  readonly variant?: PointwiseVariant | undefined;
}

/**
 * Records an operation over all elements of maps.
 *
 * @param ctx The GPU.
 * @param run What to run.
 * @throws {RangeError} When the forced variant does not exist.
 */
export function dispatchMaps(ctx: GpuContext, run: MapRun): void {
  const lanes = lanesOf(ctx, { ...run, channels: [run.channels] });
  const items = (run.count ?? run.buffers.at(-1)!.size) / lanes;
  ctx.dispatch(run.kernel(lanes, run.spec), {
    buffers: run.buffers,
    params: { items, channels: run.channels / lanes, ...run.params },
    workgroups: gridFor(items, POINTWISE_WORKGROUP),
  });
}
