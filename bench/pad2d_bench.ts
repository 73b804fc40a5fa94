import { pad2d, pad2dBytes, pad2dFlops, pad2dGradient, type Sides } from "../kernels/pad2d/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench } from "./_support/pointwise.ts";

const padding: Sides = [1, 1, 1, 1];

await mapBench("pad2d by one", {
  prepare: (ctx, shape) => ({ x: fill(ctx, shape) }),
  run: (ctx, inputs, how) => pad2d(ctx, inputs, { padding, ...how }),
  flops: pad2dFlops,
  bytes: (shape) => pad2dBytes(shape, padding),
});

await mapBench("pad2dGradient by one", {
  prepare: (ctx, [n, height, width, channels]) => ({
    dY: fill(ctx, [n, height + 2, width + 2, channels]),
  }),
  run: (ctx, inputs, how) => pad2dGradient(ctx, inputs, { padding, ...how }),
  flops: pad2dFlops,
  bytes: (shape) => pad2dBytes(shape, padding),
});
