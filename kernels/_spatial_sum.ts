/**
 * Sums of maps with channels last over their positions, channel by channel, in two passes and without
 * atomics: the heart of global pooling, of gates' gradients and of the gradients of column parameters.
 *
 * @module
 */

import { type GpuContext, gridFor, type Tensor } from "../runtime/mod.ts";
import {
  type Lanes,
  lanesOf,
  POINTWISE_WORKGROUP,
  pointwiseKernel,
  type PointwiseVariant,
} from "./_pointwise.ts";
import source from "./_spatial_sum.wgsl" with { type: "text" };

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "spatial_sum",
  wgsl: source,
  bindings: ["read", "read", "read", "read_write"],
  params: {
    items: "u32",
    channels: "u32",
    rows: "u32",
    slices: "u32",
    slice_rows: "u32",
    factor: "f32",
  },
});

/** Rows that a sum in f32 keeps its digits over, far below what a software adapter runs. */
const MOST_ROWS = 4096;

/** Fewer rows than this are not worth a second pass. */
const LEAST_ROWS = 32;

/** Invocations that keep an adapter busy. */
const BUSY = { software: 64, gpu: 16_384 };

/** How the rows are cut. */
export interface SpatialSlices {
  /** Number of slices. */
  readonly slices: number;
  /** Rows of every slice but the last. */
  readonly sliceRows: number;
}

/**
 * Cuts the rows of maps so that there is enough to do at once.
 *
 * @param rows Rows of one map.
 * @param columns Sums that are independent anyway.
 * @param software Whether the adapter computes on the CPU.
 * @returns The slices.
 */
export function planSpatialSum(
  rows: number,
  columns: number,
  software: boolean,
): SpatialSlices {
  const wanted = Math.ceil((software ? BUSY.software : BUSY.gpu) / Math.max(1, columns));
  const sliceRows = Math.min(MOST_ROWS, Math.max(LEAST_ROWS, Math.ceil(rows / wanted)));
  return { slices: Math.max(1, Math.ceil(rows / sliceRows)), sliceRows };
}

/** What is summed. */
export interface SpatialSum {
  /** The operation's name, under which a GPU may force a variant. */
  readonly operation: string;
  /** What the caller forces. */
  readonly variant?: PointwiseVariant | undefined;
  /** Number of maps. */
  readonly maps: number;
  /** Positions of each. */
  readonly rows: number;
  /** Channels of each. */
  readonly channels: number;
  /** f32 [maps, rows, channels]. */
  readonly a: Tensor;
  /** Multiplies `a`, f32 of the same shape. */
  readonly b?: Tensor;
  /**
   * What `b` is normalised by first, f32 [maps, rows, 4]: an origin, the mean relative to it, and the
   * reciprocal deviation; the fourth number is not read.
   */
  readonly stats?: Tensor;
  /** Multiplies the sums, 1 by default. */
  readonly factor?: number;
  /** Where the sums go, f32 [maps, channels] or a shape with as many elements. */
  readonly output: Tensor;
}

/**
 * Records sums over positions. Sums in f32 by slices of at most 4096 rows, then over the slices; two
 * runs give the same bits.
 *
 * @param ctx The GPU.
 * @param sum What to sum.
 * @throws {RangeError} When the forced variant does not exist.
 */
export function spatialSum(ctx: GpuContext, sum: SpatialSum): void {
  const { maps, rows, a, b = a, stats = a, factor = 1, output } = sum;
  if (output.size === 0) return;
  const lanes = lanesOf(ctx, { ...sum, channels: [sum.channels] });
  const mode = sum.stats !== undefined ? 2 : sum.b !== undefined ? 1 : 0;
  const channels = sum.channels / lanes;
  const { slices, sliceRows } = planSpatialSum(
    rows,
    maps * channels,
    ctx.gpu.adapter.isSoftware,
  );
  const parts = slices === 1
    ? undefined
    : ctx.empty([maps, slices, sum.channels], "f32", { label: "sums of slices" });
  const first = { maps, channels, rows, slices, sliceRows, factor: parts ? 1 : factor };
  pass(ctx, [a, b, stats, parts ?? output], { ...first, lanes, mode });
  if (parts === undefined) return;
  const second = { maps, channels, rows: slices, slices: 1, sliceRows: slices, factor };
  pass(ctx, [parts, parts, parts, output], { ...second, lanes, mode: 0 });
  parts.dispose();
}

interface Pass extends SpatialSlices {
  readonly lanes: Lanes;
  readonly mode: number;
  readonly maps: number;
  readonly channels: number;
  readonly rows: number;
  readonly factor: number;
}

function pass(ctx: GpuContext, buffers: readonly Tensor[], how: Pass): void {
  const { channels, rows, slices, sliceRows, factor } = how;
  const items = how.maps * slices * channels;
  ctx.dispatch(KERNEL(how.lanes, { MODE: how.mode }), {
    buffers,
    params: { items, channels, rows, slices, slice_rows: sliceRows, factor },
    workgroups: gridFor(items, POINTWISE_WORKGROUP),
  });
}
