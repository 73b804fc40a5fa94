/**
 * How long recorded GPU work takes, by the GPU's own time stamps where it has them.
 *
 * Deno notices finished GPU work only every 10 ms, so wall time says little about short work: the
 * fallback without time stamps repeats the work until that share is small.
 *
 * @module
 */

import type { Gpu } from "../../runtime/mod.ts";

/** One measurement. */
export interface Timing {
  /** Median time of one run, in nanoseconds. */
  readonly nanoseconds: number;
  /** Shortest time of one run, in nanoseconds. */
  readonly best: number;
  /** Runs in one pass; each sample is the mean of that many. */
  readonly repeats: number;
  /** Number of samples behind the median. */
  readonly samples: number;
  /** Which clock measured. */
  readonly clock: "gpu" | "wall";
}

/** Whether `BENCH_QUICK` asks for a fast, coarse run; unset where the environment is not readable. */
export const QUICK: boolean =
  Deno.permissions.querySync({ name: "env", variable: "BENCH_QUICK" }).state === "granted" &&
  (Deno.env.get("BENCH_QUICK") ?? "0") !== "0";

const EFFORT = QUICK
  ? { sampleMs: 5, budgetMs: 150, minSamples: 3, maxSamples: 5 }
  : { sampleMs: 20, budgetMs: 1200, minSamples: 5, maxSamples: 20 };

/** Waiting for the GPU costs this much in Deno; wall samples must dwarf it. */
const WALL_SAMPLE_MS = 200;

/** The recorder submits by itself after 1024 dispatches, and a timed pass must stay one pass. */
const MAX_DISPATCHES = 1000;
const MAX_REPEATS = 128;

/**
 * Measures recorded work: one warm run (the first compiles), then samples of several runs in one
 * pass.
 *
 * @param gpu The GPU; must not poison new tensors.
 * @param record Records the work once, without submitting.
 * @param options How long to sample at most, in milliseconds of GPU time.
 * @returns The timing of one run.
 */
export async function measure(
  gpu: Gpu,
  record: () => void,
  options: { budgetMs?: number } = {},
): Promise<Timing> {
  const before = gpu.counters().dispatches;
  record();
  await gpu.idle();
  const dispatches = gpu.counters().dispatches - before;
  const mostRepeats = Math.min(MAX_REPEATS, Math.floor(MAX_DISPATCHES / Math.max(1, dispatches)));
  const clock = gpu.profiler.available ? "gpu" : "wall";
  const sample = clock === "gpu" ? gpuSample : wallSample;
  const target = (clock === "gpu" ? EFFORT.sampleMs : WALL_SAMPLE_MS) * 1e6;
  const first = await sample(gpu, record, 1);
  const repeats = Math.max(1, Math.min(mostRepeats, Math.ceil(target / first)));
  const budget = (options.budgetMs ?? EFFORT.budgetMs) * 1e6;
  const times: number[] = [];
  let spent = 0;
  while (
    times.length < EFFORT.minSamples ||
    (times.length < EFFORT.maxSamples && spent < budget)
  ) {
    const time = await sample(gpu, record, repeats);
    spent += time;
    times.push(time / repeats);
  }
  times.sort((a, b) => a - b);
  return {
    nanoseconds: times[times.length >> 1]!,
    best: times[0]!,
    repeats,
    samples: times.length,
    clock,
  };
}

async function gpuSample(gpu: Gpu, record: () => void, repeats: number): Promise<number> {
  gpu.flush();
  const nanoseconds = await gpu.profiler.time(() => {
    for (let i = 0; i < repeats; i++) record();
  });
  return Math.max(1, nanoseconds);
}

async function wallSample(gpu: Gpu, record: () => void, repeats: number): Promise<number> {
  await gpu.idle();
  const begin = performance.now();
  for (let i = 0; i < repeats; i++) record();
  await gpu.idle();
  return (performance.now() - begin) * 1e6;
}
