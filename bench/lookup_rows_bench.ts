import type { ColumnVariant } from "../kernels/column_reduce/mod.ts";
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

/** The same with tables so small that the baseline, which reads all numbers for each row, ends. */
const SMALL_SHAPES: readonly LookupRowsShape[] = [
  { rows: 200, samples: 128, columns: 512 },
  { rows: 200, samples: 128, columns: 99 },
];

function workloads(shapes: readonly LookupRowsShape[], direction: "forward" | "backward") {
  return shapes.map((shape, position) => ({
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
    slow: position > 0,
  }));
}

type Inputs = ReturnType<ReturnType<typeof workloads>[number]["prepare"]>;

const gradient = (variant: ColumnVariant) => (ctx: GpuContext, { rows, dY, index }: Inputs) =>
  void lookupRowsGradient(ctx, { dY, index }, { rows, variant });

await benchKernel("lookupRows", {
  shapes: workloads(SHAPES, "forward"),
  variants: {
    naive: (ctx, { table, index }) => void lookupRows(ctx, { table, index }, { variant: "naive" }),
    vector: (ctx, { table, index }) =>
      void lookupRows(ctx, { table, index }, { variant: "vector" }),
  },
});

await benchKernel("lookupRowsGradient", {
  shapes: workloads(SMALL_SHAPES, "backward"),
  variants: { naive: gradient("naive"), serial: gradient("serial"), tree: gradient("tree") },
});

await benchKernel("lookupRowsGradient of large tables", {
  shapes: workloads(SHAPES, "backward"),
  variants: { serial: gradient("serial"), tree: gradient("tree") },
});
