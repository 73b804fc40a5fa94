import {
  confidenceGradient,
  confidenceGradientBytes,
  confidenceGradientFlops,
} from "../kernels/confidence_gradient/mod.ts";
import { fill } from "./_support/mod.ts";
import { rowBench } from "./_support/rows.ts";

await rowBench("confidenceGradient", {
  prepare: (ctx, { rows, columns }) => ({ logits: fill(ctx, [rows, columns]) }),
  run: (ctx, inputs, options) => {
    confidenceGradient(ctx, inputs, { ...options, temperature: 1000 });
  },
  flops: confidenceGradientFlops,
  bytes: confidenceGradientBytes,
});
