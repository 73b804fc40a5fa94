import {
  softmaxExcess,
  softmaxExcessBytes,
  softmaxExcessFlops,
} from "../kernels/softmax_excess/mod.ts";
import { matrix, rowBench } from "./_support/rows.ts";

await rowBench("softmaxExcess", {
  prepare: matrix,
  run: (ctx, inputs, options) => softmaxExcess(ctx, inputs, { ...options, temperature: 1000 }),
  flops: softmaxExcessFlops,
  bytes: softmaxExcessBytes,
});
