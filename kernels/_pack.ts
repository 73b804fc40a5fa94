/**
 * Brings operands into the layout that the product kernels read: contiguous along k, in whole vec4.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../runtime/mod.ts";
import source from "./_pack.wgsl" with { type: "text" };

const PACK: Kernel = {
  name: "pack",
  wgsl: source,
  bindings: ["read", "read_write"],
  params: { count: "u32", rows: "u32", k: "u32", quads: "u32", transposed: "u32" },
};

/** An operand as it lies in memory. */
export interface Operand {
  /** Number of matrices. */
  readonly batches?: number;
  /** Rows, whatever the layout. */
  readonly rows: number;
  /** Length of the axis that is summed over. */
  readonly k: number;
  /** Whether the rows lie along the last axis. */
  readonly transposed?: boolean;
}

/** Number of vec4 that `k` elements take. */
export function quadsOf(k: number): number {
  return Math.ceil(k / 4);
}

/**
 * The operand as f32 [batches, rows, 4 * quadsOf(k)], padded with zeros: itself where it already
 * lies so, else a copy that the context owns.
 *
 * @param ctx Where to record.
 * @param x The operand.
 * @param layout How it lies.
 * @returns The operand or its copy.
 */
export function packed(ctx: GpuContext, x: Tensor, layout: Operand): Tensor {
  const { batches = 1, rows, k, transposed = false } = layout;
  const quads = quadsOf(k);
  if (!transposed && k % 4 === 0) return x;
  const copy = ctx.empty([batches, rows, 4 * quads], "f32", { label: `${x.label} packed` });
  const count = batches * rows * quads;
  ctx.dispatch(PACK, {
    buffers: [x, copy],
    params: { count, rows, k, quads, transposed: transposed ? 1 : 0 },
    workgroups: gridFor(count, 64),
  });
  return copy;
}
