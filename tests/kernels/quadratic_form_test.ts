import { assertEquals, assertThrows } from "@std/assert";
import type { ProductOptions } from "../../kernels/matmul/mod.ts";
import {
  quadraticForm,
  quadraticFormBytes,
  quadraticFormFlops,
} from "../../kernels/quadratic_form/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { PRODUCT_WAYS, wayOf } from "./_product_ways.ts";

const SEED = 41;

type Size = readonly [rows: number, channels: number, rank: number];

function run(ctx: Context, size: Size, options: ProductOptions & { shift?: number } = {}): Tensor {
  const [rows, channels, rank] = size;
  const { shift = 0, ...forced } = options;
  const numbers = (count: number, stream: number, mean = 0) => {
    const rng = new Rng(SEED, stream);
    return Float32Array.from({ length: count }, () => mean + rng.normal());
  };
  return quadraticForm(ctx, {
    x: ctx.upload(numbers(rows * channels, 1, shift), [rows, channels]),
    mean: ctx.upload(numbers(channels, 2, shift), [channels]),
    whitening: ctx.upload(numbers(channels * rank, 3), [channels, rank]),
  }, forced);
}

gpuTest(
  "quadraticForm() agrees with its reference for odd, prime and tile-sized shapes",
  async ({ gpu, host }) => {
    const sizes: readonly Size[] = [
      [1, 1, 1],
      [3, 5, 2],
      [17, 31, 19],
      [33, 16, 65],
      [64, 64, 64],
      [5, 7, 1031],
      [18, 2049, 33],
      [7, 5, 0],
      [7, 0, 5],
      [0, 5, 5],
    ];
    for (const size of sizes) {
      const expected = run(host, size).data;
      for (const way of PRODUCT_WAYS) {
        const [actual] = await gpu.read(run(gpu, size, way));
        assertClose(actual!, expected, TOLERANCE.kernel, `${wayOf(way)} ${size} seed ${SEED}`);
      }
    }
  },
);

gpuTest("quadraticForm() keeps its digits when the mean is large", async ({ gpu, host }) => {
  const size: Size = [17, 31, 19];
  const expected = run(host, size, { shift: 4096 }).data;
  for (const way of PRODUCT_WAYS) {
    const [actual] = await gpu.read(run(gpu, size, { ...way, shift: 4096 }));
    assertClose(actual!, expected, TOLERANCE.kernel, `${wayOf(way)} seed ${SEED}`);
  }
});

gpuTest(
  "quadraticForm() adds every square beyond llvmpipe's 65535 turns of a loop",
  async ({ gpu }) => {
    const [rows, channels, rank] = [1040, 8, 9000];
    const x = gpu.upload(new Float32Array(rows * channels).fill(1), [rows, channels]);
    const mean = gpu.upload(new Float32Array(channels), [channels]);
    const whitening = gpu.upload(new Float32Array(channels * rank).fill(0.5), [channels, rank]);
    for (const way of PRODUCT_WAYS) {
      const [actual] = await gpu.read(quadraticForm(gpu, { x, mean, whitening }, way));
      assertEquals([actual![0], actual![rows - 1]], [16 * rank, 16 * rank], wayOf(way));
    }
  },
);

gpuTest("quadraticForm() gives the same bits every time", async ({ gpu }) => {
  for (const way of PRODUCT_WAYS) {
    const size: Size = [50, 33, 17];
    const [first, second] = await gpu.read(
      run(gpu, size, way),
      run(gpu, size, way),
    );
    assertEquals(first, second, wayOf(way));
  }
});

gpuTest("quadraticForm() refuses what does not fit", ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const x = ctx.upload(new Float32Array(6), [2, 3]);
    const mean = ctx.upload(new Float32Array(3), [3]);
    const short = ctx.upload(new Float32Array(2), [2]);
    assertThrows(() => quadraticForm(ctx, { x, mean: short, whitening: x }), ShapeError, '"mean"');
    assertThrows(() => quadraticForm(ctx, { x, mean, whitening: x }), ShapeError, '"whitening"');
    const whole = ctx.upload(new Int32Array(6), [3, 2]);
    assertThrows(() => quadraticForm(ctx, { x, mean, whitening: whole }), DTypeError);
  }
});

Deno.test("quadraticFormFlops() and quadraticFormBytes() count by shape", () => {
  assertEquals(quadraticFormFlops({ rows: 3, channels: 5, rank: 7 }), 2 * 21 * 6 + 15);
  assertEquals(quadraticFormBytes({ rows: 3, channels: 5, rank: 7 }), 4 * (15 + 5 + 35 + 3));
});
