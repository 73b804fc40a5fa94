import {
  centreLoss,
  classCentresBytes,
  classCentresFlops,
  type ClassCentresInputs,
  updateCentres,
} from "../kernels/class_centres/mod.ts";
import { Rng } from "../kernels/random/rng.ts";
import type { GpuContext } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

/** A batch over few classes, over many, a large batch, and rows of odd length. */
const SHAPES = [
  { rows: 128, classes: 20, columns: 512 },
  { rows: 256, classes: 1000, columns: 512 },
  { rows: 4096, classes: 100, columns: 128 },
  { rows: 128, classes: 20, columns: 99 },
];

function workloads(operation: "update" | "loss"): BenchShape<ClassCentresInputs>[] {
  return SHAPES.map((shape, position) => ({
    label: `${shape.rows} of ${shape.classes}, ${shape.columns} wide`,
    flops: classCentresFlops(shape, operation),
    bytes: classCentresBytes(shape, operation),
    prepare: (ctx: GpuContext) => {
      const { rows, classes, columns } = shape;
      const rng = new Rng(1);
      return {
        centres: fill(ctx, [classes, columns], { seed: 2 }),
        features: fill(ctx, [rows, columns]),
        labels: ctx.upload(Int32Array.from({ length: rows }, () => rng.integer(classes)), [rows]),
      };
    },
    slow: position > 1,
  }));
}

await benchKernel("updateCentres", {
  shapes: workloads("update"),
  variants: {
    naive: (ctx, inputs) => void updateCentres(ctx, inputs, { rate: 0.1, variant: "naive" }),
    serial: (ctx, inputs) => void updateCentres(ctx, inputs, { rate: 0.1, variant: "serial" }),
    tree: (ctx, inputs) => void updateCentres(ctx, inputs, { rate: 0.1, variant: "tree" }),
  },
});

await benchKernel("centreLoss", {
  shapes: workloads("loss"),
  variants: {
    naive: (ctx, inputs) => void centreLoss(ctx, inputs, { variant: "naive" }),
    chosen: (ctx, inputs) => void centreLoss(ctx, inputs),
    "tree 64": (ctx, inputs) => void centreLoss(ctx, inputs, { variant: "tree", lanes: 64 }),
  },
});
