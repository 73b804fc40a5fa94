/**
 * Which variant of the moments and class sums runs, and how the rows are cut into slices.
 *
 * @module
 */

import { LOOP_TURNS, type ProductVariant } from "../_products.ts";

/** How the rows are cut; each slice is summed on its own, then the slices are added in order. */
export interface Slices {
  /** Number of slices, at least 1. */
  readonly slices: number;
  /** Rows of every slice but the last, a multiple of four. */
  readonly sliceRows: number;
}

/** How moments run. */
export interface MomentsPlan extends Slices {
  /** The variant. */
  readonly variant: ProductVariant;
  /** Columns on each side of a register tile. */
  readonly tile: number;
}

/** Variants of the class sums. */
export type ClassSumsVariant = "naive" | "columns" | "classes";

/** How class sums run. */
export interface ClassSumsPlan extends Slices {
  /** The variant. */
  readonly variant: ClassSumsVariant;
}

/** A sum in f32 keeps its digits over this many rows. */
const EXACT_ROWS = 4096;

/** Tiles that keep the lanes of a few cores busy. */
const BUSY_TILES = 64;

/** Elements that all slices together may take: 16 MiB. */
const SLICE_ELEMENTS = 1 << 22;

/**
 * Cuts rows into slices.
 *
 * @param rows Number of rows.
 * @param slices How many slices are wanted.
 * @returns The slices.
 */
export function cut(rows: number, slices: number): Slices {
  const sliceRows = Math.max(4, 4 * Math.ceil(rows / Math.max(1, slices) / 4));
  return { slices: Math.max(1, Math.ceil(rows / sliceRows)), sliceRows };
}

/**
 * Cuts the rows for the sum of all columns.
 *
 * @param rows Number of rows.
 * @returns The slices.
 */
export function planSum(rows: number): Slices {
  return cut(rows, Math.ceil(rows / EXACT_ROWS));
}

/**
 * Chooses how moments run. The register variant reads four rows per loop turn, the naive one a row;
 * slices keep both within what a software adapter runs, the lanes busy, and the sums exact, as far
 * as memory allows.
 *
 * @param shape The matrix.
 * @param target Whether the adapter computes on the CPU, and a forced variant.
 * @returns The plan.
 * @throws {RangeError} When the forced variant does not exist.
 */
export function planMoments(
  shape: { readonly rows: number; readonly columns: number },
  target: { readonly software: boolean; readonly variant?: string | undefined },
): MomentsPlan {
  const variant = target.variant ?? (target.software ? "register" : "tiled");
  if (variant !== "naive" && variant !== "register" && variant !== "tiled") {
    throw new RangeError(
      `Cannot run moments: there is no variant "${variant}", expected naive, register or tiled`,
    );
  }
  const { rows, columns } = shape;
  const tile = columns > 8 ? 16 : columns > 4 ? 8 : 4;
  const side = Math.ceil(columns / tile);
  const least = Math.ceil(rows / (variant === "naive" ? LOOP_TURNS : 4 * LOOP_TURNS));
  const wanted = Math.max(
    Math.ceil(rows / EXACT_ROWS),
    Math.ceil(BUSY_TILES / (side * (side + 1) / 2)),
  );
  const room = Math.floor(SLICE_ELEMENTS / columns ** 2);
  return { variant, tile, ...cut(rows, Math.max(least, Math.min(wanted, room))) };
}

/**
 * Chooses how class sums run: by columns on software adapters, where work counts, and by classes
 * elsewhere, where parallel work and coalesced loads count.
 *
 * @param shape The matrix, and the number of classes.
 * @param target Whether the adapter computes on the CPU, and a forced variant.
 * @returns The plan.
 * @throws {RangeError} When the forced variant does not exist, or has too many classes.
 */
export function planClassSums(
  shape: { readonly rows: number; readonly columns: number; readonly classes: number },
  target: { readonly software: boolean; readonly variant?: string | undefined },
): ClassSumsPlan {
  const { rows, columns, classes } = shape;
  // A class to clear and a row to add take a turn, and without vec4 one more for each of four.
  const room = Math.floor(LOOP_TURNS / (columns % 4 === 0 ? 1 : 5)) - classes;
  const byColumns = target.software && room >= EXACT_ROWS;
  const variant = target.variant ?? (byColumns ? "columns" : "classes");
  const slicesOf = (most: number) => Math.ceil(rows / Math.min(most, 8 * EXACT_ROWS));
  switch (variant) {
    case "naive":
    case "classes":
      return { variant, ...cut(rows, slicesOf(LOOP_TURNS)) };
    case "columns":
      if (room < 4) {
        throw new RangeError(
          `Cannot run classSums: ${classes} classes are too many for the variant "columns"`,
        );
      }
      return { variant, ...cut(rows, slicesOf(room - 3)) };
    default:
      throw new RangeError(
        `Cannot run classSums: there is no variant "${variant}", expected naive, columns or classes`,
      );
  }
}
