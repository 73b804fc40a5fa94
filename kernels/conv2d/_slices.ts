/**
 * Adds the slices of a weight gradient.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../../runtime/mod.ts";
import addSource from "./conv2d_add_slices.wgsl" with { type: "text" };

const ADD_SLICES: Kernel = {
  name: "conv2d_add_slices",
  wgsl: addSource,
  bindings: ["read", "read_write"],
  params: { count: "u32", slices: "u32", rows: "u32", channels: "u32", padded: "u32" },
};

/** Slices of a weight gradient as a kernel writes them, [slices, rows, padded]. */
export interface Parts {
  /** Number of slices. */
  readonly slices: number;
  /** Outputs times taps, those of padding too. */
  readonly rows: number;
  /** Channels of a group, those of padding too. */
  readonly padded: number;
}

/**
 * Lets a kernel write all slices, then adds them in their order; one slice without padding is the
 * result itself.
 *
 * @param ctx Where to record.
 * @param dWeight The result, [O, KH, KW, C / groups].
 * @param parts The slices.
 * @param record Records the kernel that writes them to the tensor that it is given.
 */
export function inSlices(
  ctx: GpuContext,
  dWeight: Tensor,
  parts: Parts,
  record: (target: Tensor) => void,
): void {
  const { slices, rows, padded } = parts;
  const channels = dWeight.shape[3]!;
  if (slices === 1 && rows * padded === dWeight.size) {
    record(dWeight);
    return;
  }
  using target = ctx.empty([slices, rows, padded], "f32", { label: "slices" });
  record(target);
  ctx.dispatch(ADD_SLICES, {
    buffers: [target, dWeight],
    params: { count: dWeight.size, slices, rows, channels, padded },
    workgroups: gridFor(dWeight.size, 64),
  });
}
