import {
  generalizedEntropy,
  generalizedEntropyBytes,
  generalizedEntropyFlops,
} from "../kernels/generalized_entropy/mod.ts";
import { matrix, rowBench } from "./_support/rows.ts";

for (const top of [100, 1000]) {
  await rowBench(`generalizedEntropy of the ${top} largest`, {
    prepare: matrix,
    run: (ctx, { x }, options) => generalizedEntropy(ctx, { x }, { ...options, gamma: 0.1, top }),
    flops: generalizedEntropyFlops,
    bytes: generalizedEntropyBytes,
  });
}
