import {
  batchNormBytes,
  batchNormFlops,
  batchNormInfer,
  type BatchNormShape,
  batchNormTrain,
  batchNormTrainGradient,
} from "../kernels/batch_norm/mod.ts";
import type { ColumnVariant } from "../kernels/column_reduce/mod.ts";
import type { GpuContext, Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs {
  readonly x: Tensor;
  readonly dY: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly mean: Tensor;
  readonly variance: Tensor;
}

/** Maps of a small residual network at 32, 16 and 8 pixels, in batches of 128 and 512. */
const SHAPES = [[131_072, 16], [32_768, 64], [32_768, 128]] as const;

function workloads(pass: NonNullable<BatchNormShape["pass"]>): BenchShape<Inputs>[] {
  return SHAPES.map(([rows, columns], position) => ({
    label: `${rows}x${columns}`,
    flops: batchNormFlops({ rows, columns, pass }),
    bytes: batchNormBytes({ rows, columns, pass }),
    prepare: (ctx) => ({
      x: fill(ctx, [rows, columns]),
      dY: fill(ctx, [rows, columns], { seed: 2 }),
      weight: fill(ctx, [columns], { seed: 3 }),
      bias: fill(ctx, [columns], { seed: 4 }),
      mean: fill(ctx, [columns], { seed: 5 }),
      variance: fill(ctx, [columns], { seed: 6, low: 0.5 }),
    }),
    slow: position === 2,
  }));
}

function train(ctx: GpuContext, inputs: Inputs, variant: ColumnVariant): void {
  const { mean: runningMean, variance: runningVariance } = inputs;
  batchNormTrain(ctx, { ...inputs, runningMean, runningVariance }, { variant, activation: "relu" });
}

function gradient(ctx: GpuContext, inputs: Inputs, variant: ColumnVariant): void {
  const { variance: inverseDeviation } = inputs;
  batchNormTrainGradient(ctx, { ...inputs, inverseDeviation }, { variant });
}

await benchKernel("batchNormTrain", {
  shapes: workloads("train"),
  variants: {
    serial: (ctx, inputs) => train(ctx, inputs, "serial"),
    tree: (ctx, inputs) => train(ctx, inputs, "tree"),
  },
});

await benchKernel("batchNormTrainGradient", {
  shapes: workloads("trainGradient"),
  variants: {
    serial: (ctx, inputs) => gradient(ctx, inputs, "serial"),
    tree: (ctx, inputs) => gradient(ctx, inputs, "tree"),
  },
});

await benchKernel("batchNormInfer", {
  shapes: workloads("infer"),
  variants: {
    serial: (ctx, inputs) => void batchNormInfer(ctx, inputs, { variant: "serial" }),
    tree: (ctx, inputs) => void batchNormInfer(ctx, inputs, { variant: "tree" }),
  },
});

// The baseline finishes only few rows on a software adapter.
await benchKernel("batchNormTrain, few rows", {
  shapes: [{
    label: "16384x128",
    flops: batchNormFlops({ rows: 16_384, columns: 128 }),
    bytes: batchNormBytes({ rows: 16_384, columns: 128 }),
    prepare: (ctx) => ({
      x: fill(ctx, [16_384, 128]),
      dY: fill(ctx, [16_384, 128], { seed: 2 }),
      weight: fill(ctx, [128], { seed: 3 }),
      bias: fill(ctx, [128], { seed: 4 }),
      mean: fill(ctx, [128], { seed: 5 }),
      variance: fill(ctx, [128], { seed: 6, low: 0.5 }),
    }),
  }],
  variants: {
    naive: (ctx, inputs) => train(ctx, inputs, "naive"),
    serial: (ctx, inputs) => train(ctx, inputs, "serial"),
    tree: (ctx, inputs) => train(ctx, inputs, "tree"),
  },
});
