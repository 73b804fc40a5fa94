import type { ColumnVariant } from "../kernels/column_reduce/mod.ts";
import {
  groupNorm,
  groupNormBytes,
  groupNormFlops,
  groupNormGradient,
  type GroupNormShape,
} from "../kernels/group_norm/mod.ts";
import type { GpuContext, Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs {
  readonly x: Tensor;
  readonly dY: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly mean: Tensor;
  readonly inverse: Tensor;
  readonly groups: number;
}

/** Maps and groups of a small diffusion model and its autoencoder in training, in batches of 32. */
const TRAINING = [
  [[32, 16, 16, 48], 12],
  [[32, 8, 8, 96], 24],
  [[32, 32, 32, 32], 8],
] as const;

/** Maps too large for the baseline on a software adapter: the last two of a VAE's decoder. */
const LARGE = [
  [[32, 64, 64, 16], 4],
  [[1, 64, 64, 512], 32],
  [[1, 256, 256, 128], 32],
] as const;

function workloads(
  shapes: readonly (readonly [shape: readonly number[], groups: number])[],
  pass: NonNullable<GroupNormShape["pass"]>,
): BenchShape<Inputs>[] {
  return shapes.map(([shape, groups], position) => ({
    label: `${shape.join("x")} in ${groups}`,
    flops: groupNormFlops({ shape, pass, activation: "silu" }),
    bytes: groupNormBytes({ shape, pass }),
    prepare: (ctx) => ({
      x: fill(ctx, shape),
      dY: fill(ctx, shape, { seed: 2 }),
      weight: fill(ctx, shape.slice(-1), { seed: 3 }),
      bias: fill(ctx, shape.slice(-1), { seed: 4 }),
      mean: fill(ctx, [shape[0]!, groups], { seed: 5 }),
      inverse: fill(ctx, [shape[0]!, groups], { seed: 6, low: 0.5 }),
      groups,
    }),
    slow: position > 0,
  }));
}

const forward = (variant: ColumnVariant) => (ctx: GpuContext, inputs: Inputs): void => {
  groupNorm(ctx, inputs, { groups: inputs.groups, activation: "silu", variant });
};

const gradient = (variant: ColumnVariant) => (ctx: GpuContext, inputs: Inputs): void => {
  groupNormGradient(ctx, inputs, { groups: inputs.groups, activation: "silu", variant });
};

await benchKernel("groupNorm with SiLU", {
  shapes: workloads(TRAINING, "forward"),
  variants: { naive: forward("naive"), serial: forward("serial"), tree: forward("tree") },
});

await benchKernel("groupNormGradient with SiLU", {
  shapes: workloads(TRAINING, "gradient"),
  variants: { naive: gradient("naive"), serial: gradient("serial"), tree: gradient("tree") },
});

await benchKernel("groupNorm with SiLU, large", {
  shapes: workloads(LARGE, "forward"),
  variants: { serial: forward("serial"), tree: forward("tree") },
});

await benchKernel("groupNormGradient with SiLU, large", {
  shapes: workloads(LARGE, "gradient"),
  variants: { serial: gradient("serial"), tree: gradient("tree") },
});
