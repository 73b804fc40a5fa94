import {
  percentileBytes,
  percentileFlops,
  percentilePass,
  type PercentileVariant,
} from "../kernels/percentile/mod.ts";
import type { GpuContext, Tensor } from "../runtime/mod.ts";
import { benchKernel, fill } from "./_support/mod.ts";

const run = (variant?: PercentileVariant) =>
(
  ctx: GpuContext,
  inputs: { x: Tensor; histogram: Tensor },
): void => percentilePass(ctx, inputs, variant === undefined ? {} : { variant });

await benchKernel("percentile, one pass", {
  shapes: [1 << 22, 1 << 24].map((count, position) => ({
    label: `${count}`,
    flops: percentileFlops(),
    bytes: percentileBytes(count),
    prepare: (ctx) => ({
      x: fill(ctx, [count]),
      histogram: ctx.upload(new Uint32Array(4097), [4097]),
    }),
    slow: position > 0,
  })),
  variants: {
    naive: run("naive"),
    chosen: run(),
    private: run("private"),
    shared: run("shared"),
  },
});
