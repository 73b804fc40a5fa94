/**
 * How the streaming kernels of an attention are laid out: pure functions of the sizes.
 *
 * @module
 */

/** Kernels that never write the scores: rows in registers of software adapters, or tiles of GPUs. */
export type StreamedVariant = "register" | "tiled";

/** Which tile of the `register` variant: a large one takes seconds to compile. */
export type AttentionTile = "small" | "large";

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

/** Invocations of a workgroup of the register kernels: one vector of a software adapter. */
const REGISTER_LANES = 8;

/** `LANES` of the tiled kernels. */
const TILED_LANES = 64;

/**
 * Vec4 that all rows of an invocation hold, and rows at most. Compiling takes 1 to 2.5 s a kernel with
 * the large tile and 0.3 to 0.7 s with the small one, which runs at half the speed where a head has 64
 * columns, and at four fifths where it has fewer.
 */
const TILES: Readonly<Record<AttentionTile, { readonly held: number; readonly rows: number }>> = {
  small: { held: 32, rows: 8 },
  large: { held: 64, rows: 16 },
};

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
export function tileFor(work: number, forced: AttentionTile | undefined): AttentionTile {
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
  { variant, tile }: { readonly variant: StreamedVariant; readonly tile: AttentionTile },
): Layout {
  const held = variant === "tiled" ? TILED_HELD[pass] : TILES[tile].held;
  const parts = Math.ceil(quads / held);
  const part = Math.ceil(quads / parts);
  const spec = { QUADS: part, PARTS: parts };
  if (variant === "tiled") return { rows: TILED_LANES, perWorkgroup: 1, parts, spec };
  // A power of two, so that a key's place in its tile is its place in a group of four.
  const rows = Math.min(TILES[tile].rows, 2 ** Math.floor(Math.log2(held / part)));
  const groups = pass === "keys" ? { GROUPS: Math.ceil(rows / 4) } : {};
  return { rows, perWorkgroup: REGISTER_LANES, parts, spec: { ...spec, TM: rows, ...groups } };
}
