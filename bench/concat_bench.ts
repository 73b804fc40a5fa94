import { concatBytes, concatChannels, concatFlops, sliceChannels } from "../kernels/concat/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench, type MapShape } from "./_support/pointwise.ts";

const twice = ([n, height, width, channels]: MapShape) => [n, height, width, 2 * channels];

await mapBench("concatChannels of two", {
  prepare: (ctx, shape) => ({ parts: [fill(ctx, shape), fill(ctx, shape, { seed: 2 })] }),
  run: concatChannels,
  flops: concatFlops,
  bytes: (shape) => concatBytes(twice(shape)),
});

await mapBench("sliceChannels of half", {
  prepare: (ctx, shape) => ({ x: fill(ctx, twice(shape)) }),
  run: (ctx, { x }, how) => {
    const end = x.shape[3]!;
    sliceChannels(ctx, { x }, { begin: end / 2, end, ...how });
  },
  flops: concatFlops,
  bytes: concatBytes,
});
