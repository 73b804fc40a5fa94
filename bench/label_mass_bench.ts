import {
  type LabelInputs,
  labelMass,
  labelMassBytes,
  labelMassFlops,
  type LabelMassShape,
  type LabelOptions,
} from "../kernels/label_mass/mod.ts";
import type { GpuContext, Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

const KINDS = { scale: 100, classes: 1000, groupSize: 100 };

function workload(size: LabelMassShape, options: { slow?: boolean } = {}): BenchShape<LabelInputs> {
  const { rows, labels, channels } = size;
  // About unit length, which the time does not depend on.
  const most = Math.sqrt(3 / channels);
  const features = (ctx: GpuContext, count: number, seed: number): Tensor =>
    fill(ctx, [count, channels], { seed, low: -most, high: most });
  return {
    label: `${rows}x${labels}x${channels}`,
    flops: labelMassFlops(size),
    bytes: labelMassBytes(size),
    slow: options.slow ?? false,
    prepare: (ctx) => ({ x: features(ctx, rows, 1), labels: features(ctx, labels, 2) }),
  };
}

const way = (options: LabelOptions) => (ctx: GpuContext, inputs: LabelInputs): void =>
  void labelMass(ctx, inputs, { ...KINDS, ...options });

await benchKernel<LabelInputs>("label mass (images x labels x channels)", {
  shapes: [
    workload({ rows: 1, labels: 11_000, channels: 512 }),
    workload({ rows: 128, labels: 11_000, channels: 512 }),
    workload({ rows: 1024, labels: 11_000, channels: 512 }, { slow: true }),
  ],
  variants: {
    naive: way({ variant: "naive" }),
    tiled: way({ variant: "tiled" }),
    register: way({ variant: "register", panels: false }),
    panels: way({ variant: "register", panels: true }),
    "as chosen": way({}),
  },
});
