/**
 * How a neighbour search is cut into blocks of queries and of bank rows.
 *
 * @module
 */

import { LOOP_TURNS } from "../_products.ts";

/** Columns whose minimum is kept, and whose distances lie together. */
export const GROUP = 16;

/** Largest k: beyond, sorting alone would come near `LOOP_TURNS`. */
export const MAX_NEIGHBOURS = 1024;

/** How large the blocks are. */
export interface BlockPlan {
  /** Queries of one block. */
  readonly rows: number;
  /** Bank rows of one block, a multiple of {@linkcode GROUP}. */
  readonly columns: number;
}

/**
 * Block sizes of a search.
 *
 * Distances of a block are written once and read once, so it should be large enough to fill the
 * machine and small enough for memory. On a software adapter the selection must also keep within
 * `LOOP_TURNS` when every distance is smaller than all before it.
 *
 * @param size Queries, neighbours wanted, and the largest block of distances in bytes.
 * @param adapter Whether it computes on the CPU, and whether the selection is the naive one.
 * @returns The block sizes.
 */
export function planBlocks(
  size: { readonly rows: number; readonly k: number; readonly bytes: number },
  adapter: { readonly isSoftware: boolean; readonly naive: boolean },
): BlockPlan {
  const { k } = size;
  const rows = Math.max(1, Math.min(size.rows, adapter.isSoftware ? 2048 : 16_384));
  const byMemory = Math.floor(size.bytes / 4 / rows);
  const columns = adapter.isSoftware ? Math.min(byMemory, byTurns(k, adapter.naive)) : byMemory;
  return { rows, columns: Math.max(GROUP, Math.floor(columns / GROUP) * GROUP) };
}

/**
 * Bank rows of which each may cost a search, an insertion and the exits of their loops; a heap of
 * k values has that many levels, a sorted list k places.
 */
function byTurns(k: number, naive: boolean): number {
  const levels = Math.ceil(Math.log2(k + 1));
  return naive ? (LOOP_TURNS - k) / (k + 2) : (LOOP_TURNS - k * (levels + 4)) / (levels + 6);
}
