import {
  crossEntropy,
  crossEntropyBytes,
  crossEntropyFlops,
} from "../kernels/cross_entropy/mod.ts";
import { fill } from "./_support/mod.ts";
import { rowBench } from "./_support/rows.ts";

await rowBench("crossEntropy", {
  prepare: (ctx, { rows, columns }) => ({
    logits: fill(ctx, [rows, columns]),
    labels: ctx.upload(Int32Array.from({ length: rows }, (_, i) => i % columns), [rows]),
  }),
  run: crossEntropy,
  flops: crossEntropyFlops,
  bytes: crossEntropyBytes,
});
