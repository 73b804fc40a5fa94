/**
 * Panels: copies of matrices in tiles of rows, and within a tile the rows side by side for each k, so
 * that a register tile on a software adapter reads one stream of whole vec4.
 *
 * @module
 */

import type { GpuContext, Kernel, Tensor } from "../runtime/mod.ts";
import { REGISTER_LANES } from "./_products.ts";
import { unrolled } from "./_unroll.ts";
import packSource from "./_panel_pack.wgsl" with { type: "text" };

const PACK = {
  name: "panel_pack",
  wgsl: packSource,
  bindings: ["read", "read_write"],
  params: {
    rows: "u32",
    k: "u32",
    row_quads: "u32",
    k_quads: "u32",
    x_begin: "u32",
    panel_begin: "u32",
  },
} as const satisfies Kernel;

const packKernel = /* @__PURE__ */ unrolled(PACK);

/** The copy has workgroups for every 4 rows along one axis of its grid, for matrices along one. */
export const MOST_PANEL_WORKGROUPS = 65_535;

/** Matrices of one shape that lie one behind the other. */
export interface PanelSource {
  /** The tensor that they lie in. */
  readonly tensor: Tensor;
  /** Elements of the tensor before the first matrix, a multiple of 4; 0 by default. */
  readonly begin?: number;
  /** How many there are. */
  readonly count: number;
  /** Rows of each, whatever the layout. */
  readonly rows: number;
  /** Length of the axis that is summed over. */
  readonly k: number;
  /** Whether that axis comes first; rows are a multiple of 4 then, and k is otherwise. */
  readonly transposed: boolean;
}

/**
 * Copies matrices into panels, one behind the other.
 *
 * @param ctx Owner of the panels.
 * @param sources What to copy, all of the same k.
 * @param side Rows of a panel, a multiple of 4.
 * @returns f32 [panels, k, side]; a matrix has `ceil(rows / side)` panels, and rows beyond its last
 * one repeat it.
 */
export function intoPanels(
  ctx: GpuContext,
  sources: readonly PanelSource[],
  side: number,
): Tensor {
  const tiles = sources.map(({ count, rows }) => count * Math.ceil(rows / side));
  const all = tiles.reduce((sum, some) => sum + some, 0);
  const [first] = sources;
  const panels = ctx.empty([all, first!.k, side], "f32", {
    label: `${first!.tensor.label} panels`,
  });
  let panel = 0;
  for (const [i, { tensor, begin = 0, count, rows, k, transposed }] of sources.entries()) {
    const [rowQuads, kQuads] = [Math.ceil(rows / side) * side / 4, Math.ceil(k / 4)];
    const kernel = packKernel({
      SIDE_QUADS: side / 4,
      TRANSPOSED: transposed ? 1 : 0,
      WHOLE: k % 4 === 0 ? 1 : 0,
    });
    ctx.dispatch(kernel, {
      buffers: [tensor, panels],
      params: {
        rows,
        k,
        row_quads: rowQuads,
        k_quads: kQuads,
        x_begin: begin / 4,
        panel_begin: panel,
      },
      workgroups: [Math.ceil(kQuads / REGISTER_LANES), rowQuads, count],
    });
    panel += tiles[i]!;
  }
  return panels;
}
