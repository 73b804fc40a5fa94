import { layerNorm, layerNormBytes, layerNormFlops } from "../kernels/layer_norm/mod.ts";
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
