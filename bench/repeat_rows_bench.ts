import {
  repeatRows,
  repeatRowsBytes,
  repeatRowsFlops,
  repeatRowsGradient,
} from "../kernels/repeat_rows/mod.ts";
import { benchKernel, fill } from "./_support/mod.ts";

/** The same class queries for a batch, few rows very often, and rows of odd length. */
const SHAPES = [
  { rows: 20, columns: 512, times: 128 },
  { rows: 1, columns: 512, times: 4096 },
  { rows: 7, columns: 99, times: 1024 },
].map((shape, position) => ({
  ...shape,
  label: `${shape.rows}x${shape.columns} ${shape.times} times`,
  flops: repeatRowsFlops(shape),
  bytes: repeatRowsBytes(shape),
  slow: position > 0,
}));

await benchKernel("repeatRows", {
  shapes: SHAPES.map((shape) => ({
    ...shape,
    flops: 0,
    prepare: (ctx) => ({ x: fill(ctx, [shape.rows, shape.columns]), times: shape.times }),
  })),
  variants: {
    naive: (ctx, { x, times }) => void repeatRows(ctx, { x }, { times, variant: "naive" }),
    vector: (ctx, { x, times }) => void repeatRows(ctx, { x }, { times, variant: "vector" }),
  },
});

await benchKernel("repeatRowsGradient", {
  shapes: SHAPES.map((shape) => ({
    ...shape,
    prepare: (ctx) => ({
      dY: fill(ctx, [shape.times * shape.rows, shape.columns]),
      times: shape.times,
    }),
  })),
  variants: {
    naive: (ctx, { dY, times }) =>
      void repeatRowsGradient(ctx, { dY }, { times, variant: "naive" }),
    chosen: (ctx, { dY, times }) => void repeatRowsGradient(ctx, { dY }, { times }),
    tree: (ctx, { dY, times }) => void repeatRowsGradient(ctx, { dY }, { times, variant: "tree" }),
  },
});
