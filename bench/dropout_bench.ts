import { dropout, dropoutBytes, dropoutFlops } from "../kernels/dropout/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench } from "./_support/pointwise.ts";

await mapBench("dropout", {
  prepare: (ctx, shape) => ({ x: fill(ctx, shape) }),
  run: (ctx, inputs, how) => dropout(ctx, inputs, { rate: 0.1, seed: 1, ...how }),
  flops: dropoutFlops,
  bytes: dropoutBytes,
});
