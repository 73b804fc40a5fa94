import { mul, mulBytes, mulFlops, mulGradient } from "../kernels/mul/mod.ts";
import type { GpuContext } from "../runtime/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench, type MapShape } from "./_support/pointwise.ts";

const gate = ([n, , , channels]: MapShape) => [n, 1, 1, channels];

const gated = (ctx: GpuContext, shape: MapShape) => ({
  a: fill(ctx, shape),
  b: fill(ctx, gate(shape), { seed: 2 }),
  dY: fill(ctx, shape, { seed: 3 }),
});

await mapBench("mul by gates", {
  prepare: gated,
  run: mul,
  flops: mulFlops,
  bytes: (shape) => mulBytes(shape, gate(shape)),
});

await mapBench("mulGradient of gates", {
  prepare: gated,
  run: mulGradient,
  flops: (shape) => 3 * mulFlops(shape),
  // Both factors and the incoming gradient read, both gradients written.
  bytes: (shape) => 1.5 * mulBytes(shape, gate(shape)),
});
