/**
 * How the passes of group normalisation are laid out over maps.
 *
 * An invocation owns some groups of channels (four channels or one, whatever the normalisation's own
 * groups) at every `phases`-th position of one slice of one map. Few invocations with long slices
 * suit a software adapter; a GPU gets many, and neighbours that read one run of memory.
 *
 * @module
 */

import type { ColumnVariant } from "../_columns.ts";

/** Sizes of maps and their groups. */
export interface GroupedMaps {
  /** Number of maps. */
  readonly n: number;
  /** Positions of each, at least 1. */
  readonly positions: number;
  /** Channels of each. */
  readonly channels: number;
  /** Groups of channels, a divisor of those. */
  readonly groups: number;
}

/** Slices of one pass. */
export interface Slices {
  /** Slices of a map. */
  readonly slices: number;
  /** Positions of every slice but the last, a multiple of the phases. */
  readonly sliceRows: number;
  /** Invocations of the pass. */
  readonly invocations: number;
}

/** How all passes run. */
export interface GroupNormPlan {
  /** Channels that are read at once, 4 or 1. */
  readonly width: 1 | 4;
  /** Such reads side by side that an invocation owns at a position. */
  readonly owned: number;
  /** Positions from one that an invocation reads to the next one. */
  readonly phases: number;
  /** The passes that reduce. */
  readonly reduce: Slices;
  /** Partial results of a map that those leave: slices times phases. */
  readonly parts: number;
  /** The passes that map every element. */
  readonly map: Slices;
  /** Invocations of a workgroup. */
  readonly workgroup: number;
}

/** Invocations that keep two cores busy, and those that keep a large GPU busy. */
const SERIAL_INVOCATIONS = 256;
const TREE_INVOCATIONS = 65_536;

/** Reads in a row by which the neighbours on a GPU fill whole lines of its cache. */
const TREE_RUN = 64;

/** Turns of an invocation that reduces, at least and at most. */
const LEAST_TURNS = 8;
const MOST_TURNS = 4096;

/** Turns of an invocation that maps, at most: they share one read of the channels' numbers. */
const SERIAL_MAP_TURNS = 64;
const TREE_MAP_TURNS = 16;

/**
 * Reads side by side: four pay anyway, more only where the invocations of a vector then still share a
 * position, and so read one run of memory.
 */
const SERIAL_OWNED = [16, 8, 4, 2];

const SERIAL_WORKGROUP = 8;
const TREE_WORKGROUP = 64;

/**
 * Lays out the passes.
 *
 * @param maps The maps.
 * @param variant Whether few long slices are wanted or many short ones.
 * @returns The layout.
 */
export function planGroupNorm(maps: GroupedMaps, variant: ColumnVariant): GroupNormPlan {
  const { n, positions, channels } = maps;
  const tree = variant === "tree";
  const width = channels % 4 === 0 ? 4 : 1;
  const reads = channels / width;
  const owned = tree
    ? 1
    : SERIAL_OWNED.find((count) =>
      reads % count === 0 && (count <= 4 || reads / count >= SERIAL_WORKGROUP)
    ) ?? 1;
  const lanes = reads / owned;
  const phases = tree ? Math.min(positions, Math.ceil(TREE_RUN / lanes)) : 1;
  const turns = Math.ceil(positions / phases);
  const wanted = (tree ? TREE_INVOCATIONS : SERIAL_INVOCATIONS) / (Math.max(1, n) * lanes * phases);
  const cut = (least: number, most: number): Slices => {
    const even = Math.ceil(turns / Math.max(1, Math.round(wanted)));
    const each = Math.min(most, Math.max(least, even));
    const slices = Math.ceil(turns / each);
    return { slices, sliceRows: each * phases, invocations: n * slices * phases * lanes };
  };
  const reduce = cut(LEAST_TURNS, MOST_TURNS);
  return {
    width,
    owned,
    phases,
    reduce,
    parts: reduce.slices * phases,
    map: cut(1, tree ? TREE_MAP_TURNS : SERIAL_MAP_TURNS),
    workgroup: tree ? TREE_WORKGROUP : SERIAL_WORKGROUP,
  };
}

/** How the invocations of a second pass share the groups of all maps. */
export interface MergePlan {
  /** Invocations of a group, a power of two. */
  readonly lanes: number;
  /** Invocations of a workgroup. */
  readonly workgroup: number;
}

/** Turns of a second pass that an invocation may spend alone on a software adapter. */
const ALONE = 1024;
const MOST_LANES = 256;

/**
 * Shares the groups of a second pass.
 *
 * @param turns What there is to go over in each group.
 * @param variant Whether lanes shall share even little.
 * @returns How many invocations share a group.
 */
export function planMerge(turns: number, variant: ColumnVariant): MergePlan {
  const tree = variant === "tree";
  const wanted = tree ? Math.ceil(turns / LEAST_TURNS) : Math.ceil(turns / ALONE);
  const lanes = Math.min(MOST_LANES, 2 ** Math.ceil(Math.log2(Math.max(1, wanted))));
  return { lanes, workgroup: Math.max(lanes, tree ? TREE_WORKGROUP : SERIAL_WORKGROUP) };
}
