import {
  prefixSum,
  prefixSumBytes,
  prefixSumFlops,
  type PrefixSumInputs,
} from "../kernels/prefix_sum/mod.ts";
import { benchKernel, type BenchShape } from "./_support/mod.ts";

function workload(length: number, options: { slow?: boolean } = {}): BenchShape<PrefixSumInputs> {
  return {
    label: `${length}`,
    flops: prefixSumFlops(length),
    bytes: prefixSumBytes(length),
    slow: options.slow ?? false,
    prepare: (ctx) => ({
      x: ctx.upload(Int32Array.from({ length }, (_, i) => i % 145), [length]),
    }),
  };
}

await benchKernel<PrefixSumInputs>("prefix sum", {
  shapes: [
    workload(64),
    workload(10_000),
    workload(1_000_000),
    workload(8_000_000, { slow: true }),
  ],
  variants: {
    naive: (ctx, inputs) => void prefixSum(ctx, inputs, { variant: "naive" }),
    serial: (ctx, inputs) => void prefixSum(ctx, inputs, { variant: "serial" }),
    tree: (ctx, inputs) => void prefixSum(ctx, inputs, { variant: "tree" }),
  },
});
