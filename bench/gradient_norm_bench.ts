/**
 * The size of a head's weight gradient: ImageNet's classes behind 512 and 2048 features, and CIFAR's.
 *
 * @module
 */

import {
  gradientNorm,
  gradientNormBytes,
  gradientNormFlops,
  type GradientNormInputs,
  type GradientNormSize,
} from "../kernels/gradient_norm/mod.ts";
import type { RowOptions } from "../kernels/row_reduce/mod.ts";
import type { GpuContext } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

function workload(size: GradientNormSize, position: number): BenchShape<GradientNormInputs> {
  const { rows, channels, classes } = size;
  return {
    label: `${rows}x${channels}+${classes}`,
    flops: gradientNormFlops(size),
    bytes: gradientNormBytes(size),
    prepare: (ctx: GpuContext) => ({
      features: fill(ctx, [rows, channels]),
      logits: fill(ctx, [rows, classes], { seed: 2 }),
    }),
    slow: position > 0,
  };
}

const run = (options: RowOptions) => (ctx: GpuContext, inputs: GradientNormInputs) => {
  gradientNorm(ctx, inputs, options);
};

await benchKernel<GradientNormInputs>("gradientNorm", {
  shapes: [
    { rows: 4096, channels: 512, classes: 1000 },
    { rows: 4096, channels: 2048, classes: 1000 },
    { rows: 65_536, channels: 64, classes: 10 },
  ].map(workload),
  variants: {
    naive: run({ variant: "naive" }),
    chosen: run({}),
    serial: run({ variant: "serial" }),
    "tree 64": run({ variant: "tree", lanes: 64 }),
  },
});
