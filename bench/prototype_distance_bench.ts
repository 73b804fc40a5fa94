import {
  cosineMax,
  euclideanMin,
  klMin,
  prototypeBytes,
  prototypeFlops,
  type PrototypeInputs,
  type PrototypeShape,
} from "../kernels/prototype_distance/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

function workload(
  size: PrototypeShape,
  options: { slow?: boolean } = {},
): BenchShape<PrototypeInputs> {
  const { rows, centres, channels } = size;
  return {
    label: `${rows}x${centres}x${channels}`,
    flops: prototypeFlops(size),
    bytes: prototypeBytes(size),
    slow: options.slow ?? false,
    prepare: (ctx) => ({
      features: fill(ctx, [rows, channels], { low: 0 }),
      centres: fill(ctx, [centres, channels], { seed: 2, low: 0 }),
    }),
  };
}

await benchKernel<PrototypeInputs>("prototype distance (rows x centres x channels)", {
  shapes: [
    workload({ rows: 1024, centres: 1000, channels: 512 }),
    workload({ rows: 64, centres: 11_000, channels: 512 }),
    workload({ rows: 2048, centres: 10, channels: 512 }),
    workload({ rows: 4096, centres: 1000, channels: 512 }, { slow: true }),
  ],
  variants: {
    "cosine naive": (ctx, inputs) => void cosineMax(ctx, inputs, { variant: "naive" }),
    "cosine tiled": (ctx, inputs) => void cosineMax(ctx, inputs, { variant: "tiled" }),
    "cosine register": (ctx, inputs) => void cosineMax(ctx, inputs, { variant: "register" }),
    "euclidean register": (ctx, inputs) => void euclideanMin(ctx, inputs, { variant: "register" }),
    "kl register": (ctx, inputs) => void klMin(ctx, inputs, { variant: "register" }),
  },
});
