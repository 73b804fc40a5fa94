import {
  linear,
  linearBytes,
  linearFlops,
  linearGradient,
  type LinearShape,
} from "../kernels/matmul/linear.ts";
import type { Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly dY: Tensor;
}

function workload(shape: LinearShape, times: number): BenchShape<Inputs> {
  const { rows, inputs, outputs } = shape;
  return {
    label: `${rows}x${inputs}x${outputs}`,
    flops: times * linearFlops(shape),
    bytes: times * linearBytes(shape),
    prepare: (ctx) => ({
      x: fill(ctx, [rows, inputs]),
      weight: fill(ctx, [outputs, inputs], { seed: 2 }),
      bias: fill(ctx, [outputs], { seed: 3 }),
      dY: fill(ctx, [rows, outputs], { seed: 4 }),
    }),
    slow: rows * inputs > 128 * 512,
  };
}

const SHAPES = [
  { rows: 128, inputs: 512, outputs: 512 },
  { rows: 128, inputs: 512, outputs: 10 },
  { rows: 1024, inputs: 2048, outputs: 1000 },
  { rows: 2336, inputs: 512, outputs: 512 },
];

await benchKernel("linear (rows x inputs x outputs)", {
  shapes: SHAPES.map((shape) => workload(shape, 1)),
  variants: { forward: (ctx, inputs) => void linear(ctx, inputs) },
});

await benchKernel("linearGradient (rows x inputs x outputs)", {
  shapes: SHAPES.map((shape) => workload(shape, 2)),
  variants: { "all gradients": (ctx, inputs) => void linearGradient(ctx, inputs) },
});
