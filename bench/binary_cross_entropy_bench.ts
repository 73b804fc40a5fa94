import {
  binaryCrossEntropy,
  binaryCrossEntropyBytes,
  binaryCrossEntropyFlops,
} from "../kernels/binary_cross_entropy/mod.ts";
import { fill } from "./_support/mod.ts";
import { rowBench } from "./_support/rows.ts";

await rowBench("binaryCrossEntropy", {
  prepare: (ctx, { rows, columns }) => ({
    logits: fill(ctx, [rows, columns]),
    targets: ctx.upload(
      Float32Array.from({ length: rows * columns }, (_, i) => i % 3 === 0 ? 1 : 0),
      [rows, columns],
    ),
    weights: fill(ctx, [columns], { low: 1, high: 4 }),
  }),
  run: binaryCrossEntropy,
  flops: binaryCrossEntropyFlops,
  bytes: binaryCrossEntropyBytes,
  // Tags of a tagging model for a batch, ImageNet's classes, few labels, and rows of odd length.
  shapes: [
    { rows: 512, columns: 4585 },
    { rows: 4096, columns: 1000 },
    { rows: 65_536, columns: 10 },
    { rows: 4096, columns: 999 },
  ],
});
