import {
  rowArgmax,
  rowLogSumExp,
  rowMax,
  rowMaxSoftmax,
  rowMean,
  rowReduceBytes,
  rowReduceFlops,
  type RowReduction,
  rowSum,
  type TemperatureOptions,
} from "../kernels/row_reduce/mod.ts";
import type { Context, Tensor } from "../runtime/mod.ts";
import { matrix, rowBench } from "./_support/rows.ts";

type Operation = (ctx: Context, inputs: { x: Tensor }, options: TemperatureOptions) => Tensor;

const OPERATIONS: readonly (readonly [RowReduction, Operation])[] = [
  ["rowSum", rowSum],
  ["rowMean", rowMean],
  ["rowMax", rowMax],
  ["rowArgmax", rowArgmax],
  ["rowLogSumExp", rowLogSumExp],
  ["rowMaxSoftmax", rowMaxSoftmax],
];

for (const [name, run] of OPERATIONS) {
  await rowBench(name, {
    prepare: matrix,
    run,
    flops: (shape) => rowReduceFlops(shape, name),
    bytes: rowReduceBytes,
  });
}
