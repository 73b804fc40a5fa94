/**
 * Rectifying activations: one read, one write, a dozen operations between them.
 *
 * @module
 */

import { lhActivation, lhActivationBytes, lhActivationFlops } from "../kernels/mod.ts";
import type { GpuContext, Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

function workload(rows: number, columns: number): BenchShape<{ x: Tensor }> {
  return {
    label: `${rows}x${columns}`,
    flops: lhActivationFlops(rows * columns),
    bytes: lhActivationBytes(rows * columns),
    prepare: (ctx: GpuContext) => ({ x: fill(ctx, [rows, columns]) }),
  };
}

const BOUNDS = { low: 0.2, high: 0.9 };

await benchKernel<{ x: Tensor }>("lhActivation", {
  shapes: [workload(4096, 512), workload(4096, 2048)],
  variants: {
    naive: (ctx, inputs) => lhActivation(ctx, inputs, { ...BOUNDS, variant: "naive" }),
    vector: (ctx, inputs) => lhActivation(ctx, inputs, BOUNDS),
  },
});
