import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { digitsOf, numberOfKey, refine } from "../../kernels/percentile/_digits.ts";
import { percentile, percentileBytes, percentileFlops } from "../../kernels/percentile/mod.ts";
import { percentileOfSorted } from "../../kernels/percentile/reference.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, Host, type Tensor, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { SEED, uniform } from "./_rows.ts";

const VARIANTS = ["naive", "private", "shared"] as const;
const PERCENTS = [0, 0.1, 25, 50, 90, 99.9, 100] as const;

/** Chunks of some lengths that are made anew in each pass and disposed after use, as a stream is. */
function streamed(ctx: Context, values: Float32Array<ArrayBuffer>, lengths: readonly number[]) {
  return async function* (): AsyncGenerator<Tensor> {
    let at = 0;
    for (const length of lengths) {
      await Promise.resolve();
      using chunk = ctx.upload(values.slice(at, at + length), [length]);
      yield chunk;
      at += length;
    }
    assertEquals(at, values.length);
  };
}

gpuTest("percentile() equals sorting, in every variant", async ({ gpu }) => {
  const rng = new Rng(SEED);
  const normals = Float32Array.from({ length: 5003 }, () => rng.normal());
  const ties = Float32Array.from({ length: 4097 }, () => rng.integer(4) - 1);
  const wide = Float32Array.from(
    { length: 3000 },
    () => rng.normal() * 10 ** (rng.integer(60) - 30),
  );
  const cases: [string, Float32Array<ArrayBuffer>, number[]][] = [
    ["one value", new Float32Array([-2.5]), [1]],
    ["two values", new Float32Array([3, -1]), [1, 1]],
    ["five values", new Float32Array([5, 1, 4, 2, 3]), [5]],
    ["zeros of both signs", new Float32Array([-0, 0, -0, 0, -0]), [2, 3]],
    ["normal values", normals, [1001, 0, 2, 4000]],
    ["ties", ties, [4096, 1]],
    ["many magnitudes", wide, [2999, 1]],
    ["infinities", new Float32Array([-Infinity, 1, Infinity, 2]), [4]],
  ];
  // All at once: every pass waits for the GPU, and the waits of many passes overlap.
  const runs = cases.flatMap(([name, values, lengths]) =>
    VARIANTS.flatMap((variant) =>
      PERCENTS.map(async (q) => {
        const actual = await percentile(gpu, streamed(gpu, values, lengths), q, { variant });
        const label = `${name}, ${q} %, ${variant} (seed ${SEED})`;
        assertEquals(actual, percentileOfSorted(values, q) + 0, label);
      })
    )
  );
  await Promise.all(runs);
});

gpuTest("percentile() takes chunks of more than a workgroup, of any shape", async ({ gpu }) => {
  const values = uniform([300, 701]);
  const expected = percentileOfSorted(values, 90);
  const least = percentileOfSorted(values, 0);
  using x = gpu.upload(values, [300, 701]);
  for (const variant of VARIANTS) {
    assertEquals(await percentile(gpu, () => [x], 90, { variant }), expected, variant);
    assertEquals(await percentile(gpu, () => [x, x, x], 0, { variant }), least);
  }
});

gpuTest("percentile() does not move with the order of its values", async ({ gpu }) => {
  const values = uniform([1, 999]);
  using x = gpu.upload(values, [999]);
  using turned = gpu.upload(values.toReversed(), [999]);
  assertEquals(
    await percentile(gpu, () => [x], 33.3),
    await percentile(gpu, () => [turned], 33.3),
  );
});

gpuTest("percentile() refuses NaN and no values, on both executors", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const bad = ctx.upload(new Float32Array([1, NaN, 3]), [3]);
    const good = ctx.upload(new Float32Array([1, Infinity, 3]), [3]);
    const none = ctx.upload(new Float32Array(0), [0]);
    await assertRejects(
      () => percentile(ctx, () => [good, bad], 50),
      UserError,
      "1 of 6 values is NaN",
    );
    await assertRejects(() => percentile(ctx, () => [none], 50), UserError, "no values");
    await assertRejects(() => percentile(ctx, () => [], 50), UserError, "no values");
  }
  // A NaN with the sign bit, which would sort below everything.
  const negative = new Float32Array(new Uint32Array([0xffc00000, 0x3f800000]).buffer);
  const x = gpu.upload(negative, [2]);
  for (const variant of VARIANTS) {
    await assertRejects(
      () => percentile(gpu, () => [x], 0, { variant }),
      UserError,
      "1 of 2 values is NaN",
    );
  }
});

gpuTest(
  "percentile() refuses a variant that does not exist, and chunks that change",
  async ({ gpu }) => {
    using x = gpu.upload(new Float32Array([1, 2]), [2]);
    using y = gpu.upload(new Float32Array([-1, -2]), [2]);
    await assertRejects(
      () => percentile(gpu, () => [x], 50, { variant: "fast" as "naive" }),
      RangeError,
      'no variant "fast"',
    );
    let pass = 0;
    await assertRejects(
      () => percentile(gpu, () => [pass++ === 0 ? x : y], 50),
      RangeError,
      "differ from pass to pass",
    );
  },
);

Deno.test("percentile() refuses a percentage outside 0 to 100, and other types", async () => {
  using host = new Host();
  const x = host.upload(new Int32Array([1]), [1]);
  for (const q of [-1, 100.5, NaN]) {
    await assertRejects(() => percentile(host, () => [], q), RangeError, '"q"');
  }
  await assertRejects(() => percentile(host, () => [x], 50), DTypeError, "f32");
});

Deno.test("the reference of percentile() interpolates as NumPy does", () => {
  // np.percentile([4, 1, 3, 2], [0, 10, 50, 90, 100])
  const values = new Float32Array([4, 1, 3, 2]);
  const found = [0, 10, 50, 90, 100].map((q) => percentileOfSorted(values, q));
  assertClose(found, [1, 1.3, 2.5, 3.7, 4], TOLERANCE.float64);
});

Deno.test("refine() counts beyond 2^32", () => {
  const search = { prefix: 3, rank: 3 * 2 ** 33 };
  assertEquals(refine(search, [2 ** 34, 5, 2 ** 34, 0]), { prefix: 14, rank: 2 ** 33 - 5 });
  assertThrows(() => refine(search, [1, 2]), RangeError, "differ from pass to pass");
});

Deno.test("digitsOf() covers all bits, and numberOfKey() orders as the keys", () => {
  assertEquals(digitsOf([11, 11, 10]), [
    { bits: 11, shift: 21, above: 0 },
    { bits: 11, shift: 10, above: 11 },
    { bits: 10, shift: 0, above: 22 },
  ]);
  const keys = [0x007fffff, 0x00800000, 0x3fffffff, 0x7fffffff, 0x80000000, 0xbf800000, 0xff800000];
  const numbers = keys.map(numberOfKey);
  assertEquals([numbers[0], numbers[3], numbers[4], numbers[5]], [-Infinity, -0, 0, 1]);
  assert(numbers.every((value, i) => i === 0 || value >= numbers[i - 1]!), `${numbers}`);
});

Deno.test("percentileFlops() and percentileBytes() count what a pass does", () => {
  assertEquals(percentileFlops(), 0);
  assertEquals(percentileBytes(7), 28);
});
