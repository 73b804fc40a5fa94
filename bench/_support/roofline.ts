/**
 * The roofs of an adapter, measured rather than believed: copy bandwidth and multiply-add rate.
 *
 * @module
 */

import { type Gpu, gridFor, type Kernel } from "../../runtime/mod.ts";
import { measure, QUICK } from "./gpu_timer.ts";
import copySource from "./copy.wgsl" with { type: "text" };
import fmaSource from "./fma.wgsl" with { type: "text" };

/** What an adapter can do at most. */
export interface Roofline {
  /** Register-only multiply-add rate in GFLOP/s. */
  readonly gigaflops: number;
  /** Copy bandwidth in GB/s, reads and writes counted. */
  readonly gigabytes: number;
}

/** How near a kernel comes to its roof. */
export interface Bound {
  /** Which roof is nearer. */
  readonly by: "compute" | "memory";
  /** Time at the roof over measured time, 0 to 1. */
  readonly fraction: number;
}

const COPY: Kernel = {
  name: "copy",
  wgsl: copySource,
  bindings: ["read", "read_write"],
  params: { count: "u32" },
};

const FMA: Kernel = {
  name: "fma",
  wgsl: fmaSource,
  bindings: ["read_write"],
  params: { turns: "u32", scale: "f32", shift: "f32" },
};

const FLOPS_PER_TURN = 256;
const BUDGET_MS = 200;

const measured: WeakMap<Gpu, Promise<Roofline>> = new WeakMap();

/**
 * The roofs of a GPU, measured once per run.
 *
 * @param gpu The GPU.
 * @returns Its roofs.
 */
export function rooflineOf(gpu: Gpu): Promise<Roofline> {
  let roofline = measured.get(gpu);
  if (roofline === undefined) {
    roofline = measureRoofline(gpu);
    measured.set(gpu, roofline);
  }
  return roofline;
}

/**
 * The nearer roof of a kernel and its distance.
 *
 * @param roofline The adapter's roofs.
 * @param work Floating-point operations, bytes that must move at least, and measured nanoseconds.
 * @returns The bound.
 */
export function boundOf(
  roofline: Roofline,
  work: { flops: number; bytes: number; nanoseconds: number },
): Bound {
  const compute = work.flops / roofline.gigaflops;
  const memory = work.bytes / roofline.gigabytes;
  return {
    by: compute >= memory ? "compute" : "memory",
    fraction: Math.max(compute, memory) / work.nanoseconds,
  };
}

async function measureRoofline(gpu: Gpu): Promise<Roofline> {
  return { gigabytes: await copyRate(gpu), gigaflops: await fmaRate(gpu) };
}

async function copyRate(gpu: Gpu): Promise<number> {
  const wanted = gpu.adapter.isSoftware ? (QUICK ? 1 << 24 : 1 << 26) : 1 << 28;
  const bytes = Math.min(wanted, gpu.device.limits.maxStorageBufferBindingSize);
  const count = Math.floor(bytes / 16);
  using scope = gpu.scope();
  const source = scope.empty([count * 4]);
  const target = scope.empty([count * 4]);
  const { best } = await measure(gpu, () => {
    scope.dispatch(COPY, {
      buffers: [source, target],
      params: { count },
      workgroups: gridFor(count, 64),
    });
  }, { budgetMs: BUDGET_MS });
  return 2 * count * 16 / best;
}

/** Lavapipe wants workgroups of one vector (8), GPUs of several waves: the better one counts. */
async function fmaRate(gpu: Gpu): Promise<number> {
  const invocations = 1 << 18;
  using scope = gpu.scope();
  const result = scope.empty([invocations]);
  let rate = 0;
  for (const workgroup of gpu.adapter.isSoftware ? [8] : [64, 256]) {
    let turns = 8;
    for (;;) {
      const { best } = await measure(gpu, () => {
        scope.dispatch(FMA, {
          buffers: [result],
          params: { turns, scale: 0.999, shift: 0.001 },
          overrides: { WORKGROUP: workgroup },
          workgroups: [invocations / workgroup],
        });
      }, { budgetMs: BUDGET_MS });
      rate = Math.max(rate, invocations * turns * FLOPS_PER_TURN / best);
      if (best > 2e6) break;
      turns *= 8;
    }
  }
  return rate;
}
