/**
 * How the operations that are matrix products at heart choose their kernel: which variant on which
 * adapter, and which tile for which shape. Pure functions, so that the choice can be tested and
 * shown without a GPU.
 *
 * @module
 */

import type { GpuContext } from "../runtime/mod.ts";

/**
 * Kernels of a product: `naive` is the baseline, `register` keeps a tile per invocation in
 * registers and uses no workgroup memory, `tiled` shares tiles through workgroup memory.
 */
export type ProductVariant = "naive" | "register" | "tiled";

/** All variants, the baseline first. */
export const PRODUCT_VARIANTS: readonly ProductVariant[] = ["naive", "register", "tiled"];

/** Options that every product takes. */
export interface ProductOptions {
  /** Forces a variant; by default the adapter decides. */
  readonly variant?: ProductVariant;
  /** Forces the workgroup's tile of the `tiled` variant; by default the shape decides. */
  readonly block?: BlockName;
  /**
   * Forces the longest side of the `register` variant's tile; by default 16, and 8 for products so
   * small that the larger tile would take longer to compile than it saves.
   */
  readonly side?: RegisterSide;
}

/** Longest side of a register tile. */
export type RegisterSide = 8 | 16;

/** Names of the tiles that a workgroup of the `tiled` variant can take. */
export type BlockName = "large" | "medium" | "small" | "tall" | "wide";

/**
 * The variant that a product runs on a GPU: the one forced by the call, else the one forced by
 * `Gpu.open({ variants: { [operation]: … } })`, else `register` on a software adapter (where
 * workgroup memory is as slow as any other, and a barrier slower still) and `tiled` elsewhere.
 *
 * @param ctx The context that runs it.
 * @param operation The operation's name, for example `matmul`.
 * @param options A variant forced by the call.
 * @returns The variant.
 * @throws {RangeError} When a forced variant does not exist.
 *
 * @example What the adapter gets
 * ```ts
 * import { productVariant } from "@oodgpu/oodgpu/kernels";
 * import { Gpu } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await Gpu.open();
 * const expected = gpu.adapter.isSoftware ? "register" : "tiled";
 * assertEquals(productVariant(gpu, "matmul"), expected);
 * assertEquals(productVariant(gpu, "matmul", { variant: "naive" }), "naive");
 * ```
 */
export function productVariant(
  ctx: Pick<GpuContext, "gpu">,
  operation: string,
  options: ProductOptions = {},
): ProductVariant {
  const wanted = options.variant ?? ctx.gpu.variants[operation];
  if (wanted === undefined) return ctx.gpu.adapter.isSoftware ? "register" : "tiled";
  const known = PRODUCT_VARIANTS.find((variant) => variant === wanted);
  if (known === undefined) {
    throw new RangeError(
      `Cannot run ${operation}: there is no variant "${wanted}", expected one of ${
        PRODUCT_VARIANTS.join(", ")
      }`,
    );
  }
  return known;
}

/**
 * Turns that all loops of one invocation may take together. Mesa's llvmpipe ends every loop of an
 * invocation silently after 65535 turns in total, nested or one after the other (measured), so
 * longer work is split over several invocations or dispatches. The turn that leaves a loop counts:
 * a loop of 8 turns inside a loop costs 10 turns each time around.
 */
export const LOOP_TURNS = 60_000;

/** A register tile: rows and columns of one invocation. */
export interface RegisterTile {
  /** Rows, `TM` in the kernels. */
  readonly rows: number;
  /** Columns, `TN` in the kernels. */
  readonly columns: number;
}

/** Invocations of one workgroup of the register kernels: one vector of a software adapter. */
export const REGISTER_LANES = 8;

/** Workgroups below which a larger tile would leave cores idle. */
const BUSY_WORKGROUPS = 4;

/**
 * Work below which a tile of side 8 does: there it loses at most some 10 ms a call, and it
 * compiles in a quarter of the time (0.25 against 1 to 1.5 s cold, 40 against 200 ms with the
 * driver's disk cache warm).
 */
export const SMALL_WORK = 5e8;

/**
 * The longest side of the register tile of a product.
 *
 * @param flops Floating-point operations of the product.
 * @param options A forced side.
 * @returns 8 or 16.
 */
export function registerSide(flops: number, options: ProductOptions = {}): RegisterSide {
  return options.side ?? (flops < SMALL_WORK ? 8 : 16);
}

/**
 * The register tile of a matrix product: the one of least cost among 4 to 16 rows and columns.
 *
 * The cost of a tile for one vec4 of k, in units of one fma of a vector, is its fma and 18 for
 * each row and column loaded (fitted on lavapipe to tiles from 4 x 4 to 16 x 16; above that the
 * registers spill).
 *
 * @param shape Rows and columns of the product, and how many products.
 * @param side Longest side of the tile.
 * @returns The tile.
 */
export function registerTile(
  shape: { readonly rows: number; readonly columns: number; readonly batches?: number },
  side: RegisterSide,
): RegisterTile {
  let best: RegisterTile = { rows: side, columns: side };
  let least = Infinity;
  for (const rows of tileLengths(shape.rows, side)) {
    for (const columns of tileLengths(shape.columns, side)) {
      const tiles = (shape.batches ?? 1) * Math.ceil(shape.rows / rows) *
        Math.ceil(shape.columns / columns);
      const workgroups = Math.max(BUSY_WORKGROUPS, Math.ceil(tiles / REGISTER_LANES));
      const cost = workgroups * (rows * columns + 18 * (rows + columns));
      if (cost < least) {
        least = cost;
        best = { rows, columns };
      }
    }
  }
  return best;
}

/** Largest first; few lengths, since each pair is a pipeline that takes up to a second to compile. */
function tileLengths(length: number, side: RegisterSide): readonly number[] {
  const largest = Math.min(side, Math.max(4, 4 * Math.ceil(length / 4)));
  return [largest, 8, 4].filter((tile) => tile <= largest);
}

/** A workgroup's tile of the tiled kernels, by the names of their marked constants. */
export interface BlockTile {
  /** Invocations along the columns. */
  readonly TX: number;
  /** Invocations along the rows. */
  readonly TY: number;
  /** Groups of 4 rows per invocation. */
  readonly RM: number;
  /** Groups of 4 columns per invocation. */
  readonly RN: number;
  /** Steps of four along k. */
  readonly KQ: number;
}

/**
 * The tiles, by name: 128 x 128, 64 x 64, 32 x 32, 256 x 16 and 16 x 256 outputs per workgroup.
 */
export const BLOCK_TILES: Readonly<Record<BlockName, BlockTile>> = {
  large: { TX: 16, TY: 16, RM: 2, RN: 2, KQ: 4 },
  medium: { TX: 16, TY: 16, RM: 1, RN: 1, KQ: 4 },
  small: { TX: 8, TY: 8, RM: 1, RN: 1, KQ: 4 },
  tall: { TX: 4, TY: 64, RM: 1, RN: 1, KQ: 2 },
  wide: { TX: 64, TY: 4, RM: 1, RN: 1, KQ: 2 },
};

/** Workgroups that keep every multiprocessor of a large GPU busy twice over. */
const ENOUGH_WORKGROUPS = 256;

/** Rows of a workgroup's tile. */
export function blockRows(tile: BlockTile): number {
  return 4 * tile.TY * tile.RM;
}

/** Columns of a workgroup's tile. */
export function blockColumns(tile: BlockTile): number {
  return 4 * tile.TX * tile.RN;
}

/** Bytes of workgroup memory that a tile takes. */
function blockBytes(tile: BlockTile): number {
  return 4 * tile.KQ * (tile.TY * tile.RM + 1 + tile.TX * tile.RN + 1) * 16;
}

/**
 * The workgroup's tile of a matrix product: thin ones for thin products, else the largest that
 * still gives every multiprocessor work and fits into workgroup memory.
 *
 * @param shape Rows and columns of the product, and how many products.
 * @param limits The device's workgroup memory in bytes.
 * @returns The tile.
 */
export function blockTile(
  shape: { readonly rows: number; readonly columns: number; readonly batches?: number },
  limits: { readonly maxComputeWorkgroupStorageSize: number },
): BlockTile {
  const { large, medium, small, tall, wide } = BLOCK_TILES;
  if (shape.columns <= 16 && shape.rows > 64) return tall;
  if (shape.rows <= 16 && shape.columns > 64) return wide;
  const workgroups = (tile: BlockTile) =>
    (shape.batches ?? 1) * Math.ceil(shape.rows / blockRows(tile)) *
    Math.ceil(shape.columns / blockColumns(tile));
  const fits = (tile: BlockTile) =>
    workgroups(tile) >= ENOUGH_WORKGROUPS &&
    blockBytes(tile) <= limits.maxComputeWorkgroupStorageSize;
  return [large, medium].find(fits) ?? small;
}
