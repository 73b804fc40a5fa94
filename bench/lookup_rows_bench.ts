import {
  lookupRows,
  lookupRowsBytes,
  lookupRowsFlops,
  lookupRowsGradient,
  type LookupRowsShape,
} from "../kernels/lookup_rows/mod.ts";
import { Rng } from "../kernels/random/rng.ts";
import type { GpuContext } from "../runtime/mod.ts";
import { benchKernel, fill } from "./_support/mod.ts";

/** A batch among negative labels, the words of some captions, and rows of odd length. */
const SHAPES: readonly LookupRowsShape[] = [
  { rows: 5500, samples: 128, columns: 512 },
  { rows: 2048, samples: 2000, columns: 256 },
  { rows: 5500, samples: 128, columns: 99 },
];

function workloads(direction: "forward" | "backward") {
  return SHAPES.map((shape) => ({
    label: `${shape.samples} of ${shape.rows} x ${shape.columns}`,
    flops: lookupRowsFlops(shape, direction),
    bytes: lookupRowsBytes(shape, direction),
    prepare: (ctx: GpuContext) => {
      const { rows, samples, columns } = shape;
      const rng = new Rng(1);
      return {
        rows,
        table: fill(ctx, [rows, columns]),
        dY: fill(ctx, [samples, columns], { seed: 2 }),
        index: ctx.upload(Int32Array.from({ length: samples }, () => rng.integer(rows)), [samples]),
      };
    },
    slow: direction === "backward",
  }));
}

await benchKernel("lookupRows", {
  shapes: workloads("forward"),
  variants: {
    naive: (ctx, inputs) => void lookupRows(ctx, inputs, { variant: "naive" }),
    vector: (ctx, inputs) => void lookupRows(ctx, inputs, { variant: "vector" }),
  },
});

await benchKernel("lookupRowsGradient", {
  shapes: workloads("backward"),
  variants: {
    naive: (ctx, { rows, ...inputs }) =>
      void lookupRowsGradient(ctx, inputs, { rows, variant: "naive" }),
    serial: (ctx, { rows, ...inputs }) =>
      void lookupRowsGradient(ctx, inputs, { rows, variant: "serial" }),
    tree: (ctx, { rows, ...inputs }) =>
      void lookupRowsGradient(ctx, inputs, { rows, variant: "tree" }),
  },
});
