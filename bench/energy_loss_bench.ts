import { energyLoss, energyLossBytes, energyLossFlops } from "../kernels/energy_loss/mod.ts";
import { fill } from "./_support/mod.ts";
import { rowBench } from "./_support/rows.ts";

await rowBench("energyLoss", {
  prepare: (ctx, { rows, columns }) => ({ logits: fill(ctx, [rows, columns]) }),
  run: (ctx, inputs, options) => {
    energyLoss(ctx, inputs, { ...options, kind: "hinge", margin: 1 });
  },
  flops: energyLossFlops,
  bytes: energyLossBytes,
});
