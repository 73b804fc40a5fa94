import { softmax, softmaxBytes, softmaxFlops } from "../kernels/softmax/mod.ts";
import { matrix, rowBench } from "./_support/rows.ts";

await rowBench("softmax", {
  prepare: matrix,
  run: softmax,
  flops: softmaxFlops,
  bytes: softmaxBytes,
});
