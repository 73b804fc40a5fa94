/**
 * Products that are folded into one small state per row while they are made: the largest entry,
 * the log-sum-exp, the sum of squares. The rows x columns matrix is never written.
 *
 * Where there are too few rows to keep the machine busy, the columns are split into segments, each
 * with a state of its own; a finishing kernel of the operation merges them. No atomics on storage,
 * so runs agree to the bit.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../runtime/mod.ts";
import { quadsOf } from "./_pack.ts";
import {
  LOOP_TURNS,
  type ProductVariant,
  REGISTER_LANES,
  type RegisterSide,
  registerSide,
} from "./_products.ts";
import { unrolled } from "./_unroll.ts";
import registerSource from "./_row_product_register.wgsl" with { type: "text" };
import tiledSource from "./_row_product_tiled.wgsl" with { type: "text" };

const KERNEL: Omit<Kernel, "name" | "wgsl"> = {
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: {
    rows: "u32",
    columns: "u32",
    quads: "u32",
    row_tiles: "u32",
    column_tiles: "u32",
    segment_tiles: "u32",
    items: "u32",
    has_bias: "u32",
    clip: "f32",
    scale: "f32",
    epsilon: "f32",
  },
};

const registerKernel = /* @__PURE__ */ unrolled({
  ...KERNEL,
  name: "row_product",
  wgsl: registerSource,
});
const tiledKernel = /* @__PURE__ */ unrolled({
  ...KERNEL,
  name: "row_product_tiled",
  wgsl: tiledSource,
});

const TERMS = { product: 0, squaredDifference: 1, relativeEntropy: 2 } as const;
const LOADS = { plain: 0, clipped: 1, centred: 2 } as const;
const STATES = { largest: 0, logSumExp: 1, sumOfSquares: 2 } as const;

/** What is summed over k, how x is loaded, and what is kept of a row. */
export interface RowProductKind {
  /** The term that is summed. */
  readonly term: keyof typeof TERMS;
  /** What happens to x on load. */
  readonly load: keyof typeof LOADS;
  /** What is kept of a row. */
  readonly state: keyof typeof STATES;
}

/** Operands, packed as the kernels want them. */
export interface RowProductInputs {
  /** f32 [rows, 4 * quads]. */
  readonly x: Tensor;
  /** f32 [columns, 4 * quads]. */
  readonly y: Tensor;
  /** A bias per column or a centre per k, padded to whole vec4. */
  readonly extra?: Tensor;
}

/** Lengths and scalars of one call. */
export interface RowProductOptions extends RowProductKind {
  /** Which kernel; not the naive one, which is each operation's own. */
  readonly variant: Exclude<ProductVariant, "naive">;
  /** Forces the longest side of the register kernel's tile. */
  readonly side?: RegisterSide | undefined;
  /** Rows of x. */
  readonly rows: number;
  /** Rows of y. */
  readonly columns: number;
  /** Length of the axis that is summed over. */
  readonly k: number;
  /** Upper bound of x for the load `clipped`. */
  readonly clip?: number;
  /** Factor of the logits for the state `logSumExp`. */
  readonly scale?: number;
  /** Least x whose logarithm is taken for the term `relativeEntropy`. */
  readonly epsilon?: number;
}

/** Longest axis to sum over: one tile must keep within `LOOP_TURNS`. */
export const MAX_ROW_PRODUCT_LENGTH = 32_768;

/**
 * Columns that one invocation of a naive row product may visit, one element at a time.
 *
 * @param k Length of the axis that is summed over.
 * @returns The columns of one segment.
 */
export function naiveSegment(k: number): number {
  return Math.max(1, Math.floor(LOOP_TURNS / (k + 2)));
}

/**
 * Checks the length of the axis that is summed over.
 *
 * @param kernel The operation's name.
 * @param k The length.
 * @throws {RangeError} When it is too long.
 */
export function requireRowProductLength(kernel: string, k: number): void {
  if (k <= MAX_ROW_PRODUCT_LENGTH) return;
  throw new RangeError(
    `Cannot run ${kernel}: rows have ${k} channels, at most ${MAX_ROW_PRODUCT_LENGTH} are supported`,
  );
}

/** The states of all segments, for a finishing kernel. */
export interface RowStates {
  /** f32 [segments, rows]: the largest value, or the sum of squares. */
  readonly first: Tensor;
  /** u32 [segments, rows]: its column, or the bits of the sum of exponentials. */
  readonly second: Tensor;
  /** Number of segments. */
  readonly segments: number;
}

/** How rows and columns are cut. */
export interface RowProductPlan {
  /** Rows of a tile. */
  readonly rows: number;
  /** Columns of a tile. */
  readonly columns: number;
  /** Tiles along the rows. */
  readonly rowTiles: number;
  /** Tiles along the columns. */
  readonly columnTiles: number;
  /** Column tiles of one segment. */
  readonly segmentTiles: number;
  /** Number of segments. */
  readonly segments: number;
}

const TILED_SIDE = 64;

/** Tiles at work at once: eight vectors of a software adapter, or two per multiprocessor. */
const ENOUGH_ITEMS = { register: 8 * REGISTER_LANES, tiled: 256 };

/**
 * Cuts a row product into tiles and segments.
 *
 * @param variant Which kernel.
 * @param shape Rows, columns, and the length of the axis that is summed over.
 * @param side Longest side of the register kernel's tile.
 * @returns The cut.
 */
export function planRowProduct(
  variant: Exclude<ProductVariant, "naive">,
  shape: { readonly rows: number; readonly columns: number; readonly k: number },
  side: RegisterSide = 16,
): RowProductPlan {
  // Rows are many or hardly any, columns may be the classes of a small head: ten, say.
  const tile = variant === "register"
    ? {
      rows: shape.rows <= 4 ? 4 : side,
      columns: Math.min(side, Math.max(4, 4 * Math.ceil(shape.columns / 4))),
    }
    : { rows: TILED_SIDE, columns: TILED_SIDE };
  const rowTiles = Math.ceil(shape.rows / tile.rows);
  const columnTiles = Math.ceil(shape.columns / tile.columns);
  const wanted = Math.ceil(ENOUGH_ITEMS[variant] / Math.max(1, rowTiles));
  // A step of the tiled kernel takes 16 of k: a loop of one turn that fetches, a loop of four that
  // adds, and its own.
  const quads = quadsOf(shape.k);
  const turns = variant === "register" ? quads + 2 : 8 * Math.ceil(quads / 4) + 2;
  const most = Math.max(1, Math.floor(LOOP_TURNS / turns));
  const segmentTiles = Math.min(most, Math.ceil(columnTiles / Math.min(wanted, columnTiles)));
  return {
    ...tile,
    rowTiles,
    columnTiles,
    segmentTiles,
    segments: Math.ceil(columnTiles / segmentTiles),
  };
}

/**
 * Records a row product.
 *
 * @param ctx Owner of the states; a scope that ends after the finishing kernel is recorded.
 * @param inputs The operands.
 * @param options What to compute.
 * @returns The states of each segment.
 */
export function rowProduct(
  ctx: GpuContext,
  inputs: RowProductInputs,
  options: RowProductOptions,
): RowStates {
  const { variant, rows, columns } = options;
  const side = options.side ?? registerSide(2 * rows * columns * options.k);
  const plan = planRowProduct(variant, options, side);
  const kind = {
    TERM: TERMS[options.term],
    LOAD: LOADS[options.load],
    STATE: STATES[options.state],
  };
  const kernel = variant === "register"
    ? registerKernel({ TM: plan.rows, TN: plan.columns, ...kind })
    : tiledKernel(kind);
  const first = ctx.empty([plan.segments, rows], "f32", { label: "row states" });
  const second = ctx.empty([plan.segments, rows], "u32", { label: "row states" });
  const items = plan.segments * plan.rowTiles;
  ctx.dispatch(kernel, {
    buffers: [inputs.x, inputs.y, inputs.extra ?? inputs.x, first, second],
    params: {
      rows,
      columns,
      quads: quadsOf(options.k),
      row_tiles: plan.rowTiles,
      column_tiles: plan.columnTiles,
      segment_tiles: plan.segmentTiles,
      items,
      has_bias: options.state === "logSumExp" && inputs.extra !== undefined ? 1 : 0,
      clip: options.clip ?? 0,
      scale: options.scale ?? 1,
      epsilon: options.epsilon ?? 0,
    },
    workgroups: gridFor(items, variant === "register" ? REGISTER_LANES : 1),
  });
  return { first, second, segments: plan.segments };
}
