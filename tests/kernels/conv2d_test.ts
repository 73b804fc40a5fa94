import { assertEquals, assertThrows } from "@std/assert";
import {
  conv2d,
  conv2dBytes,
  conv2dFlops,
  type Conv2dOptions,
  convOutputSize,
} from "../../kernels/mod.ts";
import { type Context, DTypeError, Host, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { gpuTest, type GpuTestContext, openTestGpu } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  type Case,
  DENSE,
  GROUPED,
  label,
  LARGE,
  LARGE_WAYS,
  numbers,
  shapesOf,
  WAYS,
} from "./_convolutions.ts";

function run(ctx: Context, of: Case, options: Conv2dOptions & { biased?: boolean } = {}): Tensor {
  const shapes = shapesOf(of);
  const { biased = false, ...rest } = options;
  return conv2d(ctx, {
    x: ctx.upload(numbers(shapes.x), shapes.x),
    weight: ctx.upload(numbers(shapes.weight, 1), shapes.weight),
    ...(biased ? { bias: ctx.upload(numbers([of.outputs], 2), [of.outputs]) } : {}),
  }, { ...of, ...rest });
}

async function agree(
  { gpu, host }: GpuTestContext,
  cases: readonly Case[],
  options: Conv2dOptions & { biased?: boolean } & { ways?: typeof WAYS } = {},
): Promise<void> {
  const { ways = WAYS, ...rest } = options;
  using scope = gpu.scope();
  const pending = cases.flatMap((of) => {
    const expected = run(host, of, rest);
    return ways.map((way) => {
      const runs = [1, 2].map(() => run(scope, of, { ...rest, ...way }));
      assertEquals(runs[0]!.shape, expected.shape, label(of, way));
      return { runs, expected: expected.data, label: label(of, way) };
    });
  });
  const results = await scope.read(...pending.flatMap(({ runs }) => runs));
  pending.forEach(({ expected, label }, i) => {
    assertClose(results[2 * i]!, expected, TOLERANCE.kernel, label);
    assertClose(results[2 * i + 1]!, results[2 * i]!, TOLERANCE.exact, `second run of ${label}`);
  });
}

Deno.test("conv2d() on the host gives what a hand gives", () => {
  using host = new Host();
  // 3 x 3 pixels of two channels: the second channel is ten times the first.
  const x = host.upload(
    Float32Array.from({ length: 18 }, (_, i) => (i >> 1) * (i % 2 === 0 ? 1 : 10)),
    [1, 3, 3, 2],
  );
  // Output 0: the pixel plus its right neighbour in channel 0; output 1: channel 1 of the row below.
  const weight = host.upload(
    new Float32Array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]),
    [2, 2, 2, 2],
  );
  const bias = host.upload(new Float32Array([100, -40]), [2]);
  const y = conv2d(host, { x, weight, bias }, { padding: [0, 0, 1, 0] });
  assertEquals(y.shape, [1, 3, 2, 2]);
  assertEquals([...y.data], [101, -10, 103, 0, 107, 20, 109, 30, 113, -40, 115, -40]);
  const relu = conv2d(host, { x, weight, bias }, { padding: [0, 0, 1, 0], activation: "relu" });
  assertEquals([...relu.data], [101, 0, 103, 0, 107, 20, 109, 30, 113, 0, 115, 0]);
});

gpuTest("conv2d() agrees with its reference for every geometry", async (contexts) => {
  await agree(contexts, DENSE);
});

gpuTest("conv2d() agrees with its reference in groups", async (contexts) => {
  await agree(contexts, GROUPED);
});

gpuTest("conv2d() adds a bias and cuts at zero", async (contexts) => {
  const cases = [DENSE[1]!, DENSE[3]!, DENSE[11]!, GROUPED[0]!, GROUPED[3]!, GROUPED[4]!];
  await agree(contexts, cases, { biased: true });
  await agree(contexts, cases, { biased: true, activation: "relu" });
  await agree(contexts, [DENSE[2]!], { activation: "relu" });
});

gpuTest("conv2d() agrees with its reference on large tiles", async (contexts) => {
  await agree(contexts, LARGE, { biased: true, ways: LARGE_WAYS });
});

gpuTest(
  "conv2d() sums beyond the 65535 turns after which llvmpipe leaves a loop",
  async (contexts) => {
    const many = { batch: 1, size: [3, 3], channels: 30_000, outputs: 2, kernel: [3, 3] } as const;
    const { host, gpu } = contexts;
    const expected = run(host, many, { biased: true, activation: "relu" }).data;
    const results = await gpu.read(
      ...WAYS.map((way) => run(gpu, many, { biased: true, activation: "relu", ...way })),
    );
    results.forEach((result, i) =>
      assertClose(result, expected, TOLERANCE.longSum, label(many, WAYS[i]!))
    );
  },
);

gpuTest("conv2d() writes into the tensor that it is given", async ({ gpu, host }) => {
  const of = DENSE[3]!;
  for (const ctx of [gpu, host]) {
    const out = ctx.empty(shapesOf(of).y);
    assertEquals(run(ctx, of, { out }), out);
    const [values, expected] = await ctx.read(out, run(ctx, of));
    assertEquals(values, expected);
  }
});

gpuTest("conv2d() of a NaN beside the image's edge keeps it inside", async ({ gpu }) => {
  const x = gpu.upload(numbers([1, 4, 4, 4]).fill(NaN, 60), [1, 4, 4, 4]);
  const weight = gpu.upload(numbers([4, 3, 3, 4], 1), [4, 3, 3, 4]);
  for (const way of WAYS) {
    const [y] = await gpu.read(conv2d(gpu, { x, weight }, { padding: [1, 1, 1, 1], ...way }));
    const places = [...y!].flatMap((value, i) => Number.isNaN(value) ? [i >> 2] : []);
    assertEquals([...new Set(places)], [10, 11, 14, 15], label(DENSE[2]!, way));
  }
});

Deno.test("conv2d() takes its variant from the GPU and refuses one that does not exist", async () => {
  using gpu = await openTestGpu({ variants: { conv2d: "fast" } });
  using scope = gpu.scope();
  assertThrows(() => run(scope, DENSE[2]!), RangeError, 'there is no variant "fast"');
});

Deno.test("convOutputSize() counts the places of a kernel", () => {
  assertEquals(convOutputSize([32, 16], [3, 3], { padding: [1, 1, 1, 1] }), [32, 16]);
  assertEquals(convOutputSize([32, 33], [3, 3], { stride: [2, 2], padding: [1, 1, 1, 1] }), [
    16,
    17,
  ]);
  assertEquals(convOutputSize([10, 10], [3, 2], { dilation: [3, 4], padding: [0, 1, 2, 0] }), [
    6,
    7,
  ]);
});

Deno.test("conv2d() refuses what does not fit, in words", () => {
  using host = new Host();
  const x = host.empty([1, 4, 4, 6]);
  const weight = host.empty([4, 3, 3, 6]);
  const refuses = (
    inputs: Partial<Parameters<typeof conv2d>[1]>,
    options: Conv2dOptions,
    error: typeof RangeError | typeof ShapeError | typeof DTypeError,
    message: string,
  ) => assertThrows(() => conv2d(host, { x, weight, ...inputs }, options), error, message);
  refuses({ x: host.empty([4, 4, 6]) }, {}, ShapeError, '"x" must have shape [N, H, W, C]');
  refuses({ weight: host.empty([4, 3, 3, 5]) }, {}, ShapeError, "shape [O, KH, KW, 6]");
  refuses({ bias: host.empty([3]) }, {}, ShapeError, '"bias" must have shape [4]');
  refuses({ x: host.empty([1, 4, 4, 6], "u32") }, {}, DTypeError, '"x" must hold f32');
  refuses({}, { out: host.empty([1, 4, 4, 4]) }, ShapeError, '"out" must have shape [1, 2, 2, 4]');
  refuses({}, { stride: [0, 1] }, RangeError, '"stride" must be whole numbers of at least 1');
  refuses({}, { padding: [0, 0, -1, 0] }, RangeError, '"padding" must be whole numbers');
  refuses({}, { dilation: [2, 2] }, RangeError, "is larger than the padded image of 4 x 4");
  refuses({}, { groups: 4 }, RangeError, "4 groups must divide 6 channels and 4 outputs");
  refuses(
    { weight: host.empty([5, 3, 3, 3]) },
    { groups: 2 },
    RangeError,
    "2 groups must divide 6 channels and 5 outputs",
  );
});

Deno.test("conv2dFlops() and conv2dBytes() count products and one pass over each tensor", () => {
  const shape = {
    batch: 2,
    size: [4, 4],
    channels: 6,
    outputs: 4,
    kernel: [3, 3],
    groups: 2,
  } as const;
  assertEquals(conv2dFlops(shape), 2 * 2 * 2 * 2 * 4 * 9 * 3);
  assertEquals(conv2dBytes(shape), 4 * (2 * 16 * 6 + 4 * 9 * 3 + 2 * 4 * 4));
});
