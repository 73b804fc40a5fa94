/**
 * How convolutions are cut into tiles and slices. Pure functions, so that the choice can be tested
 * without a GPU.
 *
 * @module
 */

import {
  BLOCK_TILES,
  blockColumns,
  type BlockName,
  blockRows,
  type BlockTile,
  LOOP_TURNS,
  REGISTER_LANES,
  type RegisterSide,
} from "../_products.ts";

/**
 * A convolution as the kernels see it: every output is a sum over taps of source pixels. The
 * gradient of the images is one too, with the turned weight, once for each remainder of the stride.
 */
export interface Gather {
  /** Number of images. */
  readonly batch: number;
  /** Groups of channels. */
  readonly groups: number;
  /** Channels of a group that are read. */
  readonly channels: number;
  /** Channels of a group that are written. */
  readonly outputs: number;
  /** Along the rows. */
  readonly y: GatherAxis;
  /** Along the columns. */
  readonly x: GatherAxis;
}

/** One axis of a {@linkcode Gather}. */
export interface GatherAxis {
  /** Length of the source. */
  readonly source: number;
  /** Number of taps; 0 leaves zeros. */
  readonly taps: number;
  /** Source place of the first output and the first tap, below 0 in the padding. */
  readonly origin: number;
  /** Source places between neighbouring outputs. */
  readonly stride: number;
  /** Source places between neighbouring taps. */
  readonly dilation: number;
  /** Number of outputs. */
  readonly count: number;
  /** Length of the target. */
  readonly target: number;
  /** Target place of the first output. */
  readonly targetFirst: number;
  /** Target places between neighbouring outputs. */
  readonly targetStep: number;
  /** Length of the weight. */
  readonly weight: number;
  /** Weight place of the first tap. */
  readonly weightFirst: number;
  /** Weight places between neighbouring taps. */
  readonly weightStep: number;
}

/** A register tile of a {@linkcode Gather}. */
export interface GatherTile {
  /** Rows of outputs. */
  readonly rows: number;
  /** Columns of outputs. */
  readonly columns: number;
  /** Channels of outputs, a multiple of four. */
  readonly channels: number;
}

/** A window of source pixels: how many, and how outputs and taps lie in it. */
export interface Window {
  /** Pixels of the window. */
  readonly length: number;
  /** Source places between neighbouring pixels of the window. */
  readonly place: number;
  /** Window pixels between neighbouring outputs. */
  readonly pixelStep: number;
  /** Window pixels between neighbouring taps. */
  readonly tapStep: number;
}

/** Cost of a vec4 load in units of four fma of a vector (fitted on lavapipe). */
const LOAD_COST = 13;

/**
 * Work below which a tile of side 8 does. All layers of a network share the pipeline of the large
 * tile, so it pays earlier than for a single product.
 */
const SMALL_WORK = 2e7;

/**
 * The longest side of the register tile.
 *
 * @param flops Floating-point operations of the convolution.
 * @param forced A forced side.
 * @returns 8 or 16.
 */
export function convSide(flops: number, forced: RegisterSide | undefined): RegisterSide {
  return forced ?? (flops < SMALL_WORK ? 8 : 16);
}

/** Workgroups below which a larger tile would leave cores idle. */
const BUSY_WORKGROUPS = 4;

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/**
 * The window of a run of outputs and taps along x.
 *
 * @param outputs Number of outputs.
 * @param taps Number of taps.
 * @param axis Stride and dilation.
 * @returns The window.
 */
export function windowOf(
  outputs: number,
  taps: number,
  axis: { readonly stride: number; readonly dilation: number },
): Window {
  const place = taps === 1 ? axis.stride : gcd(axis.stride, axis.dilation);
  const pixelStep = axis.stride / place;
  const tapStep = taps === 1 ? 1 : axis.dilation / place;
  return {
    length: (outputs - 1) * pixelStep + (taps - 1) * tapStep + 1,
    place,
    pixelStep,
    tapStep,
  };
}

/** Numbers of taps that may share a window: all, or a divisor. */
export function sharedTaps(taps: number): readonly number[] {
  const few = [7, 6, 5, 4, 3, 2].filter((count) => count <= taps && taps % count === 0);
  return [...few, 1];
}

/**
 * A convolution of single taps without padding and strides is one long row of pixels.
 *
 * @param gather The convolution.
 * @returns It, or the same work with fewer edges.
 */
export function flattened(gather: Gather): Gather {
  const plain = (axis: GatherAxis) =>
    axis.taps === 1 && axis.origin === 0 && axis.stride === 1 && axis.targetStep === 1 &&
    axis.targetFirst === 0 && axis.count === axis.source && axis.count === axis.target;
  if (!plain(gather.x) || !plain(gather.y)) return gather;
  const pixels = gather.batch * gather.x.count * gather.y.count;
  const resized = (axis: GatherAxis, length: number): GatherAxis => ({
    ...axis,
    source: length,
    count: length,
    target: length,
  });
  return { ...gather, batch: 1, y: resized(gather.y, 1), x: resized(gather.x, pixels) };
}

/**
 * The register tile of a convolution: the one of least cost, where a step costs its fma and its
 * loads. Square tiles of pixels come first: their lanes read neighbouring memory.
 *
 * @param gather The convolution.
 * @param side Pixels and longest side of the tile: 8 compiles faster, 16 runs faster.
 * @returns The tile.
 */
export function gatherTile(gather: Gather, side: RegisterSide): GatherTile {
  const rows = gather.batch * gather.y.count;
  let best: GatherTile | undefined;
  let least = Infinity;
  for (const columns of side === 16 ? [4, 8, 2, 16, 1] : [4, 2, 8, 1]) {
    for (const channels of channelLengths(gather.outputs, side)) {
      const tiles = Math.ceil(rows * columns / side) * Math.ceil(gather.x.count / columns) *
        gather.groups * Math.ceil(gather.outputs / channels);
      const workgroups = Math.max(BUSY_WORKGROUPS, Math.ceil(tiles / REGISTER_LANES));
      const cost = workgroups * (side * channels + LOAD_COST * (side + channels));
      if (cost < least) {
        least = cost;
        best = { rows: side / columns, columns, channels };
      }
    }
  }
  return best!;
}

/** Few lengths, since each tile is a pipeline that takes up to a second to compile. */
function channelLengths(outputs: number, side: RegisterSide): readonly number[] {
  const largest = Math.min(side, 4 * Math.ceil(outputs / 4));
  return [largest, 8, 4].filter((length) => length <= largest);
}

/** Workgroups that keep every multiprocessor of a large GPU busy twice over. */
const ENOUGH_WORKGROUPS = 256;

/** Least workgroup memory of a device that takes the large tile. */
const LARGE_TILE_BYTES = 32_768;

/**
 * The workgroup's tile of the implicit matrix product: thin ones for thin products, else the
 * largest that is filled and gives every multiprocessor work.
 *
 * @param size Rows and columns of the product, and how many products.
 * @param options A forced tile, and the device's limits.
 * @returns The tile.
 */
export function convBlock(
  size: { readonly rows: number; readonly columns: number; readonly batches: number },
  options: {
    readonly block?: BlockName | undefined;
    readonly limits: { readonly maxComputeWorkgroupStorageSize: number };
  },
): BlockTile {
  const { large, medium, small, tall, wide } = BLOCK_TILES;
  if (options.block !== undefined) return BLOCK_TILES[options.block];
  const { rows, columns, batches } = size;
  if (columns <= 16 && rows > 64) return tall;
  if (rows <= 16 && columns > 64) return wide;
  const busy = (tile: BlockTile) =>
    batches * Math.ceil(rows / blockRows(tile)) * Math.ceil(columns / blockColumns(tile)) >=
      ENOUGH_WORKGROUPS;
  const roomy = options.limits.maxComputeWorkgroupStorageSize >= LARGE_TILE_BYTES;
  if (Math.min(rows, columns) > 64 && roomy && busy(large)) return large;
  return Math.min(rows, columns) > 32 && busy(medium) ? medium : small;
}

/**
 * Ranges of source channels, in vec4, that keep every invocation within the loops of a software
 * adapter.
 *
 * @param length Channels of a group, in vec4 or as scalars.
 * @param outer Turns of the loops around that over the channels.
 * @returns The ranges; one empty range for no channels.
 */
export function channelChunks(length: number, outer: number): [begin: number, end: number][] {
  const chunk = Math.max(1, Math.floor(LOOP_TURNS / Math.max(1, outer)) - 4);
  const count = Math.max(1, Math.ceil(length / chunk));
  return Array.from({ length: count }, (_, i) => [i * chunk, Math.min(length, (i + 1) * chunk)]);
}

/** How the output rows of a weight gradient are cut; the slices are added in their order. */
export interface RowSlices {
  /** Number of slices, at least 1. */
  readonly slices: number;
  /** Rows of every slice but the last. */
  readonly sliceRows: number;
}

/** A sum in f32 keeps its digits over this many pixels. */
const EXACT_PIXELS = 16_384;

/** Elements that all slices together may take: 32 MiB. */
const SLICE_ELEMENTS = 1 << 23;

/**
 * Cuts rows into slices: enough to keep an adapter busy, as long as memory allows, and short enough
 * for the loops of a software adapter.
 *
 * @param work Rows, their turns of a loop and their pixels, tiles of one slice, elements of the
 * result, and how many tiles keep the adapter busy.
 * @returns The slices.
 */
export function sliceRows(
  work: {
    readonly rows: number;
    readonly rowTurns: number;
    readonly rowPixels: number;
    readonly tiles: number;
    readonly size: number;
    readonly busy: number;
  },
): RowSlices {
  const { rows, rowTurns, rowPixels, tiles, size, busy } = work;
  const most = Math.max(1, Math.floor(LOOP_TURNS / (rowTurns + 2)));
  const room = Math.max(1, Math.floor(SLICE_ELEMENTS / Math.max(1, size)));
  const wanted = Math.max(Math.ceil(busy / tiles), Math.ceil(rows * rowPixels / EXACT_PIXELS));
  const slices = Math.max(Math.ceil(rows / most), Math.min(wanted, room, rows));
  const length = Math.max(1, Math.ceil(rows / Math.max(1, slices)));
  return { slices: Math.max(1, Math.ceil(rows / length)), sliceRows: length };
}

/** A register tile of a weight gradient. */
export interface WeightTile {
  /** Outputs, in vec4. */
  readonly outputs: number;
  /** Channels, in vec4. */
  readonly channels: number;
  /** Taps along x. */
  readonly taps: number;
  /** Pixels of a step. */
  readonly pixels: number;
}

/** Sums of a tile, by the side that the options ask for; larger tiles were not faster. */
const MOST_SUMS: Readonly<Record<RegisterSide, number>> = { 8: 192, 16: 256 };

/**
 * The register tile of a weight gradient.
 *
 * @param shape Outputs and channels of a group, in vec4, and the geometry along x.
 * @param side Bounds the tile: 8 compiles faster, 16 runs faster.
 * @returns The tile.
 */
export function weightTile(
  shape: {
    readonly outputs: number;
    readonly channels: number;
    readonly taps: number;
    readonly stride: number;
    readonly dilation: number;
  },
  side: RegisterSide,
): WeightTile {
  let best: WeightTile = { outputs: 1, channels: 1, taps: 1, pixels: 4 };
  let least = Infinity;
  for (const outputs of [4, 2, 1]) {
    for (const channels of [4, 2, 1]) {
      for (const taps of sharedTaps(shape.taps)) {
        const sums = 16 * outputs * channels * taps;
        if (sums > MOST_SUMS[side] || 4 * Math.max(outputs, channels) > side) continue;
        const window = windowOf(4, taps, shape);
        const loads = window.length * channels + 4 * outputs;
        const tiles = Math.ceil(shape.outputs / outputs) * Math.ceil(shape.channels / channels) *
          shape.taps / taps;
        const cost = tiles * (sums + LOAD_COST * loads);
        if (cost < least) {
          least = cost;
          best = { outputs, channels, taps, pixels: 4 };
        }
      }
    }
  }
  return best;
}
