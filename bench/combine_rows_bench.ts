/**
 * Combining two scores per row: a copy with one multiplication.
 *
 * @module
 */

import { combineRows, combineRowsBytes, combineRowsFlops } from "../kernels/mod.ts";
import type { GpuContext, Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs {
  readonly a: Tensor;
  readonly b: Tensor;
}

function workload(rows: number): BenchShape<Inputs> {
  return {
    label: `${rows}`,
    flops: combineRowsFlops({ rows }),
    bytes: combineRowsBytes({ rows }),
    prepare: (ctx: GpuContext) => ({ a: fill(ctx, [rows]), b: fill(ctx, [rows], { seed: 2 }) }),
  };
}

await benchKernel<Inputs>("combine_rows", {
  shapes: [workload(10_000), workload(4_000_000)],
  variants: {
    combine: (ctx, { a, b }) => combineRows(ctx, { a, b }, { otherScale: -2 }),
    root: (ctx, { a, b }) => combineRows(ctx, { a, b }, { otherScale: -2, root: true }),
  },
});
