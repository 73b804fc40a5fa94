import {
  squaredError,
  squaredErrorBytes,
  squaredErrorFlops,
} from "../kernels/squared_error/mod.ts";
import { fill } from "./_support/mod.ts";
import { rowBench } from "./_support/rows.ts";

await rowBench("squaredError", {
  prepare: (ctx, { rows, columns }) => ({
    x: fill(ctx, [rows, columns]),
    target: fill(ctx, [rows, columns], { seed: 2 }),
  }),
  run: squaredError,
  flops: ({ rows, columns }) => squaredErrorFlops([rows, columns]),
  bytes: ({ rows, columns }) => squaredErrorBytes([rows, columns]),
  // Images of an autoencoder, latents of a diffusion model, many short samples.
  shapes: [
    { rows: 32, columns: 12_288 },
    { rows: 32, columns: 1024 },
    { rows: 4096, columns: 512 },
  ],
});
