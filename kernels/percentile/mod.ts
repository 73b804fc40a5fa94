/**
 * Exact percentiles of streamed values.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  type Tensor,
  UserError,
} from "../../runtime/mod.ts";
import { hostFloats, requireDType } from "../_arguments.ts";
import { type Digit, digitsOf, numberOfKey, refine, type Search } from "./_digits.ts";
import { between, percentileOfSorted, ranksOf } from "./reference.ts";
import naiveSource from "./percentile_naive.wgsl" with { type: "text" };
import privateSource from "./percentile_private.wgsl" with { type: "text" };
import sharedSource from "./percentile.wgsl" with { type: "text" };

/**
 * Where histograms are kept while a chunk is read: in the result itself (`naive`), per invocation
 * (`private`) or per workgroup (`shared`).
 */
export type PercentileVariant = "naive" | "private" | "shared";

/** Options of {@linkcode percentile}. */
export interface PercentileOptions {
  /** Forces a variant; `private` on software adapters and `shared` elsewhere by default. */
  readonly variant?: PercentileVariant;
}

/** Chunks of values: called once per pass, and must give the same values each time. */
export type Chunks = () => AsyncIterable<Tensor> | Iterable<Tensor>;

interface Variant {
  readonly kernel: Kernel;
  readonly digits: readonly Digit[];
  /** Groups of four that a workgroup reads. */
  readonly groups: number;
}

const PARAMS = {
  count: "u32",
  bins: "u32",
  shift: "u32",
  above: "u32",
  prefix: "u32",
  otherPrefix: "u32",
} as const;

const VARIANTS: Readonly<Record<PercentileVariant, Variant>> = {
  naive: {
    kernel: {
      name: "percentile_naive",
      wgsl: naiveSource,
      bindings: ["read", "read", "read_write"],
      params: PARAMS,
    },
    digits: digitsOf([11, 11, 10]),
    groups: 16,
  },
  private: {
    kernel: {
      name: "percentile_private",
      wgsl: privateSource,
      bindings: ["read", "read", "read_write"],
      params: PARAMS,
    },
    digits: digitsOf([8, 8, 8, 8]),
    groups: 8 * 1024,
  },
  shared: {
    kernel: {
      name: "percentile",
      wgsl: sharedSource,
      bindings: ["read", "read", "read_write"],
      params: PARAMS,
    },
    digits: digitsOf([11, 11, 10]),
    groups: 256 * 64,
  },
};

/** Elements after which the counts are read, so that 32 bits hold them and the queue stays short. */
const READ_EVERY = 1 << 26;

/**
 * A percentile of all values of all chunks, exact, with linear interpolation between the two nearest
 * values: what `np.percentile(values, q)` gives for the same values in float64.
 *
 * f32 chunks of any shape. On the GPU a few passes over the chunks (four on software adapters, three
 * elsewhere) count digits of keys that order as the values do, in integers; each pass calls `chunks`
 * again, so the values need never lie in memory together. The host sorts them. A tensor of a chunk
 * may be disposed when the next one is asked for.
 *
 * @param ctx Where it runs.
 * @param chunks Gives the chunks, the same in every pass.
 * @param q Percent, 0 to 100.
 * @param options A forced variant.
 * @returns The percentile.
 * @throws {UserError} When there is no value, or one is NaN.
 * @throws {RangeError} When `q` is not between 0 and 100, or the forced variant does not exist.
 * @throws {DTypeError} When a chunk does not hold f32.
 *
 * @example The median of two chunks
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { percentile } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = host.upload(new Float32Array([4, 1]), [2]);
 * const b = host.upload(new Float32Array([2, 8]), [2]);
 * assertEquals(await percentile(host, () => [a, b], 50), 3);
 * ```
 */
export async function percentile(
  ctx: Context,
  chunks: Chunks,
  q: number,
  options: PercentileOptions = {},
): Promise<number> {
  if (!(q >= 0 && q <= 100)) {
    throw new RangeError(`Cannot run percentile: "q" must be between 0 and 100: it is ${q}`);
  }
  return isGpu(ctx)
    ? await onGpu(ctx, { chunks, q, variant: variantOf(ctx, options) })
    : await onHost(chunks, q);
}

/**
 * Floating-point operations of one pass over a chunk: none, it counts integers.
 *
 * @returns Zero.
 *
 * @example Nothing to count
 * ```ts
 * import { percentileFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(percentileFlops(), 0);
 * ```
 */
export function percentileFlops(): number {
  return 0;
}

/**
 * Bytes that one pass over a chunk must move: one read of it.
 *
 * @param count Number of values.
 * @returns The number of bytes.
 *
 * @example A thousand values
 * ```ts
 * import { percentileBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(percentileBytes(1000), 4000);
 * ```
 */
export function percentileBytes(count: number): number {
  return 4 * count;
}

/**
 * Records the first pass over one chunk, for benchmarks.
 *
 * @param ctx The GPU.
 * @param inputs The chunk `x`, and u32 [4097] that is added to.
 * @param options A forced variant.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Three values are counted
 * ```ts
 * import { Gpu } from "@oodgpu/oodgpu/runtime";
 * import { percentilePass } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await Gpu.open();
 * using x = gpu.upload(new Float32Array([1, 2, 3]), [3]);
 * using histogram = gpu.upload(new Uint32Array(4097), [4097]);
 * percentilePass(gpu, { x, histogram });
 * const [counts] = await gpu.read(histogram);
 * let sum = 0;
 * for (const count of counts!) sum += count;
 * assertEquals(sum, 3);
 * ```
 */
export function percentilePass(
  ctx: GpuContext,
  inputs: { readonly x: Tensor; readonly histogram: Tensor },
  options: PercentileOptions = {},
): void {
  const variant = variantOf(ctx, options);
  recordPass(ctx, inputs, { variant, digit: variant.digits[0]!, prefixes: [0, 0] });
}

function variantOf(ctx: GpuContext, options: PercentileOptions): Variant {
  const name = options.variant ?? ctx.gpu.variants["percentile"] ??
    (ctx.gpu.adapter.isSoftware ? "private" : "shared");
  if (Object.hasOwn(VARIANTS, name)) return VARIANTS[name as PercentileVariant];
  throw new RangeError(
    `Cannot run percentile: there is no variant "${name}", expected naive, private or shared`,
  );
}

function refuse(nans: number, count: number): void {
  if (count === 0) throw new UserError("Cannot take a percentile: there are no values");
  if (nans === 0) return;
  throw new UserError(
    `Cannot take a percentile: ${nans} of ${count} values ${nans === 1 ? "is" : "are"} NaN`,
  );
}

async function onHost(chunks: Chunks, q: number): Promise<number> {
  const parts: Float32Array[] = [];
  for await (const chunk of chunks()) {
    requireDType(chunk, "f32", { kernel: "percentile", name: "chunk" });
    parts.push(hostFloats(chunk).slice());
  }
  const values = new Float32Array(parts.reduce((count, part) => count + part.length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  refuse(values.reduce((count, value) => count + (Number.isNaN(value) ? 1 : 0), 0), values.length);
  return percentileOfSorted(values, q) + 0;
}

async function onGpu(
  ctx: GpuContext,
  { chunks, q, variant }: { chunks: Chunks; q: number; variant: Variant },
): Promise<number> {
  let searches: [Search, Search] | undefined;
  let fraction = 0;
  for (const digit of variant.digits) {
    const bins = 2 ** digit.bits;
    const prefixes = searches?.map(({ prefix }) => prefix) ?? [0, 0];
    const { tables, count } = await countDigits(ctx, chunks, {
      variant,
      digit,
      prefixes: prefixes as [number, number],
    });
    if (searches === undefined) {
      refuse(tables[2 * bins]!, count);
      const ranks = ranksOf(count, q);
      fraction = ranks.fraction;
      searches = [{ prefix: 0, rank: ranks.low }, { prefix: 0, rank: ranks.high }];
    }
    // Equal prefixes count in the first table alone.
    const second = prefixes[0] === prefixes[1] ? 0 : bins;
    searches = [
      refine(searches[0], tables.subarray(0, bins)),
      refine(searches[1], tables.subarray(second, second + bins)),
    ];
  }
  const [low, high] = searches!.map(({ prefix }) => numberOfKey(prefix)) as [number, number];
  // Minus zero becomes zero.
  return between(low, high, fraction) + 0;
}

interface Pass {
  readonly variant: Variant;
  readonly digit: Digit;
  readonly prefixes: readonly [number, number];
}

/** Counts one digit over all chunks; the counts may pass 2^32. */
async function countDigits(
  ctx: GpuContext,
  chunks: Chunks,
  pass: Pass,
): Promise<{ tables: Float64Array; count: number }> {
  const size = 2 * 2 ** pass.digit.bits + 1;
  const zeros = new Uint32Array(size);
  const tables = new Float64Array(size);
  let count = 0;
  let pending = 0;
  let histogram = ctx.upload(zeros, [size], { label: "histogram" });
  const collect = async () => {
    const [counts] = await ctx.read(histogram);
    counts!.forEach((value, i) => {
      tables[i]! += value;
    });
    histogram.dispose();
    pending = 0;
  };
  try {
    for await (const x of chunks()) {
      requireDType(x, "f32", { kernel: "percentile", name: "chunk" });
      if (pending > 0 && pending + x.size > READ_EVERY) {
        await collect();
        histogram = ctx.upload(zeros, [size], { label: "histogram" });
      }
      recordPass(ctx, { x, histogram }, pass);
      // The GPU works on this chunk while the next one is made.
      ctx.flush();
      pending += x.size;
      count += x.size;
    }
    await collect();
  } finally {
    histogram.dispose();
  }
  return { tables, count };
}

function recordPass(
  ctx: GpuContext,
  { x, histogram }: { x: Tensor; histogram: Tensor },
  { variant, digit, prefixes }: Pass,
): void {
  if (x.size === 0) return;
  ctx.dispatch(variant.kernel, {
    buffers: [x, x, histogram],
    params: {
      count: x.size,
      bins: 2 ** digit.bits,
      shift: digit.shift,
      above: digit.above,
      prefix: prefixes[0],
      otherPrefix: prefixes[1],
    },
    // One group more than there are whole ones: the last values may make none.
    workgroups: gridFor(Math.floor(x.size / 4) + 1, variant.groups),
  });
}
