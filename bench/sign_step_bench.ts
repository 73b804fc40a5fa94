import { signStep, signStepBytes, signStepFlops } from "../kernels/sign_step/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench } from "./_support/pointwise.ts";

await mapBench("signStep", {
  prepare: (ctx, shape) => ({ x: fill(ctx, shape), gradient: fill(ctx, shape, { seed: 2 }) }),
  run: (ctx, inputs, how) => {
    signStep(ctx, inputs, { step: Array<number>(inputs.x.shape.at(-1)!).fill(1e-3), ...how });
  },
  flops: signStepFlops,
  bytes: signStepBytes,
  shapes: [[64, 32, 32, 3], [8, 224, 224, 3]],
});
