import {
  kNearest,
  kNearestBytes,
  kNearestFlops,
  type KNearestInputs,
  type KNearestShape,
} from "../kernels/k_nearest/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs extends KNearestInputs {
  readonly k: number;
}

function workload(size: KNearestShape, options: { slow?: boolean } = {}): BenchShape<Inputs> {
  const { rows, bankRows, channels, k } = size;
  return {
    label: `${rows}x${bankRows}x${channels} k=${k}`,
    flops: kNearestFlops(size),
    bytes: kNearestBytes(size),
    slow: options.slow ?? false,
    prepare: (ctx) => ({
      queries: fill(ctx, [rows, channels]),
      bank: fill(ctx, [bankRows, channels], { seed: 2 }),
      k,
    }),
  };
}

await benchKernel<Inputs>("k nearest (queries x bank x channels)", {
  shapes: [
    workload({ rows: 500, bankRows: 5000, channels: 64, k: 50 }),
    workload({ rows: 2000, bankRows: 10_000, channels: 64, k: 50 }, { slow: true }),
    workload({ rows: 2000, bankRows: 10_000, channels: 512, k: 50 }, { slow: true }),
    workload({ rows: 2000, bankRows: 10_000, channels: 64, k: 1000 }, { slow: true }),
  ],
  variants: {
    naive: (ctx, { k, ...inputs }) => void kNearest(ctx, inputs, { k, variant: "naive" }),
    tiled: (ctx, { k, ...inputs }) => void kNearest(ctx, inputs, { k, variant: "tiled" }),
    register: (ctx, { k, ...inputs }) => void kNearest(ctx, inputs, { k, variant: "register" }),
  },
});
