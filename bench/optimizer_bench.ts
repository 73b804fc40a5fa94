import {
  adamStep,
  clipScale,
  optimizerBytes,
  optimizerFlops,
  type OptimizerShape,
  sgdStep,
} from "../kernels/optimizer/mod.ts";
import type { GpuContext, Tensor } from "../runtime/mod.ts";
import { benchKernel, fill } from "./_support/mod.ts";

interface Arenas {
  readonly parameters: Tensor;
  readonly gradients: Tensor;
  readonly first: Tensor;
  readonly second: Tensor;
}

const STEPS: Readonly<Record<OptimizerShape["step"], (ctx: GpuContext, arenas: Arenas) => void>> = {
  sgd: (ctx, arenas) => sgdStep(ctx, arenas, { learningRate: 1e-6 }),
  momentum: (ctx, { first, ...arenas }) =>
    sgdStep(ctx, { ...arenas, momentum: first }, { learningRate: 1e-6, momentum: 0.9 }),
  adam: (ctx, arenas) => adamStep(ctx, arenas, { learningRate: 1e-6, step: 1 }),
  clip: (ctx, arenas) => void clipScale(ctx, arenas, { maxNorm: 1 }),
};

for (const [name, run] of Object.entries(STEPS)) {
  const step = name as OptimizerShape["step"];
  await benchKernel(`optimizer, ${name}`, {
    shapes: [
      { parameters: 300_032, step },
      { parameters: 4_000_000, step },
      { parameters: 299_999, step },
    ].map((shape, position) => ({
      label: `${shape.parameters}`,
      flops: optimizerFlops(shape),
      bytes: optimizerBytes(shape),
      prepare: (ctx) => {
        const arena = (seed: number) => fill(ctx, [shape.parameters], { seed, low: 0 });
        return { parameters: arena(1), gradients: arena(2), first: arena(3), second: arena(4) };
      },
      slow: position === 2,
    })),
    variants: { step: run },
  });
}
