import {
  classTokenBytes,
  classTokenFlops,
  insertClassToken,
  insertClassTokenGradient,
} from "../kernels/class_token/mod.ts";
import { benchKernel, fill } from "./_support/mod.ts";
import { raggedShapes, uploadOffsets } from "./_support/ragged.ts";

const SHAPES = raggedShapes((shape) => ({
  flops: classTokenFlops(shape),
  bytes: classTokenBytes(shape),
}));

await benchKernel("insertClassToken (lists x rows x columns)", {
  shapes: SHAPES.map((shape) => ({
    ...shape,
    prepare: (ctx) => ({
      x: fill(ctx, [shape.rows, shape.columns]),
      offsets: uploadOffsets(ctx, shape),
      token: fill(ctx, [shape.columns]),
      positions: fill(ctx, [shape.longest + 1, shape.columns]),
    }),
  })),
  variants: {
    naive: (ctx, inputs) => void insertClassToken(ctx, inputs, { variant: "naive" }),
    serial: (ctx, inputs) => void insertClassToken(ctx, inputs, { variant: "serial" }),
    tree: (ctx, inputs) => void insertClassToken(ctx, inputs, { variant: "tree" }),
  },
});

await benchKernel("insertClassTokenGradient (lists x rows x columns)", {
  shapes: SHAPES.map((shape) => ({
    ...shape,
    prepare: (ctx) => ({
      dY: fill(ctx, [shape.rows + shape.lists, shape.columns]),
      offsets: uploadOffsets(ctx, shape),
      positions: shape.longest + 1,
    }),
  })),
  variants: {
    naive: (ctx, { positions, ...inputs }) =>
      void insertClassTokenGradient(ctx, inputs, { positions, variant: "naive" }),
    serial: (ctx, { positions, ...inputs }) =>
      void insertClassTokenGradient(ctx, inputs, { positions, variant: "serial" }),
    tree: (ctx, { positions, ...inputs }) =>
      void insertClassTokenGradient(ctx, inputs, { positions, variant: "tree" }),
  },
});
