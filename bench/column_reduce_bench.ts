import {
  columnReduceBytes,
  columnReduceFlops,
  type ColumnReduceInputs,
  columnSum,
} from "../kernels/column_reduce/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

function workload(rows: number, columns: number, slow = false): BenchShape<ColumnReduceInputs> {
  return {
    label: `${rows}x${columns}`,
    flops: columnReduceFlops({ rows, columns }),
    bytes: columnReduceBytes({ rows, columns }),
    prepare: (ctx) => ({ x: fill(ctx, [rows, columns]) }),
    slow,
  };
}

await benchKernel("columnSum", {
  shapes: [
    workload(131_072, 64),
    workload(8192, 512),
    workload(1_000_000, 3),
    workload(4096, 4096, true),
  ],
  variants: {
    naive: (ctx, inputs) => void columnSum(ctx, inputs, { variant: "naive" }),
    serial: (ctx, inputs) => void columnSum(ctx, inputs, { variant: "serial" }),
    tree: (ctx, inputs) => void columnSum(ctx, inputs, { variant: "tree" }),
  },
});
