import {
  resizeNearest,
  resizeNearestBytes,
  resizeNearestFlops,
  resizeNearestGradient,
} from "../kernels/resize_nearest/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench, type MapShape } from "./_support/pointwise.ts";

const half = ([n, height, width, channels]: MapShape) => [n, height / 2, width / 2, channels];
const bytes = (shape: MapShape) => resizeNearestBytes(half(shape), [shape[1], shape[2]]);

await mapBench("resizeNearest to twice the size", {
  prepare: (ctx, shape) => ({ x: fill(ctx, half(shape)), size: [shape[1], shape[2]] as const }),
  run: (ctx, { x, size }, how) => resizeNearest(ctx, { x }, { size, ...how }),
  flops: () => 0,
  bytes,
});

await mapBench("resizeNearestGradient to half the size", {
  prepare: (ctx, shape) => ({ dY: fill(ctx, shape), size: [shape[1] / 2, shape[2] / 2] as const }),
  run: (ctx, { dY, size }, how) => resizeNearestGradient(ctx, { dY }, { size, ...how }),
  flops: resizeNearestFlops,
  bytes,
});
