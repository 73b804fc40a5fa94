import {
  firstRows,
  firstRowsBytes,
  firstRowsFlops,
  firstRowsGradient,
} from "../kernels/first_rows/mod.ts";
import { benchKernel, fill } from "./_support/mod.ts";
import { raggedShapes, uploadOffsets } from "./_support/ragged.ts";

await benchKernel("firstRows (lists x rows x columns)", {
  shapes: raggedShapes((shape) => ({
    flops: firstRowsFlops(shape),
    bytes: firstRowsBytes(shape),
  })).map((shape) => ({
    ...shape,
    prepare: (ctx) => ({
      x: fill(ctx, [shape.rows, shape.columns]),
      offsets: uploadOffsets(ctx, shape),
    }),
  })),
  variants: {
    naive: (ctx, inputs) => void firstRows(ctx, inputs, { variant: "naive" }),
    vector: (ctx, inputs) => void firstRows(ctx, inputs, { variant: "vector" }),
  },
});

await benchKernel("firstRowsGradient (lists x rows x columns)", {
  shapes: raggedShapes((shape) => ({
    flops: firstRowsFlops(shape),
    bytes: firstRowsBytes(shape, "backward"),
  })).map((shape) => ({
    ...shape,
    prepare: (ctx) => ({
      dY: fill(ctx, [shape.lists, shape.columns]),
      offsets: uploadOffsets(ctx, shape),
      rows: shape.rows,
    }),
  })),
  variants: {
    naive: (ctx, { rows, ...inputs }) =>
      void firstRowsGradient(ctx, inputs, { rows, variant: "naive" }),
    serial: (ctx, { rows, ...inputs }) =>
      void firstRowsGradient(ctx, inputs, { rows, variant: "serial" }),
    tree: (ctx, { rows, ...inputs }) =>
      void firstRowsGradient(ctx, inputs, { rows, variant: "tree" }),
  },
});
