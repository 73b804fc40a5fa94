import {
  quadraticForm,
  quadraticFormBytes,
  quadraticFormFlops,
  type QuadraticFormInputs,
  type QuadraticFormShape,
} from "../kernels/quadratic_form/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

function workload(
  size: QuadraticFormShape,
  options: { slow?: boolean } = {},
): BenchShape<QuadraticFormInputs> {
  const { rows, channels, rank } = size;
  return {
    label: `${rows}x${channels}x${rank}`,
    flops: quadraticFormFlops(size),
    bytes: quadraticFormBytes(size),
    slow: options.slow ?? false,
    prepare: (ctx) => ({
      x: fill(ctx, [rows, channels]),
      mean: fill(ctx, [channels], { seed: 2 }),
      whitening: fill(ctx, [channels, rank], { seed: 3 }),
    }),
  };
}

await benchKernel<QuadraticFormInputs>("quadratic form (rows x channels x rank)", {
  shapes: [
    workload({ rows: 2048, channels: 64, rank: 64 }),
    workload({ rows: 2048, channels: 512, rank: 512 }),
    workload({ rows: 2048, channels: 2048, rank: 1048 }, { slow: true }),
  ],
  variants: {
    naive: (ctx, inputs) => void quadraticForm(ctx, inputs, { variant: "naive" }),
    tiled: (ctx, inputs) => void quadraticForm(ctx, inputs, { variant: "tiled" }),
    register: (ctx, inputs) => void quadraticForm(ctx, inputs, { variant: "register" }),
  },
});
