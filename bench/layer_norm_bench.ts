import {
  layerNorm,
  layerNormBytes,
  layerNormFlops,
  layerNormGradient,
} from "../kernels/layer_norm/mod.ts";
import { fill } from "./_support/mod.ts";
import { rowBench } from "./_support/rows.ts";

await rowBench("layerNorm", {
  prepare: (ctx, { rows, columns }) => ({
    x: fill(ctx, [rows, columns]),
    weight: fill(ctx, [columns], { seed: 2 }),
    bias: fill(ctx, [columns], { seed: 3 }),
  }),
  run: layerNorm,
  flops: layerNormFlops,
  bytes: layerNormBytes,
});

await rowBench("layerNormGradient", {
  prepare: (ctx, { rows, columns }) => ({
    x: fill(ctx, [rows, columns]),
    weight: fill(ctx, [columns], { seed: 2 }),
    dY: fill(ctx, [rows, columns], { seed: 3 }),
  }),
  run: layerNormGradient,
  flops: (shape) => 2 * layerNormFlops(shape),
  // Two matrices read and one written, and as much again for the sums of columns but the write.
  bytes: (shape) => 2.5 * layerNormBytes(shape),
});
