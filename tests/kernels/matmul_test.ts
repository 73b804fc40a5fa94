import { assertEquals, assertThrows } from "@std/assert";
import {
  matmul,
  matmulBytes,
  matmulFlops,
  type MatmulOptions,
  matmulPanels,
  type ProductOptions,
} from "../../kernels/matmul/mod.ts";
import { panelsFit, panelsPay } from "../../kernels/matmul/_panels.ts";
import { Rng } from "../../kernels/random/mod.ts";
import {
  type Context,
  DTypeError,
  type GpuContext,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import { gpuTest, openTestGpu } from "../_support/gpu.ts";
import { PRODUCT_WAYS, wayOf } from "./_product_ways.ts";
import { assertClose, TOLERANCE, type Tolerance } from "../_support/tolerance.ts";

const SEED = 11;

function numbers(shape: readonly number[], seed = SEED): Float32Array<ArrayBuffer> {
  const rng = new Rng(seed);
  const size = shape.reduce((product, length) => product * length, 1);
  return Float32Array.from({ length: size }, () => 2 * rng.uniform() - 1);
}

interface Case {
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly bias?: number;
}

function run(ctx: Context, shapes: Case, forced: MatmulOptions = {}): Tensor {
  const { a, b, bias, ...transposes } = shapes;
  return matmul(ctx, {
    a: ctx.upload(numbers(a, SEED), a),
    b: ctx.upload(numbers(b, SEED + 1), b),
    ...(bias === undefined ? {} : { bias: ctx.upload(numbers([bias], SEED + 2), [bias]) }),
  }, {
    ...transposes,
    ...forced,
  });
}

/** The ways of all products, and panels, which take only some shapes and else are a way twice. */
const WAYS: readonly (ProductOptions & MatmulOptions)[] = [
  ...PRODUCT_WAYS,
  { variant: "register", panels: true },
];

async function agree(
  contexts: { gpu: GpuContext; host: Context },
  cases: readonly Case[],
  tolerance: Tolerance = TOLERANCE.kernel,
): Promise<void> {
  for (const shapes of cases) {
    const expected = run(contexts.host, shapes);
    const results = WAYS.map((way) => run(contexts.gpu, shapes, way));
    const actual = await contexts.gpu.read(...results);
    actual.forEach((values, i) => {
      const label = `${wayOf(WAYS[i]!)} ${JSON.stringify(shapes)} seed ${SEED}`;
      assertEquals(results[i]!.shape, expected.shape, label);
      assertClose(values, expected.data, tolerance, label);
    });
  }
}

gpuTest(
  "matmul() agrees with its reference for odd, prime and tile-sized shapes",
  async (contexts) => {
    await agree(contexts, [
      { a: [1, 1], b: [1, 1] },
      { a: [1, 7], b: [7, 1] },
      { a: [2, 3], b: [3, 5] },
      { a: [17, 5], b: [5, 31] },
      { a: [97, 101], b: [101, 103] },
      { a: [15, 16], b: [16, 17] },
      { a: [31, 33], b: [33, 1] },
      { a: [1, 64], b: [64, 129] },
      { a: [128, 64], b: [64, 128] },
      { a: [129, 12], b: [12, 130] },
      { a: [300, 20], b: [20, 10] },
      { a: [11, 20], b: [20, 300] },
    ]);
  },
);

gpuTest("matmul() takes either operand transposed", async (contexts) => {
  await agree(contexts, [
    { a: [19, 45], b: [23, 45], transposeB: true },
    { a: [45, 19], b: [45, 23], transposeA: true },
    { a: [45, 19], b: [23, 45], transposeA: true, transposeB: true },
    { a: [40, 64], b: [72, 64], transposeB: true },
    { a: [64, 40], b: [64, 72], transposeA: true },
    { a: [64, 40], b: [72, 64], transposeA: true, transposeB: true },
  ]);
});

gpuTest("matmul() copies large operands into panels, to the same bits", async (contexts) => {
  const cases: readonly Case[] = [
    { a: [23, 4], b: [4, 28], bias: 28 },
    { a: [49, 60], b: [52, 60], transposeB: true },
    { a: [13, 24], b: [13, 100], transposeA: true },
    { a: [2, 30, 8], b: [2, 8, 76], bias: 76 },
    { a: [3, 50, 20], b: [52, 20], transposeB: true, bias: 52 },
    { a: [7, 52], b: [2, 7, 24], transposeA: true },
  ];
  await agree(contexts, cases);
  for (const shapes of cases) {
    const [panels, tiles] = await contexts.gpu.read(
      run(contexts.gpu, shapes, { variant: "register", panels: true }),
      run(contexts.gpu, shapes, { variant: "register", side: 8 }),
    );
    assertEquals(panels, tiles);
  }
});

gpuTest("matmul() takes panels that were made before, to the same bits", async ({ gpu, host }) => {
  // So large that panels pay: smaller products do without.
  const [m, n, k] = [240, 1000, 1200];
  for (const transposeB of [false, true]) {
    const shape = transposeB ? [n, k] : [k, n];
    const a = gpu.upload(numbers([m, k]), [m, k]);
    const b = gpu.upload(numbers(shape, SEED + 1), shape);
    const panelsOfB = matmulPanels(gpu, { b }, { rows: m, transposeB, variant: "register" });
    assertEquals(panelsOfB?.shape, [42, k, 24]);
    const how = { transposeB, variant: "register" } as const;
    const [plain, shared] = await gpu.read(
      matmul(gpu, { a, b }, how),
      matmul(gpu, { a, b }, { ...how, panelsOfB }),
    );
    assertEquals(shared, plain);
    assertThrows(
      () => matmul(gpu, { a, b }, { ...how, panelsOfB: b }),
      ShapeError,
      '"panelsOfB"',
    );
    const rows = { rows: m, transposeB };
    assertEquals(matmulPanels(gpu, { b }, { ...rows, variant: "tiled" }), undefined);
    assertEquals(matmulPanels(gpu, { b }, { ...rows, rows: 4, variant: "register" }), undefined);
    assertEquals(matmulPanels(host, { b: host.empty(shape) }, rows), undefined);
  }
  assertThrows(() => matmulPanels(gpu, { b: gpu.empty([4]) }, { rows: 4 }), ShapeError, '"b"');
});

gpuTest("matmul() adds a bias to every row", async (contexts) => {
  await agree(contexts, [
    { a: [33, 18], b: [18, 21], bias: 21 },
    { a: [70, 32], b: [65, 32], transposeB: true, bias: 65 },
  ]);
});

gpuTest("matmul() multiplies stacks, and shares a single matrix", async (contexts) => {
  await agree(contexts, [
    { a: [3, 18, 21], b: [3, 21, 19] },
    { a: [2, 18, 24], b: [2, 40, 24], transposeB: true, bias: 40 },
    { a: [3, 18, 21], b: [21, 19], bias: 19 },
    { a: [18, 21], b: [3, 21, 19] },
    { a: [3, 21, 18], b: [21, 19], transposeA: true },
    { a: [5, 1, 4], b: [5, 4, 1] },
  ]);
});

gpuTest("matmul() of an empty sum is the bias, and of no rows nothing", async (contexts) => {
  await agree(contexts, [
    { a: [3, 0], b: [0, 5] },
    { a: [3, 0], b: [0, 5], bias: 5 },
    { a: [0, 4], b: [4, 5] },
    { a: [3, 4], b: [4, 0] },
    { a: [0, 2, 3], b: [0, 3, 4] },
  ]);
});

gpuTest("matmul() keeps its accuracy over a long sum", async (contexts) => {
  await agree(contexts, [{ a: [18, 4099], b: [20, 4099], transposeB: true }]);
});

gpuTest(
  "matmul() sums beyond the 65535 turns after which llvmpipe leaves a loop",
  async (contexts) => {
    await agree(contexts, [
      { a: [3, 70_001], b: [2, 70_001], transposeB: true, bias: 2 },
      { a: [1, 300_004], b: [1, 300_004], transposeB: true },
      { a: [5, 70_000], b: [4, 70_000], transposeB: true, bias: 4 },
    ], TOLERANCE.longSum);
  },
);

gpuTest("matmul() writes where it is told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const a = ctx.upload(new Float32Array([1, 2, 3, 4]), [2, 2]);
    const out = ctx.empty([2, 2]);
    assertEquals(matmul(ctx, { a, b: a }, { out }) === out, true);
    assertEquals([...(await ctx.read(out))[0]!], [7, 10, 15, 22]);
    assertThrows(() => matmul(ctx, { a, b: a }, { out: ctx.empty([4]) }), ShapeError, '"out"');
  }
});

gpuTest("matmul() covers more workgroups than one axis of the grid has", async ({ gpu }) => {
  const rows = 65_536 * 64 + 3;
  const a = gpu.upload(Float32Array.from({ length: rows }, (_, i) => i % 1000), [rows, 1]);
  const b = gpu.upload(new Float32Array([2]), [1, 1]);
  const [actual] = await gpu.read(matmul(gpu, { a, b }, { variant: "naive" }));
  for (const i of [0, 1, 65_535 * 64, rows - 1]) assertEquals(actual![i], 2 * (i % 1000));
});

gpuTest(
  "matmul() gives the same bits every time",
  async ({ gpu }) => {
    const shapes: Case = { a: [45, 76], b: [76, 64], bias: 64 };
    for (const way of WAYS) {
      const [first, second] = await gpu.read(run(gpu, shapes, way), run(gpu, shapes, way));
      assertEquals(first, second);
    }
  },
);

Deno.test("matmul() runs the variant that Gpu.open() was told", async () => {
  using gpu = await openTestGpu({ variants: { matmul: "fastest" } });
  using scope = gpu.scope();
  assertThrows(() => run(scope, { a: [2, 2], b: [2, 2] }), RangeError, "fastest");
});

gpuTest("matmul() refuses operands that do not fit", ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    assertThrows(
      () => run(ctx, { a: [2, 3], b: [4, 5] }),
      ShapeError,
      '"b" must have shape [3, N]',
    );
    assertThrows(
      () => run(ctx, { a: [2, 3], b: [5, 4], transposeB: true }),
      ShapeError,
      "[N, 3]",
    );
    assertThrows(() => run(ctx, { a: [2, 2, 3], b: [3, 3, 4] }), ShapeError, "[2, 3, N]");
    assertThrows(() => run(ctx, { a: [6], b: [6, 1] }), ShapeError, '"a"');
    assertThrows(() => run(ctx, { a: [2, 3], b: [3, 4], bias: 3 }), ShapeError, '"bias"');
    const whole = ctx.upload(new Int32Array(4), [2, 2]);
    const b = ctx.upload(new Float32Array(4), [2, 2]);
    assertThrows(() => matmul(ctx, { a: whole, b }), DTypeError, '"a" must hold f32');
  }
});

Deno.test("matmulFlops() and matmulBytes() count every product of a stack", () => {
  assertEquals(matmulFlops({ batches: 3, m: 2, n: 5, k: 7 }), 3 * 2 * 2 * 5 * 7);
  assertEquals(matmulBytes({ batches: 3, m: 2, n: 5, k: 7 }), 12 * (14 + 35 + 10));
});

Deno.test("panelsFit() and panelsPay() are for whole vec4 and for matrices, not strips", () => {
  const size = { batches: 1, m: 22, n: 24, k: 28 };
  const [straight, flipped] = [{ a: false, b: false }, { a: true, b: true }];
  assertEquals(panelsFit(size, straight), true);
  assertEquals(panelsFit({ ...size, k: 27 }, straight), false);
  assertEquals(panelsFit(size, flipped), false);
  assertEquals(panelsFit({ ...size, m: 20, k: 27 }, flipped), true);
  assertEquals(panelsFit({ ...size, n: 22 }, straight), false);
  assertEquals(panelsFit({ ...size, m: 300_000 }, straight), false);
  assertEquals(panelsPay({ ...size, m: 512, n: 512 }), true);
  assertEquals(panelsPay({ ...size, m: 100_000, n: 64 }), false);
});
