import { l2Normalize, l2NormalizeBytes, l2NormalizeFlops } from "../kernels/l2_normalize/mod.ts";
import { matrix, rowBench } from "./_support/rows.ts";

await rowBench("l2Normalize", {
  prepare: matrix,
  run: l2Normalize,
  flops: l2NormalizeFlops,
  bytes: l2NormalizeBytes,
});
