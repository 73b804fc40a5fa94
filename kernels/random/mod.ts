/**
 * Random numbers, the same words on the host and on the GPU.
 *
 * @module
 */

import {
  type Context,
  type DType,
  gridFor,
  isGpu,
  type Kernel,
  type Shape,
  type Tensor,
} from "../../runtime/mod.ts";
import source from "./random.wgsl" with { type: "text" };
import {
  randomBitsReference,
  randomNormalReference,
  type RandomSource,
  randomUniformReference,
} from "./reference.ts";

export type { RandomSource } from "./reference.ts";
export * from "./rng.ts";

const KERNEL: Kernel = {
  name: "random",
  wgsl: source,
  bindings: ["read_write"],
  params: {
    size: "u32",
    skip: "u32",
    block_low: "u32",
    block_high: "u32",
    seed_low: "u32",
    seed_high: "u32",
    stream: "u32",
  },
};

const WORKGROUP = 64;
const POSITIONS_PER_BLOCK = 4;
const TWO_POW_32 = 4294967296;

/** The three kinds of random arrays. */
const KINDS = {
  bits: { code: 0, dtype: "u32", reference: randomBitsReference },
  uniform: { code: 1, dtype: "f32", reference: randomUniformReference },
  normal: { code: 2, dtype: "f32", reference: randomNormalReference },
} as const satisfies Record<string, {
  code: number;
  dtype: DType;
  reference: (size: number, source: RandomSource) => Float32Array | Uint32Array;
}>;

/**
 * Words of a Philox4x32-10 stream: element i is the word at position `offset + i`, the same on GPU
 * and host, and the same that {@linkcode Rng} gives in order.
 *
 * @param ctx Where to run.
 * @param shape The result's shape.
 * @param source Seed, stream and offset.
 * @returns u32 of that shape.
 * @throws {RangeError} When seed, stream or offset is out of its range.
 *
 * @example The words of an Rng
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { randomBits, Rng } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const rng = new Rng(7, 1);
 * const words = randomBits(host, [3], { seed: 7, stream: 1 });
 * assertEquals([...words.data], [rng.word(), rng.word(), rng.word()]);
 * ```
 */
export function randomBits(ctx: Context, shape: Shape, source: RandomSource): Tensor {
  return random(ctx, shape, { ...source, kind: "bits" });
}

/**
 * Uniform numbers in [0, 1), multiples of 2^-24: the same bits on GPU and host.
 *
 * @param ctx Where to run.
 * @param shape The result's shape.
 * @param source Seed, stream and offset.
 * @returns f32 of that shape.
 * @throws {RangeError} When seed, stream or offset is out of its range.
 *
 * @example A part of a sequence
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { randomUniform } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const whole = randomUniform(host, [6], { seed: 1 });
 * const tail = randomUniform(host, [2], { seed: 1, offset: 4 });
 * assertEquals(tail.data, whole.data.slice(4));
 * ```
 */
export function randomUniform(ctx: Context, shape: Shape, source: RandomSource): Tensor {
  return random(ctx, shape, { ...source, kind: "uniform" });
}

/**
 * Standard normal numbers (Box and Muller): from the same words on GPU and host; the GPU computes
 * in f32 and the host in float64, so they agree within f32 rounding.
 *
 * @param ctx Where to run.
 * @param shape The result's shape.
 * @param source Seed, stream and offset.
 * @returns f32 of that shape.
 * @throws {RangeError} When seed, stream or offset is out of its range.
 *
 * @example The numbers of an Rng
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { randomNormal, Rng } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const rng = new Rng(7);
 * const numbers = randomNormal(host, [2], { seed: 7 });
 * assertEquals([...numbers.data], [rng.normal(), rng.normal()].map(Math.fround));
 * ```
 */
export function randomNormal(ctx: Context, shape: Shape, source: RandomSource): Tensor {
  return random(ctx, shape, { ...source, kind: "normal" });
}

function random(
  ctx: Context,
  shape: Shape,
  source: RandomSource & { readonly kind: keyof typeof KINDS },
): Tensor {
  const { seed, stream = 0, offset = 0 } = source;
  requireWhole("seed", seed, Number.MAX_SAFE_INTEGER);
  requireWhole("stream", stream, TWO_POW_32 - 1);
  requireWhole("offset", offset, Number.MAX_SAFE_INTEGER);
  const kind = KINDS[source.kind];
  const output = ctx.empty(shape, kind.dtype, { label: "random" });
  if (!isGpu(ctx)) {
    output.data.set(kind.reference(output.size, { seed, stream, offset }));
    return output;
  }
  const skip = offset % POSITIONS_PER_BLOCK;
  const block = Math.floor(offset / POSITIONS_PER_BLOCK);
  const blocks = output.size === 0 ? 0 : Math.ceil((skip + output.size) / POSITIONS_PER_BLOCK);
  ctx.dispatch(KERNEL, {
    buffers: [output],
    params: {
      size: output.size,
      skip,
      block_low: block % TWO_POW_32,
      block_high: Math.floor(block / TWO_POW_32),
      seed_low: seed % TWO_POW_32,
      seed_high: Math.floor(seed / TWO_POW_32),
      stream,
    },
    workgroups: gridFor(blocks, WORKGROUP),
    overrides: { WORKGROUP, KIND: kind.code },
  });
  return output;
}

function requireWhole(name: string, value: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value <= most) return;
  throw new RangeError(
    `Cannot make random numbers: ${name} must be a whole number from 0 to ${most}: ${value}`,
  );
}

/**
 * Whole-number operations of a random array: ten rounds of two wide products for four words.
 *
 * @param size Elements.
 * @returns Operations.
 *
 * @example Four words cost one block
 * ```ts
 * import { randomFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(randomFlops(4), 340);
 * ```
 */
export function randomFlops(size: number): number {
  // A wide product by halves takes 12 operations, the low one 1; then 4 xors, 2 key additions and 2
  // for the loop, counted as 34 for each round.
  return Math.ceil(size / POSITIONS_PER_BLOCK) * 10 * 34;
}

/**
 * Traffic of a random array: it is written once.
 *
 * @param size Elements.
 * @returns Bytes.
 *
 * @example Four bytes each
 * ```ts
 * import { randomBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(randomBytes(10), 40);
 * ```
 */
export function randomBytes(size: number): number {
  return size * 4;
}
