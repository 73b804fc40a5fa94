/**
 * Windows over maps: checks of the options, and the size of what comes out.
 *
 * @module
 */

import { type Shape, ShapeError } from "../../runtime/mod.ts";

/** A length for both axes, or height and width. */
export type PoolPair = number | readonly [height: number, width: number];

/** Padding for all sides, or top, left, bottom and right. */
export type PoolPadding =
  | number
  | readonly [top: number, left: number, bottom: number, right: number];

/** Windows of a pooling. */
export interface PoolWindows {
  /** Height and width of a window. */
  readonly kernel: PoolPair;
  /** Steps from window to window, those of the kernel by default. */
  readonly stride?: PoolPair;
  /** Rows and columns around the map, fewer than the kernel's on each side; none by default. */
  readonly padding?: PoolPadding;
  /** Whether a last window may reach beyond the padded map; false by default. */
  readonly ceilMode?: boolean;
}

/** All lengths of a pooling. */
export interface PoolGeometry {
  /** Number of maps. */
  readonly n: number;
  /** Channels. */
  readonly channels: number;
  /** Size of a map. */
  readonly size: readonly [height: number, width: number];
  /** Size of its result. */
  readonly out: readonly [height: number, width: number];
  /** Size of a window. */
  readonly kernel: readonly [height: number, width: number];
  /** Steps from window to window. */
  readonly stride: readonly [height: number, width: number];
  /** Padding before the map. */
  readonly before: readonly [top: number, left: number];
  /** Size of the map with its padding. */
  readonly padded: readonly [height: number, width: number];
}

/** A software adapter ends loops, without a word, after some 65,000 turns. */
const MOST_TAPS = 16_384;

/**
 * Works out a pooling.
 *
 * @param shape Shape of the maps.
 * @param windows The windows.
 * @param kernel The operation, for messages.
 * @returns All lengths.
 * @throws {ShapeError} When the maps have not four axes, or no window fits.
 * @throws {RangeError} When kernel, stride or padding is out of range.
 */
export function poolGeometry(shape: Shape, windows: PoolWindows, kernel: string): PoolGeometry {
  const [n, height, width, channels] = shape as [number, number, number, number];
  if (shape.length !== 4) {
    throw new ShapeError(kernel, "x", { expected: "[N, H, W, C]", actual: shape });
  }
  const taps = both(windows.kernel, { kernel, name: "kernel", least: 1 });
  const stride = both(windows.stride ?? windows.kernel, { kernel, name: "stride", least: 1 });
  if (taps[0] * taps[1] > MOST_TAPS) {
    throw new RangeError(
      `Cannot run ${kernel}: a window of ${taps[0]} x ${taps[1]} has more than ${MOST_TAPS} taps`,
    );
  }
  const { padding = 0 } = windows;
  const sides = typeof padding === "number" ? [padding, padding, padding, padding] : padding;
  const [top, left, bottom, right] = sides as [number, number, number, number];
  sides.forEach((side, i) => requireSide(side, { kernel, taps: taps[i % 2]! }));
  const padded = [height + top + bottom, width + left + right] as const;
  const axis = (a: 0 | 1): number => {
    const room = (padded[a] - taps[a]) / stride[a];
    if (room < 0 || shape[a + 1] === 0) {
      throw new ShapeError(kernel, "x", {
        expected: `[N, H, W, C] with room for a window of ${taps[0]} x ${taps[1]}`,
        actual: shape,
      });
    }
    const last = windows.ceilMode ? Math.ceil(room) : Math.floor(room);
    // A window that lies in the padding after the map would have nothing in it.
    const before = a === 0 ? top : left;
    return last * stride[a] >= shape[a + 1]! + before ? last : last + 1;
  };
  const out = [axis(0), axis(1)] as const;
  return {
    n,
    channels,
    size: [height, width],
    out,
    kernel: taps,
    stride,
    before: [top, left],
    padded,
  };
}

function both(
  pair: PoolPair,
  { kernel, name, least }: { kernel: string; name: string; least: number },
): readonly [number, number] {
  const lengths = typeof pair === "number" ? [pair, pair] as const : pair;
  if (lengths.every((length) => Number.isInteger(length) && length >= least)) return lengths;
  throw new RangeError(
    `Cannot run ${kernel}: ${name} must be whole numbers of at least ${least}: it is ${pair}`,
  );
}

function requireSide(side: number, { kernel, taps }: { kernel: string; taps: number }): void {
  if (Number.isInteger(side) && side >= 0 && side < taps) return;
  throw new RangeError(
    `Cannot run ${kernel}: padding must be whole numbers below the kernel's ${taps}: it is ${side}`,
  );
}
