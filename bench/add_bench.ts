import { add, addBytes, addFlops, addInto } from "../kernels/add/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench, type MapShape } from "./_support/pointwise.ts";
import type { GpuContext } from "../runtime/mod.ts";

const two = (ctx: GpuContext, shape: MapShape) => ({
  a: fill(ctx, shape),
  b: fill(ctx, shape, { seed: 2 }),
});

await mapBench("add with relu", {
  prepare: two,
  run: (ctx, inputs, how) => add(ctx, inputs, { activation: "relu", ...how }),
  flops: addFlops,
  bytes: addBytes,
});

await mapBench("addInto", {
  prepare: two,
  run: (ctx, { a, b }, how) => addInto(ctx, { target: a, x: b }, { scale: 1e-3, ...how }),
  flops: (shape) => 2 * addFlops(shape),
  bytes: addBytes,
});
