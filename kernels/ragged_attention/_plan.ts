/**
 * How the streaming kernels of an attention are laid out: pure functions of the sizes.
 *
 * @module
 */

import { REGISTER_LANES } from "../_products.ts";

/** Kernels that never write the scores: rows in registers of software adapters, or tiles of GPUs. */
export type StreamedVariant = "register" | "tiled";

/** Which tile of the `register` variant: a large one takes seconds to compile. */
export type RaggedAttentionTile = "small" | "large";

/** How one kernel is laid out. */
export interface Layout {
  /** Rows of a tile. */
  readonly rows: number;
  /** Items that one workgroup does. */
  readonly perWorkgroup: number;
  /** Parts that a head is cut into. */
  readonly parts: number;
  /** Values of the kernel's marked constants. */
  readonly spec: Readonly<Record<string, number>>;
}

/** Which pass a kernel is for. */
export type Pass = "forward" | "queries" | "keys";

/** `LANES` of the tiled kernels. */
const TILED_LANES = 64;

/**
 * Vec4 that all rows of an invocation of the large tile hold, in heads of up to 16 columns and in wider
 * ones, which gain more from it; the small tile holds half. Compiling the three kernels takes 4.5 to 6 s
 * for 64 columns, and 1.4 s with the small tile, which runs at 60 % of the speed; for 16 columns 1.5 and
 * 0.6 s, and 70 %.
 */
const NARROW_QUADS = 4;
const NARROW_HELD = 32;
const WIDE_HELD = 64;

/** Rows of an invocation at most. */
const MOST_ROWS: Readonly<Record<RaggedAttentionTile, number>> = { small: 8, large: 16 };

/** Operations of a forward pass from which on the large tile pays. */
const LARGE_WORK = 5e7;

/** Vec4 that an invocation of the tiled kernels holds of each operand; keys have two sums. */
const TILED_HELD: Readonly<Record<Pass, number>> = { forward: 16, queries: 16, keys: 8 };

/**
 * The tile of the `register` variant.
 *
 * @param work Operations of a forward pass at most.
 * @param forced What the caller forces.
 * @returns The tile.
 */
export function tileFor(
  work: number,
  forced: RaggedAttentionTile | undefined,
): RaggedAttentionTile {
  return forced ?? (work < LARGE_WORK ? "small" : "large");
}

/**
 * Lays out one kernel.
 *
 * @param pass Which kernel.
 * @param quads Vec4 of a head.
 * @param how The variant, and its tile.
 * @returns The layout.
 */
export function layoutOf(
  pass: Pass,
  quads: number,
  { variant, tile }: { readonly variant: StreamedVariant; readonly tile: RaggedAttentionTile },
): Layout {
  const held = variant === "tiled" ? TILED_HELD[pass] : registerHeld(quads, tile);
  const parts = Math.ceil(quads / held);
  const part = Math.ceil(quads / parts);
  const spec = { QUADS: part, PARTS: parts };
  if (variant === "tiled") return { rows: TILED_LANES, perWorkgroup: 1, parts, spec };
  // A power of two, so that a key's place in its tile is its place in a group of four.
  const rows = Math.min(MOST_ROWS[tile], 2 ** Math.floor(Math.log2(held / part)));
  const groups = pass === "keys" ? { GROUPS: Math.ceil(rows / 4) } : {};
  return { rows, perWorkgroup: REGISTER_LANES, parts, spec: { ...spec, TM: rows, ...groups } };
}

function registerHeld(quads: number, tile: RaggedAttentionTile): number {
  const held = quads <= NARROW_QUADS ? NARROW_HELD : WIDE_HELD;
  return tile === "large" ? held : held / 2;
}
