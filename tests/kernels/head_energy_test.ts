import { assertEquals, assertThrows } from "@std/assert";
import {
  headEnergy,
  headEnergyBytes,
  headEnergyFlops,
  type HeadEnergyOptions,
} from "../../kernels/head_energy/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { PRODUCT_WAYS, wayOf } from "./_product_ways.ts";

const SEED = 31;

interface Case {
  readonly size: readonly [rows: number, classes: number, channels: number];
  readonly bias?: boolean;
  /** Factor of the features; large ones give logits far beyond the range of exp. */
  readonly scale?: number;
  readonly options?: HeadEnergyOptions;
}

function run(ctx: Context, test: Case, options: HeadEnergyOptions = {}): Tensor {
  const [rows, classes, channels] = test.size;
  const { bias = true, scale = 1 } = test;
  const numbers = (size: number, stream: number, factor = 1) => {
    const rng = new Rng(SEED, stream);
    return Float32Array.from({ length: size }, () => factor * rng.normal());
  };
  return headEnergy(ctx, {
    features: ctx.upload(numbers(rows * channels, 1, scale), [rows, channels]),
    weight: ctx.upload(numbers(classes * channels, 2), [classes, channels]),
    ...(bias ? { bias: ctx.upload(numbers(classes, 3), [classes]) } : {}),
  }, { ...test.options, ...options });
}

async function agree(
  contexts: { gpu: Context; host: Context },
  cases: readonly Case[],
): Promise<void> {
  for (const test of cases) {
    const expected = run(contexts.host, test).data;
    const results = PRODUCT_WAYS.map((way) => run(contexts.gpu, test, way));
    (await contexts.gpu.read(...results)).forEach((actual, i) => {
      const label = `${wayOf(PRODUCT_WAYS[i]!)} ${JSON.stringify(test)} seed ${SEED}`;
      assertClose(actual, expected, TOLERANCE.kernel, label);
    });
  }
}

gpuTest(
  "headEnergy() agrees with its reference for odd, prime and tile-sized shapes",
  async (contexts) => {
    await agree(contexts, [
      { size: [1, 1, 1] },
      { size: [3, 2, 5] },
      { size: [17, 19, 31] },
      { size: [33, 65, 16] },
      { size: [64, 64, 64] },
      { size: [5, 1031, 7] },
      { size: [131, 10, 12] },
      { size: [18, 33, 2049] },
    ]);
  },
);

gpuTest("headEnergy() goes without a bias", async (contexts) => {
  await agree(contexts, [{ size: [17, 19, 31], bias: false }]);
});

gpuTest("headEnergy() clips features and divides by the temperature", async (contexts) => {
  await agree(contexts, [
    { size: [17, 19, 31], options: { clip: 0.5 } },
    { size: [17, 19, 31], options: { clip: -0.25, temperature: 3 } },
    { size: [17, 19, 31], options: { temperature: 0.1 } },
  ]);
});

gpuTest("headEnergy() takes logits beyond the range of exp", async (contexts) => {
  await agree(contexts, [{ size: [33, 65, 16], scale: 1000 }]);
});

gpuTest(
  "headEnergy() of equal logits is their value plus the logarithm of the classes",
  async ({ gpu }) => {
    const [rows, classes] = [1100, 9001];
    const features = gpu.upload(new Float32Array(rows * 8).fill(1), [rows, 8]);
    const weight = gpu.upload(new Float32Array(classes * 8).fill(-2), [classes, 8]);
    for (const way of PRODUCT_WAYS) {
      const [energy] = await gpu.read(headEnergy(gpu, { features, weight }, way));
      const expected = new Float32Array(rows).fill(-16 + Math.log(classes));
      assertClose(energy!, expected, TOLERANCE.kernel, wayOf(way));
    }
  },
);

gpuTest("headEnergy() of no rows is nothing", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const [energy] = await ctx.read(run(ctx, { size: [0, 3, 4] }));
    assertEquals(energy!.length, 0);
  }
});

gpuTest("headEnergy() gives the same bits every time", async ({ gpu }) => {
  for (const way of PRODUCT_WAYS) {
    const test: Case = { size: [50, 33, 17], options: way };
    const [first, second] = await gpu.read(run(gpu, test), run(gpu, test));
    assertEquals(first, second, wayOf(way));
  }
});

gpuTest("headEnergy() refuses what does not fit", ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const features = ctx.upload(new Float32Array(6), [2, 3]);
    const wide = ctx.upload(new Float32Array(8), [2, 4]);
    assertThrows(() => headEnergy(ctx, { features, weight: wide }), ShapeError, '"weight"');
    const bias = ctx.upload(new Float32Array(3), [3]);
    assertThrows(() => headEnergy(ctx, { features, weight: features, bias }), ShapeError, '"bias"');
    const whole = ctx.upload(new Int32Array(6), [2, 3]);
    assertThrows(() => headEnergy(ctx, { features, weight: whole }), DTypeError);
    const none = ctx.upload(new Float32Array(0), [0, 3]);
    assertThrows(() => headEnergy(ctx, { features, weight: none }), RangeError, "no classes");
    const test: Case = { size: [2, 2, 2] };
    assertThrows(() => run(ctx, test, { temperature: 0 }), RangeError, "temperature");
    assertThrows(() => run(ctx, test, { clip: NaN }), RangeError, "clip");
  }
});

Deno.test("headEnergyFlops() and headEnergyBytes() count by shape", () => {
  assertEquals(headEnergyFlops({ rows: 3, classes: 5, channels: 7 }), 15 * 17);
  assertEquals(headEnergyBytes({ rows: 3, classes: 5, channels: 7 }), 4 * (21 + 35 + 5 + 3));
});
