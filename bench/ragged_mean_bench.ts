import {
  raggedMean,
  raggedMeanBytes,
  raggedMeanFlops,
  type RaggedMeanInputs,
} from "../kernels/ragged_mean/mod.ts";
import { benchKernel, fill } from "./_support/mod.ts";
import { raggedShapes, uploadOffsets } from "./_support/ragged.ts";

await benchKernel<RaggedMeanInputs>("ragged mean (lists x rows x columns)", {
  shapes: raggedShapes((shape) => ({
    flops: raggedMeanFlops(shape),
    bytes: raggedMeanBytes(shape),
  })).map((shape) => ({
    ...shape,
    prepare: (ctx) => ({
      x: fill(ctx, [shape.rows, shape.columns]),
      offsets: uploadOffsets(ctx, shape),
    }),
  })),
  variants: {
    naive: (ctx, inputs) => void raggedMean(ctx, inputs, { variant: "naive" }),
    serial: (ctx, inputs) => void raggedMean(ctx, inputs, { variant: "serial" }),
    tree: (ctx, inputs) => void raggedMean(ctx, inputs, { variant: "tree" }),
  },
});
