/**
 * A masked head: ImageNet's classes behind 512 features, and CIFAR-100's.
 *
 * @module
 */

import {
  gatedProduct,
  gatedProductBytes,
  gatedProductFlops,
  type GatedProductInputs,
  type GatedProductSize,
} from "../kernels/mod.ts";
import type { GpuContext } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

function workload(size: GatedProductSize, position: number): BenchShape<GatedProductInputs> {
  const { rows, classes, channels } = size;
  return {
    label: `${rows}x${channels}x${classes}`,
    flops: gatedProductFlops(size),
    bytes: gatedProductBytes(size),
    prepare: (ctx: GpuContext) => ({
      features: fill(ctx, [rows, channels]),
      weight: fill(ctx, [classes, channels], { seed: 2 }),
      bias: fill(ctx, [classes], { seed: 3 }),
      mask: {
        gates: fill(ctx, [classes, channels], { seed: 4 }),
        bounds: fill(ctx, [classes], { seed: 5 }),
        index: ctx.upload(Uint32Array.from({ length: rows }, (_, r) => 7 * r % classes), [rows]),
      },
    }),
    slow: position > 0,
  };
}

await benchKernel<GatedProductInputs>("gatedProduct", {
  shapes: [
    { rows: 1024, channels: 512, classes: 1000 },
    { rows: 4096, channels: 512, classes: 100 },
  ].map(workload),
  variants: {
    naive: (ctx, inputs) => gatedProduct(ctx, inputs, { variant: "naive" }),
    register: (ctx, inputs) => gatedProduct(ctx, inputs),
    "register, without a mask": (ctx, { features, weight, bias }) =>
      gatedProduct(ctx, { features, weight, bias: bias! }),
  },
});
