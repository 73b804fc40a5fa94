import {
  averagePool2d,
  averagePool2dGradient,
  globalAveragePool,
  globalAveragePoolGradient,
  maxPool2d,
  maxPool2dGradient,
  pool2dBytes,
  pool2dFlops,
  pool2dShape,
} from "../kernels/pool2d/mod.ts";
import { fill } from "./_support/mod.ts";
import { mapBench, type MapShape } from "./_support/pointwise.ts";

/** The windows of a ResNet's first pooling, and those that halve a map. */
for (const windows of [{ kernel: 3, stride: 2, padding: 1 }, { kernel: 2 }]) {
  const name = `${windows.kernel}x${windows.kernel}`;
  const costs = {
    flops: (shape: MapShape) => pool2dFlops(shape, windows),
    bytes: (shape: MapShape) => pool2dBytes(shape, windows),
  };
  await mapBench(`maxPool2d ${name}`, {
    prepare: (ctx, shape) => ({ x: fill(ctx, shape) }),
    run: (ctx, inputs, how) => maxPool2d(ctx, inputs, { ...windows, ...how }),
    ...costs,
  });
  await mapBench(`maxPool2dGradient ${name}`, {
    prepare: (ctx, shape) => ({
      x: fill(ctx, shape),
      dY: fill(ctx, pool2dShape(shape, windows), { seed: 2 }),
    }),
    run: (ctx, inputs, how) => maxPool2dGradient(ctx, inputs, { ...windows, ...how }),
    flops: costs.flops,
    // Maps and gradient read, gradient written.
    bytes: (shape) => costs.bytes(shape) + 4 * shape.reduce((product, length) => product * length),
  });
  await mapBench(`averagePool2d ${name}`, {
    prepare: (ctx, shape) => ({ x: fill(ctx, shape) }),
    run: (ctx, inputs, how) => averagePool2d(ctx, inputs, { ...windows, ...how }),
    ...costs,
  });
  await mapBench(`averagePool2dGradient ${name}`, {
    prepare: (ctx, shape) => ({
      dY: fill(ctx, pool2dShape(shape, windows)),
      size: [shape[1], shape[2]] as const,
    }),
    run: (ctx, { dY, size }, how) =>
      averagePool2dGradient(ctx, { dY }, { ...windows, size, ...how }),
    ...costs,
  });
}

await mapBench("globalAveragePool", {
  prepare: (ctx, shape) => ({ x: fill(ctx, shape) }),
  run: globalAveragePool,
  flops: ([n, height, width, channels]) => n * height * width * channels,
  bytes: ([n, height, width, channels]) => 4 * n * channels * (height * width + 1),
});

await mapBench("globalAveragePoolGradient", {
  prepare: (ctx, [n, height, width, channels]) => ({
    dY: fill(ctx, [n, channels]),
    size: [height, width] as const,
  }),
  run: (ctx, { dY, size }, how) => globalAveragePoolGradient(ctx, { dY }, { size, ...how }),
  flops: ([n, height, width, channels]) => n * height * width * channels,
  bytes: ([n, height, width, channels]) => 4 * n * channels * (height * width + 1),
});
