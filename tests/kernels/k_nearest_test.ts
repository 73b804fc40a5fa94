import { assert, assertEquals, assertThrows } from "@std/assert";
import { GROUP, planBlocks } from "../../kernels/k_nearest/_plan.ts";
import {
  kNearest,
  kNearestBytes,
  kNearestFlops,
  type KNearestOptions,
} from "../../kernels/k_nearest/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { PRODUCT_WAYS, wayOf } from "./_product_ways.ts";

const SEED = 51;
const NO_NEIGHBOUR = Math.fround(3.4028235e38);

interface Case {
  readonly rows: number;
  readonly bankRows: number;
  readonly channels: number;
  readonly k: number;
  /** Merge with earlier results. */
  readonly best?: boolean;
}

function normal(size: number, stream: number): Float32Array<ArrayBuffer> {
  const rng = new Rng(SEED, stream);
  return Float32Array.from({ length: size }, () => rng.normal());
}

function run(ctx: Context, test: Case, options: Partial<KNearestOptions> = {}): Tensor {
  const { rows, bankRows, channels, k } = test;
  const best = () => {
    const rng = new Rng(SEED, 3);
    const sorted = new Float32Array(rows * k);
    for (let i = 0; i < rows; i++) {
      const row = Float32Array.from({ length: k }, () => 2 * channels * rng.uniform()).sort();
      sorted.set(row, i * k);
    }
    return ctx.upload(sorted, [rows, k]);
  };
  return kNearest(ctx, {
    queries: ctx.upload(normal(rows * channels, 1), [rows, channels]),
    bank: ctx.upload(normal(bankRows * channels, 2), [bankRows, channels]),
    ...(test.best ? { best: best() } : {}),
  }, { k, ...options });
}

gpuTest(
  "kNearest() agrees with its reference for odd, prime and tile-sized shapes",
  async ({ gpu, host }) => {
    const cases: readonly Case[] = [
      { rows: 1, bankRows: 1, channels: 1, k: 1 },
      { rows: 3, bankRows: 2, channels: 5, k: 2 },
      { rows: 17, bankRows: 131, channels: 31, k: 7 },
      { rows: 33, bankRows: 64, channels: 16, k: 1, best: true },
      { rows: 64, bankRows: 65, channels: 64, k: 50, best: true },
      { rows: 5, bankRows: 1031, channels: 7, k: 300 },
      { rows: 18, bankRows: 2003, channels: 12, k: 1000, best: true },
      { rows: 2, bankRows: 40, channels: 2049, k: 3 },
    ];
    for (const test of cases) {
      const expected = run(host, test).data;
      for (const way of PRODUCT_WAYS) {
        const [actual] = await gpu.read(run(gpu, test, way));
        const label = `${wayOf(way)} ${JSON.stringify(test)} seed ${SEED}`;
        assertClose(actual!, expected, TOLERANCE.kernel, label);
      }
    }
  },
);

gpuTest(
  "kNearest() fills up with the largest f32 where the bank is short",
  async ({ gpu, host }) => {
    for (const bankRows of [0, 3]) {
      const test: Case = { rows: 5, bankRows, channels: 4, k: 5 };
      const expected = run(host, test).data;
      assertEquals(expected.filter((value) => value === NO_NEIGHBOUR).length, 5 * (5 - bankRows));
      for (const way of PRODUCT_WAYS) {
        const [actual] = await gpu.read(run(gpu, test, way));
        assertClose(actual!, expected, TOLERANCE.kernel, wayOf(way));
      }
    }
  },
);

gpuTest("kNearest() over chunks is to the bit kNearest() over the whole bank", async ({ gpu }) => {
  const [rows, bankRows, channels, k] = [40, 500, 12, 20];
  const bankData = normal(bankRows * channels, 2);
  const queries = gpu.upload(normal(rows * channels, 1), [rows, channels]);
  const bank = gpu.upload(bankData, [bankRows, channels]);
  for (const way of PRODUCT_WAYS) {
    const whole = kNearest(gpu, { queries, bank }, { k, ...way });
    let best: Tensor | undefined;
    for (const [begin, end] of [[0, 7], [7, 300], [300, 500]] as const) {
      const part = bankData.slice(begin * channels, end * channels);
      const chunk = gpu.upload(part, [end - begin, channels]);
      const sofar = best === undefined ? {} : { best };
      best = kNearest(gpu, { queries, bank: chunk, ...sofar }, { k, ...way });
    }
    const [expected, actual] = await gpu.read(whole, best!);
    assertEquals(actual, expected, wayOf(way));
  }
});

gpuTest("kNearest() is right when every bank row is nearer than all before", async ({ gpu }) => {
  // The worst case of the selection: each row enters the heap at its root and sinks. Longer than
  // one block, so that a loop which llvmpipe ends early would show.
  const bankRows = 20_011;
  const bank = gpu.upload(
    Float32Array.from({ length: bankRows }, (_, j) => bankRows - j),
    [bankRows, 1],
  );
  const queries = gpu.upload(new Float32Array(9), [9, 1]);
  for (
    const [variant, k] of [["register", 50], ["register", 1000], ["tiled", 50], [
      "naive",
      9,
    ]] as const
  ) {
    const [actual] = await gpu.read(kNearest(gpu, { queries, bank }, { k, variant }));
    const expected = Float32Array.from({ length: 9 * k }, (_, i) => (i % k + 1) ** 2);
    assertEquals(actual, expected, `${variant} k=${k}`);
  }
});

gpuTest("kNearest() takes more queries than one block", async ({ gpu }) => {
  const rows = 2048 + 17;
  const queries = gpu.upload(Float32Array.from({ length: rows }, (_, i) => i), [rows, 1]);
  const bank = gpu.upload(new Float32Array([0, 1]), [2, 1]);
  for (const way of PRODUCT_WAYS) {
    const [actual] = await gpu.read(kNearest(gpu, { queries, bank }, { k: 1, ...way }));
    const expected = Float32Array.from({ length: rows }, (_, i) => Math.max(0, i - 1) ** 2);
    assertEquals(actual, expected, wayOf(way));
  }
});

gpuTest("kNearest() keeps equal neighbours apart", async ({ gpu }) => {
  const queries = gpu.upload(new Float32Array(6), [3, 2]);
  const bank = gpu.upload(new Float32Array(2 * 100).fill(1), [100, 2]);
  for (const way of PRODUCT_WAYS) {
    const [actual] = await gpu.read(kNearest(gpu, { queries, bank }, { k: 5, ...way }));
    assertEquals([...actual!], new Array(15).fill(2), wayOf(way));
  }
});

gpuTest("kNearest() gives the same bits every time", async ({ gpu }) => {
  const test: Case = { rows: 30, bankRows: 200, channels: 33, k: 10 };
  for (const way of PRODUCT_WAYS) {
    const [first, second] = await gpu.read(
      run(gpu, test, way),
      run(gpu, test, way),
    );
    assertEquals(first, second, wayOf(way));
  }
});

gpuTest("kNearest() of no queries is nothing", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const result = run(ctx, { rows: 0, bankRows: 3, channels: 4, k: 2 });
    assertEquals(result.shape, [0, 2]);
    const [values] = await ctx.read(result);
    assertEquals(values!.length, 0);
  }
});

gpuTest("kNearest() refuses what does not fit", ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const queries = ctx.upload(new Float32Array(6), [2, 3]);
    const wide = ctx.upload(new Float32Array(8), [2, 4]);
    assertThrows(() => kNearest(ctx, { queries, bank: wide }, { k: 1 }), ShapeError, '"bank"');
    const best = ctx.upload(new Float32Array(2), [2, 1]);
    const bank = queries;
    assertThrows(() => kNearest(ctx, { queries, bank, best }, { k: 2 }), ShapeError, '"best"');
    const whole = ctx.upload(new Int32Array(6), [2, 3]);
    assertThrows(() => kNearest(ctx, { queries: whole, bank }, { k: 1 }), DTypeError);
    for (const k of [0, 1.5, 1025]) {
      assertThrows(() => kNearest(ctx, { queries, bank }, { k }), RangeError, `it is ${k}`);
    }
  }
});

Deno.test("planBlocks() keeps within memory, and on software adapters within llvmpipe's loops", () => {
  const bytes = 64 << 20;
  for (const k of [1, 50, 1000, 1024]) {
    for (const naive of [true, false]) {
      const plan = planBlocks({ rows: 100_000, k, bytes }, { isSoftware: true, naive });
      assertEquals(plan.columns % GROUP, 0);
      assert(plan.rows * plan.columns * 4 <= bytes);
    }
  }
  const gpu = planBlocks({ rows: 100_000, k: 50, bytes }, { isSoftware: false, naive: false });
  assertEquals(gpu, { rows: 16_384, columns: 1024 });
});

Deno.test("kNearestFlops() and kNearestBytes() count by shape", () => {
  const shape = { rows: 3, bankRows: 5, channels: 7, k: 2 };
  assertEquals(kNearestFlops(shape), 3 * 105);
  assertEquals(kNearestBytes(shape), 4 * (21 + 35 + 6));
});
