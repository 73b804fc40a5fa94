/**
 * Large matrix products on software adapters: both operands are copied into panels first, which
 * lets a register tile be larger.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { intoPanels, MOST_PANEL_WORKGROUPS } from "../_panels.ts";
import { REGISTER_LANES } from "../_products.ts";
import { unrolled } from "../_unroll.ts";
import panelsSource from "./matmul_panels.wgsl" with { type: "text" };

const PRODUCT = {
  name: "matmul_panels",
  wgsl: panelsSource,
  bindings: ["read", "read", "read", "read_write"],
  params: {
    m: "u32",
    n: "u32",
    k: "u32",
    k_begin: "u32",
    k_end: "u32",
    row_tiles: "u32",
    column_tiles: "u32",
    tiles: "u32",
    a_batch: "u32",
    b_batch: "u32",
    has_bias: "u32",
  },
} as const satisfies Kernel;

const panelsKernel = /* @__PURE__ */ unrolled(PRODUCT);

/** Rows, and columns, of a tile: the kernels' text as it stands. */
const SIDE = 24;

/** What copying an element costs over what a multiplication saves: 3 over 0.03 ns on lavapipe. */
const COPY_COST = 100;

/** An operand of a product in panels. */
export interface PanelOperand {
  /** The tensor. */
  readonly tensor: Tensor;
  /** Matrices in it: 1 when all products share it. */
  readonly count: number;
  /** Whether the axis that is summed over comes first. */
  readonly transposed: boolean;
  /** Its panels from {@linkcode panelsOf}, where they have been made before. */
  readonly panels?: Tensor | undefined;
}

/** Lengths of a product. */
export interface PanelSize {
  /** Number of products. */
  readonly batches: number;
  /** Rows. */
  readonly m: number;
  /** Columns. */
  readonly n: number;
  /** Length of the axis that is summed over. */
  readonly k: number;
}

/**
 * Whether the panel kernels can do a product: they read and write whole vec4, of at most 262,000
 * rows.
 *
 * @param size Its lengths.
 * @param transposed Which operands have the axis that is summed over first.
 * @returns Whether they can.
 */
export function panelsFit(
  { batches, m, n, k }: PanelSize,
  transposed: { readonly a: boolean; readonly b: boolean },
): boolean {
  const whole = (length: number) => length % 4 === 0;
  const most = Math.max(batches, SIDE / 4 * Math.ceil(Math.max(m, n) / SIDE));
  return whole(n) && whole(transposed.a ? m : k) && (transposed.b || whole(k)) &&
    most <= MOST_PANEL_WORKGROUPS;
}

/**
 * Whether copying the operands takes less time than the larger tile saves.
 *
 * @param size Lengths of the product.
 * @returns Whether it does.
 */
export function panelsPay({ m, n }: PanelSize): boolean {
  return m * n > COPY_COST * (m + n);
}

/** A product in panels. */
export interface PanelProduct extends PanelSize {
  /** f32 [M, K] or a stack. */
  readonly a: PanelOperand;
  /** f32 [N, K] or a stack; transposed: [K, N]. */
  readonly b: PanelOperand;
  /** f32 [N]. */
  readonly bias?: Tensor | undefined;
  /** f32 [batches, M, N]. */
  readonly c: Tensor;
  /** Ranges of k that one dispatch takes each. */
  readonly chunks: readonly (readonly [begin: number, end: number])[];
}

/**
 * Copies an operand into panels.
 *
 * @param ctx Owner of the panels.
 * @param operand The operand.
 * @param size Its rows, and the length of the axis that is summed over.
 * @returns The panels, of the shape of {@linkcode panelsShape}.
 */
export function panelsOf(
  ctx: GpuContext,
  operand: PanelOperand,
  size: { readonly rows: number; readonly k: number },
): Tensor {
  return intoPanels(ctx, [{ ...operand, ...size }], SIDE);
}

/** The shape of the panels of an operand. */
export function panelsShape(
  { count, rows, k }: { readonly count: number; readonly rows: number; readonly k: number },
): readonly [panels: number, k: number, side: number] {
  return [count * Math.ceil(rows / SIDE), k, SIDE];
}

/**
 * Records a product.
 *
 * @param ctx Where to record.
 * @param product Operands and lengths that fit.
 */
export function panelProduct(ctx: GpuContext, product: PanelProduct): void {
  const { batches, m, n, k, c, bias } = product;
  const [rowTiles, columnTiles] = [Math.ceil(m / SIDE), Math.ceil(n / SIDE)];
  using scope = ctx.scope();
  const a = product.a.panels ?? panelsOf(scope, product.a, { rows: m, k });
  const b = product.b.panels ?? panelsOf(scope, product.b, { rows: n, k });
  const tiles = batches * rowTiles * columnTiles;
  const quads = k * SIDE / 4;
  for (const [begin, end] of product.chunks) {
    ctx.dispatch(panelsKernel({ ACCUMULATE: begin === 0 ? 0 : 1 }), {
      buffers: [a, b, bias ?? a, c],
      params: {
        m,
        n,
        k,
        k_begin: begin,
        k_end: end,
        row_tiles: rowTiles,
        column_tiles: columnTiles,
        tiles,
        a_batch: product.a.count === 1 ? 0 : rowTiles * quads,
        b_batch: product.b.count === 1 ? 0 : columnTiles * quads,
        has_bias: bias === undefined || begin > 0 ? 0 : 1,
      },
      workgroups: gridFor(tiles, REGISTER_LANES),
    });
  }
}
