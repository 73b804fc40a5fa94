import { keepTop, keepTopBytes, keepTopFlops } from "../kernels/keep_top/mod.ts";
import { matrix, rowBench } from "./_support/rows.ts";

for (const mode of ["fill", "scaleAll"] as const) {
  await rowBench(`keepTop, a tenth, ${mode}`, {
    prepare: matrix,
    run: (ctx, { x }, options) =>
      keepTop(ctx, { x }, { ...options, count: Math.ceil(x.shape[1]! / 10), mode }),
    flops: keepTopFlops,
    bytes: keepTopBytes,
  });
}
