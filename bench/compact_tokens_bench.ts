/**
 * A million tokens through threshold and compaction, in chunks: fused, and the way of a tensor library
 * that writes normalised maps, reads the counts back and gathers one image after the other.
 *
 * The inputs lie on the GPU, as a tagger leaves them there; a chunk's buffers serve the next one. Wall
 * times with one wait at the end and, the second way, one in every chunk. The slow ways take a ninth of
 * the tokens; the table on stderr has what all three do in a second.
 *
 * @module
 */

import { compactTokens } from "../kernels/object_mask/compact.ts";
import { objectMask, type ObjectMaskInputs } from "../kernels/object_mask/mod.ts";
import { prefixSum } from "../kernels/prefix_sum/mod.ts";
import { prefixSumReference } from "../kernels/prefix_sum/reference.ts";
import { gatherImage } from "../kernels/ragged_gather/_naive.ts";
import { raggedGather } from "../kernels/ragged_gather/mod.ts";
import { Rng } from "../kernels/random/rng.ts";
import { Gpu, type GpuContext, type Tensor } from "../runtime/mod.ts";
import { fill, QUICK } from "./_support/mod.ts";

const IMAGES = 64;
const TOKENS = 145;
const COLUMNS = 64;
const TAGS = 719;
const PREDICTED = 3;
const MILLION = Math.ceil(1_000_000 / (IMAGES * TOKENS));
const TAU = 0.5;

const gpu = await Gpu.open();
const rng = new Rng(1);
const mask: ObjectMaskInputs = {
  attention: fill(gpu, [IMAGES, TAGS, TOKENS], { low: 0 }),
  tagLogits: gpu.upload(
    Float32Array.from({ length: IMAGES * TAGS }, () => rng.integer(TAGS) < PREDICTED ? 2 : -2),
    [IMAGES, TAGS],
  ),
  tags: gpu.upload(Int32Array.from({ length: TAGS }, (_, v) => v), [TAGS]),
  thresholds: fill(gpu, [TAGS]),
};
const tokens: Tensor = fill(gpu, [IMAGES, TOKENS, COLUMNS]);

function fused(ctx: GpuContext): void {
  compactTokens(ctx, { ...mask, tokens }, { tau: TAU });
  ctx.flush();
}

/** The baselines of the three kernels, offsets on the GPU. */
function unfused(ctx: GpuContext): void {
  const { keep, counts } = objectMask(ctx, mask, { tau: TAU, variant: "naive" });
  const offsets = prefixSum(ctx, { x: counts }, { variant: "naive" });
  raggedGather(ctx, { x: tokens, keep, offsets }, { capacity: keep.size, variant: "naive" });
  ctx.flush();
}

async function twoPass(ctx: GpuContext): Promise<void> {
  const { keep, counts } = objectMask(ctx, mask, { tau: TAU, variant: "naive" });
  const [known] = await ctx.read(counts);
  const begins = prefixSumReference(known as Int32Array);
  const offsets = ctx.upload(begins, [IMAGES + 1]);
  const y = ctx.empty([begins.at(-1)!, COLUMNS]);
  for (let n = 0; n < IMAGES; n++) gatherImage(ctx, { x: tokens, keep, offsets, y }, n);
  ctx.flush();
}

interface Way {
  readonly name: string;
  readonly chunks: number;
  readonly record: (ctx: GpuContext) => void | Promise<void>;
}

const few = QUICK ? 2 : MILLION / 9;
const ways: readonly Way[] = [
  // In the order of the memory that they need: the most that was in use only grows.
  { name: "fused", chunks: QUICK ? MILLION / 9 : MILLION, record: fused },
  { name: "two passes, offsets on the GPU", chunks: few, record: unfused },
  { name: "two passes, counts read back", chunks: few, record: twoPass },
];

const rows = new Map<string, string>();
globalThis.addEventListener("unload", () => {
  const { description } = gpu.adapter;
  if (rows.size > 0) console.error(["", description, ...rows.values()].join("\n"));
});

async function runChunks({ record }: Way, chunks: number): Promise<void> {
  for (let chunk = 0; chunk < chunks; chunk++) {
    using scope = gpu.scope();
    await record(scope);
  }
  await gpu.idle();
}

for (const way of ways) {
  const { name, chunks } = way;
  let best = Infinity;
  Deno.bench({
    name: `${name}, ${chunks} chunks`,
    group: `compact tokens ${IMAGES}x${TOKENS}x${COLUMNS}, ${TAGS} tags`,
    n: 1,
    warmup: 0,
    fn: async (b) => {
      if (best === Infinity) await runChunks(way, 1);
      const { created } = gpu.counters().pool;
      b.start();
      const begin = performance.now();
      await runChunks(way, chunks);
      best = Math.min(best, performance.now() - begin);
      b.end();
      const { pool } = gpu.counters();
      const rate = chunks * IMAGES * TOKENS / best / 1000;
      rows.set(
        name,
        `${name}: ${(best / chunks).toFixed(2)} ms a chunk, ${rate.toFixed(2)} million tokens a ` +
          `second; ${pool.created - created} buffers made on the way, at most ` +
          `${Math.round(pool.peakBytes / 2 ** 20)} MiB in use`,
      );
    },
  });
}
