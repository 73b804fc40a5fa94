import { matmul, matmulBytes, matmulFlops, type MatmulShape } from "../kernels/matmul/mod.ts";
import type { GpuContext, Tensor } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly transposeB: boolean;
}

/** Named MxNxK, with NT where b is [N, K] as a layer's weights are, and NN where it is [K, N]. */
function workload(
  size: MatmulShape,
  options: { transposeB?: boolean; slow?: boolean } = {},
): BenchShape<Inputs> {
  const { m, n, k } = size;
  const { transposeB = true, slow = false } = options;
  return {
    label: `${m}x${n}x${k} ${transposeB ? "NT" : "NN"}`,
    flops: matmulFlops(size),
    bytes: matmulBytes(size),
    slow,
    prepare: (ctx: GpuContext) => ({
      a: fill(ctx, [m, k]),
      b: fill(ctx, transposeB ? [n, k] : [k, n], { seed: 2 }),
      transposeB,
    }),
  };
}

await benchKernel<Inputs>("matmul", {
  shapes: [
    workload({ m: 512, n: 512, k: 1024 }),
    workload({ m: 512, n: 512, k: 1024 }, { transposeB: false }),
    workload({ m: 1024, n: 1024, k: 1024 }, { slow: true }),
    workload({ m: 4096, n: 1000, k: 512 }, { slow: true }),
    workload({ m: 2048, n: 10, k: 512 }),
    workload({ m: 16, n: 4096, k: 512 }),
    workload({ m: 513, n: 511, k: 509 }),
  ],
  variants: {
    naive: (ctx, { a, b, transposeB }) =>
      void matmul(ctx, { a, b }, { transposeB, variant: "naive" }),
    tiled: (ctx, { a, b, transposeB }) =>
      void matmul(ctx, { a, b }, { transposeB, variant: "tiled" }),
    "register, no panels": (ctx, { a, b, transposeB }) =>
      void matmul(ctx, { a, b }, { transposeB, variant: "register", panels: false }),
    register: (ctx, { a, b, transposeB }) =>
      void matmul(ctx, { a, b }, { transposeB, variant: "register" }),
  },
});
