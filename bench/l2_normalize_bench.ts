import {
  l2Normalize,
  l2NormalizeBytes,
  l2NormalizeFlops,
  l2NormalizeGradient,
} from "../kernels/l2_normalize/mod.ts";
import { fill } from "./_support/mod.ts";
import { matrix, rowBench } from "./_support/rows.ts";

await rowBench("l2Normalize", {
  prepare: matrix,
  run: l2Normalize,
  flops: l2NormalizeFlops,
  bytes: l2NormalizeBytes,
});

await rowBench("l2NormalizeGradient", {
  prepare: (ctx, { rows, columns }) => ({
    x: fill(ctx, [rows, columns]),
    dY: fill(ctx, [rows, columns], { seed: 2 }),
  }),
  run: l2NormalizeGradient,
  flops: (shape) => 2 * l2NormalizeFlops(shape),
  bytes: (shape) => 1.5 * l2NormalizeBytes(shape),
});
