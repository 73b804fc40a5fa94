import {
  activation,
  activationBytes,
  activationFlops,
  activationGradient,
  type ActivationKind,
} from "../kernels/activation/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench } from "./_support/pointwise.ts";

for (const kind of ["relu", "silu", "gelu"] satisfies ActivationKind[]) {
  await mapBench(`activation ${kind}`, {
    prepare: (ctx, shape) => ({ x: fill(ctx, shape, { low: -4, high: 4 }) }),
    run: (ctx, inputs, how) => activation(ctx, inputs, { kind, ...how }),
    flops: (shape) => activationFlops(shape, kind),
    bytes: activationBytes,
  });
}

await mapBench("activationGradient relu", {
  prepare: (ctx, shape) => ({ y: fill(ctx, shape), dY: fill(ctx, shape, { seed: 2 }) }),
  run: (ctx, inputs, how) => activationGradient(ctx, inputs, { kind: "relu", ...how }),
  flops: (shape) => activationFlops(shape, "relu"),
  bytes: (shape) => 1.5 * activationBytes(shape),
});
