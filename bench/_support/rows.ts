/**
 * Benchmarks of operations on the rows of a matrix: the same shapes and layouts for all of them.
 *
 * @module
 */

import type { RowOptions, RowShape } from "../../kernels/row_reduce/mod.ts";
import type { GpuContext, Tensor } from "../../runtime/mod.ts";
import { benchKernel, fill } from "./suite.ts";

/** An operation on rows. */
export interface RowBench<Inputs> {
  /** Uploads the inputs. */
  readonly prepare: (ctx: GpuContext, shape: RowShape) => Inputs;
  /** Records one run. */
  readonly run: (ctx: GpuContext, inputs: Inputs, options: RowOptions) => void;
  /** Floating-point operations of one run. */
  readonly flops: (shape: RowShape) => number;
  /** Bytes that one run must move. */
  readonly bytes: (shape: RowShape) => number;
  /** Shapes, those of {@linkcode ROW_SHAPES} by default. */
  readonly shapes?: readonly RowShape[];
}

/** Logits of ImageNet, features, many short rows, and rows of odd length. */
export const ROW_SHAPES: readonly RowShape[] = [
  { rows: 4096, columns: 1000 },
  { rows: 4096, columns: 512 },
  { rows: 65_536, columns: 10 },
  { rows: 4096, columns: 999 },
];

/** The only input of most operations on rows. */
export function matrix(ctx: GpuContext, shape: RowShape): { x: Tensor } {
  return { x: fill(ctx, [shape.rows, shape.columns]) };
}

/** Registers the benchmark of one operation on rows: the baseline, the choice, and both layouts. */
export async function rowBench<Inputs>(name: string, bench: RowBench<Inputs>): Promise<void> {
  await benchKernel(name, {
    shapes: (bench.shapes ?? ROW_SHAPES).map((shape, position) => ({
      label: `${shape.rows}x${shape.columns}`,
      flops: bench.flops(shape),
      bytes: bench.bytes(shape),
      prepare: (ctx) => bench.prepare(ctx, shape),
      slow: position > 1,
    })),
    variants: {
      naive: (ctx, inputs) => bench.run(ctx, inputs, { variant: "naive" }),
      chosen: (ctx, inputs) => bench.run(ctx, inputs, {}),
      serial: (ctx, inputs) => bench.run(ctx, inputs, { variant: "serial" }),
      "tree 64": (ctx, inputs) => bench.run(ctx, inputs, { variant: "tree", lanes: 64 }),
      "tree 256": (ctx, inputs) => bench.run(ctx, inputs, { variant: "tree", lanes: 256 }),
    },
  });
}
