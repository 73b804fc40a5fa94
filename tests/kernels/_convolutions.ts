/**
 * What the tests of convolutions share: cases, random tensors, and every way to run one.
 *
 * @module
 */

import { type ConvGeometry, convOutputSize, type ProductOptions, Rng } from "../../kernels/mod.ts";

/** The seed of all tests of convolutions. */
export const SEED = 20_260_117;

/** A convolution to test. */
export interface Case extends ConvGeometry {
  /** Number of images. */
  readonly batch: number;
  /** Height and width of an image. */
  readonly size: readonly [number, number];
  /** Channels of an image. */
  readonly channels: number;
  /** Channels of the output. */
  readonly outputs: number;
  /** Height and width of the kernel. */
  readonly kernel: readonly [number, number];
}

/** Shapes of the tensors of a case. */
export function shapesOf(of: Case): { x: number[]; weight: number[]; y: number[] } {
  const { batch, size, channels, outputs, kernel, groups = 1 } = of;
  return {
    x: [batch, ...size, channels],
    weight: [outputs, ...kernel, channels / groups],
    y: [batch, ...convOutputSize(size, kernel, of), outputs],
  };
}

/** A case without spelling out every length. */
function made(
  [batch, height, width, channels]: readonly [number, number, number, number],
  [outputs, kernelHeight, kernelWidth]: readonly [number, number, number],
  geometry: ConvGeometry = {},
): Case {
  return {
    batch,
    size: [height, width],
    channels,
    outputs,
    kernel: [kernelHeight, kernelWidth],
    ...geometry,
  };
}

const AROUND = { padding: [1, 1, 1, 1] } as const;

/**
 * Single pixels, odd, prime and tile-sized lengths, channels that are no multiple of four, strides 1
 * to 3, uneven padding, dilation, more stride than kernel, and no images.
 */
export const DENSE: readonly Case[] = [
  made([1, 1, 1, 1], [1, 1, 1]),
  made([2, 5, 7, 3], [5, 3, 3], AROUND),
  made([1, 8, 8, 4], [4, 3, 3], AROUND),
  made([2, 9, 17, 8], [12, 3, 3], AROUND),
  made([3, 7, 5, 6], [10, 3, 2], { padding: [0, 1, 2, 0] }),
  made([2, 8, 16, 16], [16, 3, 3], { ...AROUND, stride: [2, 2] }),
  made([1, 11, 13, 4], [8, 3, 3], { stride: [3, 2], padding: [2, 1, 0, 3] }),
  made([1, 12, 10, 8], [4, 3, 3], { dilation: [2, 3], padding: [2, 3, 2, 3] }),
  made([1, 13, 11, 4], [4, 3, 3], { dilation: [2, 2], stride: [2, 3], padding: [1, 2, 3, 0] }),
  made([1, 15, 15, 3], [8, 7, 7], { stride: [2, 2], padding: [3, 3, 3, 3] }),
  made([2, 9, 9, 8], [8, 5, 5], { padding: [2, 2, 2, 2] }),
  made([2, 6, 6, 12], [20, 1, 1]),
  made([2, 7, 9, 8], [4, 1, 1], { stride: [2, 2] }),
  made([5, 1, 1, 20], [7, 1, 1]),
  made([1, 9, 7, 4], [4, 2, 2], { stride: [3, 3] }),
  made([1, 3, 3, 4], [4, 3, 3]),
  made([0, 5, 5, 4], [4, 3, 3], AROUND),
];

/** Groups of four, of odd lengths, and one channel each. */
export const GROUPED: readonly Case[] = [
  made([2, 6, 7, 8], [12, 3, 3], { ...AROUND, groups: 2 }),
  made([1, 6, 7, 16], [16, 3, 3], { ...AROUND, groups: 4, stride: [2, 2] }),
  made([1, 5, 5, 6], [9, 3, 3], { ...AROUND, groups: 3 }),
  made([2, 7, 9, 8], [8, 3, 3], { ...AROUND, groups: 8 }),
  made([1, 9, 8, 7], [7, 3, 3], { ...AROUND, groups: 7, stride: [2, 2] }),
  made([1, 8, 9, 4], [8, 5, 3], { padding: [2, 0, 1, 2], groups: 4, dilation: [1, 2] }),
  made([1, 6, 6, 3], [9, 3, 3], { ...AROUND, groups: 3, stride: [3, 2] }),
  made([0, 5, 5, 4], [4, 3, 3], { ...AROUND, groups: 4 }),
];

/** Large enough for the large tile; those that also meet the tiles' edges. */
export const LARGE: readonly Case[] = [
  made([2, 18, 33, 16], [20, 3, 3], AROUND),
  made([3, 8, 8, 20], [16, 3, 3], { ...AROUND, stride: [2, 2] }),
];

/** Every way to run a convolution. */
export const WAYS: readonly ProductOptions[] = [
  { variant: "naive" },
  { variant: "register", side: 8 },
  { variant: "tiled" },
];

/** The way that compiles slowly, and every tile of a workgroup. */
export const LARGE_WAYS: readonly ProductOptions[] = [
  { variant: "register", side: 16 },
  ...(["large", "medium", "small", "tall", "wide"] as const)
    .map((block) => ({ variant: "tiled", block } as const)),
];

/** Uniform numbers from -1 to 1. */
export function numbers(shape: readonly number[], seed = 0): Float32Array<ArrayBuffer> {
  const rng = new Rng(SEED + seed);
  const size = shape.reduce((product, length) => product * length, 1);
  return Float32Array.from({ length: size }, () => 2 * rng.uniform() - 1);
}

/** A case and a way in words, for failure messages. */
export function label(of: Case, way: ProductOptions = {}): string {
  return `${Object.values(way).join(" ")} ${JSON.stringify(of)} seed ${SEED}`;
}
