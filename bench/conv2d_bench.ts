import {
  conv2d,
  conv2dBytes,
  conv2dDataGradient,
  conv2dFlops,
  conv2dWeightGradient,
  convOutputSize,
  type ConvShape,
} from "../kernels/conv2d/mod.ts";
import { PRODUCT_VARIANTS, type ProductOptions } from "../kernels/matmul/mod.ts";
import type { Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill, type KernelBench } from "./_support/mod.ts";

interface Inputs {
  readonly shape: ConvShape;
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly dY: Tensor;
}

function workload(label: string, shape: ConvShape, slow = false): BenchShape<Inputs> {
  const { batch, size, channels, outputs, kernel, groups = 1 } = shape;
  return {
    label,
    flops: conv2dFlops(shape),
    bytes: conv2dBytes(shape),
    slow,
    prepare: (ctx) => ({
      shape,
      x: fill(ctx, [batch, ...size, channels]),
      weight: fill(ctx, [outputs, ...kernel, channels / groups], { seed: 2 }),
      dY: fill(ctx, [batch, ...convOutputSize(size, kernel, shape), outputs], { seed: 3 }),
    }),
  };
}

/** A layer of 3 x 3 taps on square images. */
function layer(
  [side, channels, outputs]: readonly [number, number, number],
  options: { batch?: number; stride?: number; groups?: number; slow?: boolean } = {},
): BenchShape<Inputs> {
  const { batch = 32, stride = 1, groups = 1, slow = false } = options;
  const suffix = [stride > 1 ? ` /${stride}` : "", groups > 1 ? " depthwise" : ""].join("");
  return workload(`${batch}x${side}x${side} ${channels}-${outputs}${suffix}`, {
    batch,
    size: [side, side],
    channels,
    outputs,
    kernel: [3, 3],
    stride: [stride, stride],
    padding: [1, 1, 1, 1],
    groups,
  }, slow);
}

function single(
  [side, channels, outputs]: readonly [number, number, number],
  options: { batch?: number; stride?: number } = {},
): BenchShape<Inputs> {
  const { batch = 32, stride = 1 } = options;
  return workload(`${batch}x${side}x${side} ${channels}-${outputs} 1x1${stride > 1 ? " /2" : ""}`, {
    batch,
    size: [side, side],
    channels,
    outputs,
    kernel: [1, 1],
    stride: [stride, stride],
  });
}

/** The layers of ResNet-20, then other kinds. */
const SHAPES: readonly BenchShape<Inputs>[] = [
  layer([32, 3, 16]),
  layer([32, 16, 16]),
  layer([32, 16, 32], { stride: 2 }),
  layer([16, 32, 32]),
  layer([16, 32, 64], { stride: 2 }),
  layer([8, 64, 64]),
  single([16, 64, 128]),
  single([32, 16, 32], { stride: 2 }),
  layer([32, 64, 64], { groups: 64 }),
  layer([32, 16, 16], { batch: 128, slow: true }),
  layer([16, 32, 32], { batch: 128, slow: true }),
  layer([8, 64, 64], { batch: 128, slow: true }),
  workload("8x112x112 3-64 7x7 /2", {
    batch: 8,
    size: [112, 112],
    channels: 3,
    outputs: 64,
    kernel: [7, 7],
    stride: [2, 2],
    padding: [3, 3, 3, 3],
  }, true),
];

type Variant = ProductOptions["variant"] & string;
type Run = KernelBench<Inputs>["variants"][string];

function every(make: (variant: Variant) => Run): Record<string, Run> {
  return Object.fromEntries(PRODUCT_VARIANTS.map((variant) => [variant, make(variant)]));
}

await benchKernel("conv2d", {
  shapes: SHAPES,
  variants: every((variant) => (ctx, { x, weight, shape }) => {
    conv2d(ctx, { x, weight }, { ...shape, variant });
  }),
});

await benchKernel("conv2dDataGradient", {
  shapes: SHAPES,
  variants: every((variant) => (ctx, { dY, weight, shape }) => {
    conv2dDataGradient(ctx, { dY, weight }, { ...shape, variant });
  }),
});

await benchKernel("conv2dWeightGradient", {
  shapes: SHAPES,
  variants: every((variant) => (ctx, { x, dY, shape }) => {
    conv2dWeightGradient(ctx, { x, dY }, { ...shape, variant });
  }),
});
