/**
 * The baseline of packing rows: one kernel over all images, or over a few of them.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../../runtime/mod.ts";
import naiveSource from "./ragged_gather_naive.wgsl" with { type: "text" };

const NAIVE: Kernel = {
  name: "ragged_gather_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read", "read_write"],
  params: {
    images: "u32",
    tokens: "u32",
    columns: "u32",
    rows: "u32",
    first: "u32",
    last: "u32",
  },
};

const WORKGROUP = 64;

/** What is packed, and where it goes. */
export interface Gathered {
  /** f32 [N, T, E]. */
  readonly x: Tensor;
  /** i32 [N, T]. */
  readonly keep: Tensor;
  /** i32 [N + 1]. */
  readonly offsets: Tensor;
  /** f32 [capacity, E]. */
  readonly y: Tensor;
}

/** Packs the kept rows of all images and writes the zeros behind them. */
export function gatherNaively(ctx: GpuContext, tensors: Gathered): void {
  const { x, y } = tensors;
  const [images, tokens] = x.shape as readonly [number, number];
  record(ctx, tensors, { first: 0, last: images, items: Math.max(images * tokens, y.shape[0]!) });
}

/**
 * Packs the kept rows of one image alone: the way of a host that knows the offsets and takes one image
 * after the other. The result must have no row behind the last list, or zeros there already.
 */
export function gatherImage(ctx: GpuContext, tensors: Gathered, image: number): void {
  record(ctx, tensors, { first: image, last: image + 1, items: tensors.x.shape[1]! });
}

function record(
  ctx: GpuContext,
  { x, keep, offsets, y }: Gathered,
  { first, last, items }: { first: number; last: number; items: number },
): void {
  const [images, tokens, columns] = x.shape as readonly [number, number, number];
  ctx.dispatch(NAIVE, {
    buffers: [x, keep, offsets, y],
    params: { images, tokens, columns, rows: y.shape[0]!, first, last },
    workgroups: gridFor(items, WORKGROUP),
  });
}
