import {
  classSums,
  classSumsBytes,
  classSumsFlops,
  moments,
  momentsBytes,
  momentsFlops,
  type MomentsInputs,
} from "../kernels/moments/mod.ts";
import { benchKernel, type BenchShape, fill, type KernelBench } from "./_support/mod.ts";

function momentsOf(rows: number, columns: number): BenchShape<MomentsInputs> {
  return {
    label: `${rows}x${columns}`,
    flops: momentsFlops({ rows, columns }),
    bytes: momentsBytes({ rows, columns }),
    prepare: (ctx) => ({ x: fill(ctx, [rows, columns]), shift: fill(ctx, [columns], { seed: 2 }) }),
  };
}

const CHOICES: KernelBench<MomentsInputs>["variants"] = {
  chosen: (ctx, inputs) => moments(ctx, inputs),
  register: (ctx, inputs) => moments(ctx, inputs, { variant: "register" }),
  tiled: (ctx, inputs) => moments(ctx, inputs, { variant: "tiled" }),
};

await benchKernel("moments", {
  shapes: [momentsOf(2048, 256), momentsOf(8192, 64)],
  variants: {
    naive: (ctx, inputs) => moments(ctx, inputs, { variant: "naive" }),
    ...CHOICES,
  },
});

// The baseline takes half a minute for these on a software adapter.
await benchKernel("moments, wide", {
  shapes: [momentsOf(8192, 512), { ...momentsOf(4096, 2048), slow: true }],
  variants: CHOICES,
});

await benchKernel("classSums", {
  shapes: [{ rows: 8192, columns: 512, classes: 100 }, { rows: 8192, columns: 512, classes: 1000 }]
    .map((shape, position) => ({
      label: `${shape.rows}x${shape.columns}, ${shape.classes} classes`,
      flops: classSumsFlops(shape),
      bytes: classSumsBytes(shape),
      prepare: (ctx) => {
        // A multiplicative step visits the classes in an order without runs.
        const labels = Int32Array.from(
          { length: shape.rows },
          (_, n) => Math.imul(n, 7919) % shape.classes,
        );
        return {
          inputs: {
            x: fill(ctx, [shape.rows, shape.columns]),
            shift: fill(ctx, [shape.columns], { seed: 2 }),
            labels: ctx.upload(labels, [shape.rows]),
          },
          classes: shape.classes,
        };
      },
      slow: position === 1,
    })),
  variants: {
    naive: (ctx, { inputs, classes }) => classSums(ctx, inputs, { classes, variant: "naive" }),
    chosen: (ctx, { inputs, classes }) => classSums(ctx, inputs, { classes }),
    columns: (ctx, { inputs, classes }) => classSums(ctx, inputs, { classes, variant: "columns" }),
    classes: (ctx, { inputs, classes }) => classSums(ctx, inputs, { classes, variant: "classes" }),
  },
});
