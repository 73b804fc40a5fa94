/**
 * Products that are folded into one small state per row while they are made: the largest entry,
 * the log-sum-exp, the sum of squares. The rows x columns matrix is never written.
 *
 * Where there are too few rows to keep the machine busy, the columns are split into segments, each
 * with a state of its own; a finishing kernel of the operation merges them. So are columns that
 * belong to several parts, each with a result of its own. No atomics on storage, so runs agree to
 * the bit.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../runtime/mod.ts";
import { quadsOf } from "./_pack.ts";
import { intoPanels, MOST_PANEL_WORKGROUPS, type PanelSource } from "./_panels.ts";
import {
  LOOP_TURNS,
  type ProductVariant,
  REGISTER_LANES,
  type RegisterSide,
  registerSide,
  type RegisterTile,
  SMALL_WORK,
} from "./_products.ts";
import { unrolled } from "./_unroll.ts";
import panelsSource from "./_row_product_panels.wgsl" with { type: "text" };
import registerSource from "./_row_product_register.wgsl" with { type: "text" };
import tiledSource from "./_row_product_tiled.wgsl" with { type: "text" };

const KERNEL: Omit<Kernel, "name" | "wgsl"> = {
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: {
    rows: "u32",
    columns: "u32",
    quads: "u32",
    row_tiles: "u32",
    first_columns: "u32",
    part_columns: "u32",
    first_segments: "u32",
    part_segments: "u32",
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
const panelsKernel = /* @__PURE__ */ unrolled({
  ...KERNEL,
  name: "row_product_panels",
  wgsl: panelsSource,
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

/** Columns in a first part and others of one size, none of which shares a segment with another. */
export interface ColumnParts {
  /** Columns of the first part. */
  readonly first: number;
  /** Columns of each other part. */
  readonly size: number;
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
  /** Parts of the columns, where there are several; they take no bias. */
  readonly parts?: ColumnParts | undefined;
  /**
   * Whether the register variant copies its operands into panels for a larger tile, which it can for
   * plain products with the states `largest` and `logSumExp`; `auto`: where it pays. Default no.
   */
  readonly panels?: "auto" | boolean;
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

/** The states of columns in parts: the segments of the first part, then those of each other. */
export interface PartStates extends RowStates {
  /** Segments of the first part. */
  readonly firstSegments: number;
  /** Segments of each other part. */
  readonly partSegments: number;
}

/** How rows and columns are cut. */
export interface RowProductPlan {
  /** Rows of a tile. */
  readonly rows: number;
  /** Columns of a tile. */
  readonly columns: number;
  /** Tiles along the rows. */
  readonly rowTiles: number;
  /** Tiles along the columns, those of all parts. */
  readonly columnTiles: number;
  /** Column tiles of one segment. */
  readonly segmentTiles: number;
  /** Segments of the first part. */
  readonly firstSegments: number;
  /** Segments of each other part. */
  readonly partSegments: number;
  /** Number of segments. */
  readonly segments: number;
}

/** What is cut. */
export interface RowProductShape {
  /** Rows of x. */
  readonly rows: number;
  /** Rows of y. */
  readonly columns: number;
  /** Length of the axis that is summed over. */
  readonly k: number;
  /** Parts of the columns, where there are several. */
  readonly parts?: ColumnParts | undefined;
}

const TILED_SIDE = 64;

/** Tiles at work at once: eight vectors of a software adapter, or two per multiprocessor. */
const ENOUGH_ITEMS = { register: 8 * REGISTER_LANES, panels: 8 * REGISTER_LANES, tiled: 256 };

/** Loop turns that a tile takes for some vec4 of k. */
const TILE_TURNS = {
  register: (quads: number) => quads + 2,
  panels: (quads: number) => 4 * quads + 2,
  // A step takes 16 of k: a loop of one turn that fetches, a loop of four that adds, and its own.
  tiled: (quads: number) => 8 * Math.ceil(quads / 4) + 2,
};

/**
 * Tiles in panels. More rows or columns are too many sums: their code no longer fits in the caches.
 */
const PANEL_TILES: readonly RegisterTile[] = [
  { rows: 24, columns: 24 },
  { rows: 28, columns: 20 },
  { rows: 24, columns: 16 },
];

/**
 * Cuts a row product into tiles and segments.
 *
 * @param variant Which kernel.
 * @param shape Rows, columns, and the length of the axis that is summed over.
 * @param side Longest side of the register kernel's tile.
 * @returns The cut.
 */
export function planRowProduct(
  variant: Exclude<ProductVariant, "naive"> | "panels",
  shape: RowProductShape,
  side: RegisterSide = 16,
): RowProductPlan {
  const { parts = { first: shape.columns, size: 0 } } = shape;
  const others = parts.size === 0 ? 0 : (shape.columns - parts.first) / parts.size;
  const tile = cheapest(tilesFor(variant, shape, side), shape);
  const rowTiles = Math.ceil(shape.rows / tile.rows);
  const [firstTiles, partTiles] = [parts.first, parts.size].map((columns) =>
    Math.ceil(columns / tile.columns)
  ) as [number, number];
  const columnTiles = firstTiles + others * partTiles;
  const wanted = Math.ceil(ENOUGH_ITEMS[variant] / Math.max(1, rowTiles));
  const most = Math.max(1, Math.floor(LOOP_TURNS / TILE_TURNS[variant](quadsOf(shape.k))));
  const segmentTiles = Math.min(most, Math.ceil(columnTiles / Math.min(wanted, columnTiles)));
  const [firstSegments, partSegments] = [firstTiles, partTiles].map((tiles) =>
    Math.ceil(tiles / segmentTiles)
  ) as [number, number];
  return {
    ...tile,
    rowTiles,
    columnTiles,
    segmentTiles,
    firstSegments,
    partSegments,
    segments: firstSegments + others * partSegments,
  };
}

/** The tiles that a kernel can take, the first one where there is nothing to choose. */
function tilesFor(
  variant: Exclude<ProductVariant, "naive"> | "panels",
  shape: RowProductShape,
  side: RegisterSide,
): readonly RegisterTile[] {
  if (variant === "tiled") return [{ rows: TILED_SIDE, columns: TILED_SIDE }];
  if (variant === "panels") return PANEL_TILES;
  // Rows are many or hardly any, columns may be the classes of a small head: ten, say.
  const rows = shape.rows <= 4 ? 4 : side;
  const longest = Math.max(shape.parts?.first ?? shape.columns, shape.parts?.size ?? 0);
  const columns = Math.min(side, Math.max(4, 4 * Math.ceil(longest / 4)));
  const several = shape.parts === undefined ? [columns] : [columns, 8, 4];
  return several.filter((some) => some <= columns).map((some) => ({ rows, columns: some }));
}

function cheapest(tiles: readonly RegisterTile[], shape: RowProductShape): RegisterTile {
  const costs = tiles.map((tile) => tilesCost(tile, shape));
  return tiles[costs.indexOf(Math.min(...costs))]!;
}

/**
 * What all tiles cost for one of k, in multiplications of a vector: on lavapipe an element that is
 * fetched costs as much as 26.
 */
function tilesCost({ rows, columns }: RegisterTile, shape: RowProductShape): number {
  const { first, size } = shape.parts ?? { first: shape.columns, size: 0 };
  const others = size === 0 ? 0 : (shape.columns - first) / size;
  const columnTiles = Math.ceil(first / columns) + others * Math.ceil(size / columns);
  const tiles = Math.ceil(shape.rows / rows) * columnTiles;
  return tiles * (rows * columns + 26 * (rows + columns));
}

/** What copying an element costs, in multiplications of a vector. */
const COPY_COST = 18 * REGISTER_LANES;

/** Which kernel computes a product, and how it is cut. */
function chooseKernel(
  ctx: GpuContext,
  options: RowProductOptions,
): { readonly kernel: "register" | "panels" | "tiled"; readonly plan: RowProductPlan } {
  const { variant, rows, columns, k } = options;
  const side = options.side ?? registerSide(2 * rows * columns * k);
  const plan = planRowProduct(variant, options, side);
  if (variant === "tiled" || !panelsFit(ctx, options)) return { kernel: variant, plan };
  const panels = planRowProduct("panels", options);
  const copies = COPY_COST * (rows + columns);
  const pay = options.side === undefined && 2 * rows * columns * k >= SMALL_WORK &&
    tilesCost(panels, options) + copies < tilesCost(plan, options);
  const wanted = options.panels === "auto" ? pay : options.panels;
  return wanted ? { kernel: "panels", plan: panels } : { kernel: variant, plan };
}

/** Whether the panel kernel can do a product, and the device can hold its panels. */
function panelsFit(ctx: GpuContext, options: RowProductOptions): boolean {
  const { term, load, state, rows, columns, k, parts } = options;
  if (term !== "product" || load !== "plain" || state === "sumOfSquares" || k === 0) return false;
  const others = parts === undefined ? 0 : (columns - parts.first) / parts.size;
  const most = Math.max(others, Math.ceil((Math.max(rows, columns) + 32) / 4));
  const { columnTiles, columns: width } = planRowProduct("panels", options);
  const bytes = 16 * quadsOf(k) * Math.max(rows + 32, columnTiles * width);
  return most <= MOST_PANEL_WORKGROUPS &&
    bytes <= ctx.gpu.device.limits.maxStorageBufferBindingSize;
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
): PartStates {
  const { rows, columns, parts } = options;
  const { kernel: chosen, plan } = chooseKernel(ctx, options);
  const { firstSegments, partSegments, segments } = plan;
  const first = ctx.empty([segments, rows], "f32", { label: "row states" });
  const second = ctx.empty([segments, rows], "u32", { label: "row states" });
  const items = segments * plan.rowTiles;
  using scope = ctx.scope();
  const [x, y] = chosen === "panels"
    ? panelsOf(scope, inputs, { ...options, plan })
    : [inputs.x, inputs.y];
  ctx.dispatch(kernelOf(chosen, { ...options, plan }), {
    buffers: [x, y, inputs.extra ?? x, first, second],
    params: {
      rows,
      columns,
      quads: quadsOf(options.k),
      row_tiles: plan.rowTiles,
      first_columns: parts?.first ?? columns,
      part_columns: parts?.size ?? 0,
      first_segments: firstSegments,
      part_segments: partSegments,
      segment_tiles: plan.segmentTiles,
      items,
      has_bias: options.state === "logSumExp" && inputs.extra !== undefined ? 1 : 0,
      clip: options.clip ?? 0,
      scale: options.scale ?? 1,
      epsilon: options.epsilon ?? 0,
    },
    workgroups: gridFor(items, chosen === "tiled" ? 1 : REGISTER_LANES),
  });
  return { first, second, segments, firstSegments, partSegments };
}

type Planned = RowProductOptions & { readonly plan: RowProductPlan };

function kernelOf(chosen: "register" | "panels" | "tiled", { plan, ...kind }: Planned): Kernel {
  const STATE = STATES[kind.state];
  const [TM, TN] = [plan.rows, plan.columns];
  if (chosen === "panels") {
    return panelsKernel({ TM, TN, ROW_QUADS: TM / 4, COLUMN_QUADS: TN / 4, STATE });
  }
  const marks = { TERM: TERMS[kind.term], LOAD: LOADS[kind.load], STATE };
  return chosen === "tiled" ? tiledKernel(marks) : registerKernel({ TM, TN, ...marks });
}

/** Both operands in panels; a panel of y has columns of one part. */
function panelsOf(
  ctx: GpuContext,
  { x, y }: RowProductInputs,
  { rows, columns, parts, plan, ...options }: Planned,
): [x: Tensor, y: Tensor] {
  const common = { count: 1, k: 4 * quadsOf(options.k), transposed: false };
  const first = parts?.first ?? columns;
  const sources: PanelSource[] = [{ ...common, tensor: y, rows: first }];
  if (parts !== undefined && columns > first) {
    const others = { count: (columns - first) / parts.size, rows: parts.size };
    sources.push({ ...common, ...others, tensor: y, begin: first * common.k });
  }
  return [
    intoPanels(ctx, [{ ...common, tensor: x, rows }], plan.rows),
    intoPanels(ctx, sources, plan.columns),
  ];
}
