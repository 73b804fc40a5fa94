/**
 * Benchmarks of operations on maps with channels last: the same shapes and both variants for all.
 *
 * @module
 */

import type { PointwiseVariant } from "../../kernels/activation/mod.ts";
import type { GpuContext } from "../../runtime/mod.ts";
import { benchKernel } from "./suite.ts";

/** Sizes of a map, [N, H, W, C]. */
export type MapShape = readonly [n: number, height: number, width: number, channels: number];

/** An operation on maps. */
export interface MapBench<Inputs> {
  /** Uploads the inputs. */
  readonly prepare: (ctx: GpuContext, shape: MapShape) => Inputs;
  /** Records one run. */
  readonly run: (ctx: GpuContext, inputs: Inputs, how: { variant: PointwiseVariant }) => void;
  /** Floating-point operations of one run. */
  readonly flops: (shape: MapShape) => number;
  /** Bytes that one run must move. */
  readonly bytes: (shape: MapShape) => number;
  /** Shapes, those of {@linkcode MAP_SHAPES} by default. */
  readonly shapes?: readonly MapShape[];
}

/** Two stages of a ResNet on 32x32 images, and a map whose channels are no multiple of four. */
export const MAP_SHAPES: readonly MapShape[] = [
  [64, 32, 32, 64],
  [64, 8, 8, 256],
  [64, 32, 32, 3],
];

/** Registers the benchmark of one operation on maps. */
export async function mapBench<Inputs>(name: string, bench: MapBench<Inputs>): Promise<void> {
  await benchKernel(name, {
    shapes: (bench.shapes ?? MAP_SHAPES).map((shape, position) => ({
      label: shape.join("x"),
      flops: bench.flops(shape),
      bytes: bench.bytes(shape),
      prepare: (ctx) => bench.prepare(ctx, shape),
      slow: position > 0,
    })),
    variants: {
      naive: (ctx, inputs) => bench.run(ctx, inputs, { variant: "naive" }),
      vector: (ctx, inputs) => bench.run(ctx, inputs, { variant: "vector" }),
    },
  });
}
