import {
  raggedGather,
  raggedGatherBytes,
  raggedGatherFlops,
  type RaggedGatherInputs,
} from "../kernels/ragged_gather/mod.ts";
import { prefixSumReference } from "../kernels/prefix_sum/reference.ts";
import { Rng } from "../kernels/random/rng.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs extends RaggedGatherInputs {
  readonly capacity: number;
}

interface Size {
  readonly images: number;
  readonly tokens: number;
  readonly columns: number;
}

/** A third of the tokens of every image. */
function workload(size: Size, options: { slow?: boolean } = {}): BenchShape<Inputs> {
  const { images, tokens, columns } = size;
  const rng = new Rng(1);
  const keep = Int32Array.from({ length: images * tokens }, () => rng.integer(3) === 0 ? 1 : 0);
  const counts = Int32Array.from(
    { length: images },
    (_, n) => keep.subarray(n * tokens, (n + 1) * tokens).reduce((a, b) => a + b, 0),
  );
  const offsets = prefixSumReference(counts);
  const capacity = images * tokens;
  return {
    label: `${images}x${tokens}x${columns}`,
    flops: raggedGatherFlops(),
    bytes: raggedGatherBytes({ tokens: capacity, rows: offsets.at(-1)!, capacity, columns }),
    slow: options.slow ?? false,
    prepare: (ctx) => ({
      x: fill(ctx, [images, tokens, columns]),
      keep: ctx.upload(keep, [images, tokens]),
      offsets: ctx.upload(offsets, [images + 1]),
      capacity,
    }),
  };
}

await benchKernel<Inputs>("ragged gather (images x tokens x columns, a third kept)", {
  shapes: [
    workload({ images: 64, tokens: 145, columns: 64 }),
    workload({ images: 128, tokens: 145, columns: 512 }),
    workload({ images: 64, tokens: 577, columns: 256 }, { slow: true }),
    workload({ images: 64, tokens: 145, columns: 99 }, { slow: true }),
  ],
  variants: {
    naive: (ctx, { capacity, ...inputs }) =>
      void raggedGather(ctx, inputs, { capacity, variant: "naive" }),
    serial: (ctx, { capacity, ...inputs }) =>
      void raggedGather(ctx, inputs, { capacity, variant: "serial" }),
    tree: (ctx, { capacity, ...inputs }) =>
      void raggedGather(ctx, inputs, { capacity, variant: "tree" }),
  },
});
