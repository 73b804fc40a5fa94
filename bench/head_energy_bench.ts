import {
  headEnergy,
  headEnergyBytes,
  headEnergyFlops,
  type HeadEnergyInputs,
  type HeadEnergyShape,
} from "../kernels/head_energy/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

function workload(
  size: HeadEnergyShape,
  options: { slow?: boolean } = {},
): BenchShape<HeadEnergyInputs> {
  const { rows, classes, channels } = size;
  return {
    label: `${rows}x${classes}x${channels}`,
    flops: headEnergyFlops(size),
    bytes: headEnergyBytes(size),
    slow: options.slow ?? false,
    prepare: (ctx) => ({
      features: fill(ctx, [rows, channels], { low: 0 }),
      weight: fill(ctx, [classes, channels], { seed: 2 }),
      bias: fill(ctx, [classes], { seed: 3 }),
    }),
  };
}

await benchKernel<HeadEnergyInputs>("head energy (rows x classes x channels)", {
  shapes: [
    workload({ rows: 1024, classes: 1000, channels: 512 }),
    workload({ rows: 2048, classes: 10, channels: 64 }),
    workload({ rows: 4096, classes: 1000, channels: 2048 }, { slow: true }),
  ],
  variants: {
    naive: (ctx, inputs) => void headEnergy(ctx, inputs, { variant: "naive" }),
    tiled: (ctx, inputs) => void headEnergy(ctx, inputs, { variant: "tiled" }),
    register: (ctx, inputs) => void headEnergy(ctx, inputs, { variant: "register" }),
    "register with clip": (ctx, inputs) =>
      void headEnergy(ctx, inputs, { variant: "register", clip: 0.9 }),
  },
});
