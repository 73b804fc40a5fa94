import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  backgroundMask,
  backgroundMaskBytes,
  backgroundMaskFlops,
  type BackgroundMaskOptions,
} from "../../kernels/background_mask/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { softmaxRows } from "../../kernels/softmax/reference.ts";
import { type Context, DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { PRODUCT_WAYS, wayOf } from "./_product_ways.ts";

const SEED = 51;

interface Case {
  /** Images, places, channels. */
  readonly shape: readonly number[];
  readonly classes: number;
  readonly bias?: boolean;
  readonly scale?: number;
}

const CASES: readonly Case[] = [
  { shape: [0, 4, 3], classes: 2 },
  { shape: [2, 0, 3], classes: 2 },
  { shape: [1, 1, 1], classes: 1 },
  { shape: [2, 3, 5], classes: 3 },
  { shape: [3, 4, 2, 7], classes: 10, bias: false },
  { shape: [5, 16, 64], classes: 10 },
  { shape: [2, 49, 12], classes: 101 },
  { shape: [1, 3, 16], classes: 1031, bias: false },
  { shape: [2, 5, 8], classes: 19, scale: 300 },
];

function run(ctx: Context, test: Case, options: Partial<BackgroundMaskOptions> = {}) {
  const { shape, classes, bias = true, scale = 1 } = test;
  const channels = shape[shape.length - 1]!;
  const numbers = (size: number, stream: number, factor = 1) => {
    const rng = new Rng(SEED, stream);
    return Float32Array.from({ length: size }, () => factor * rng.normal());
  };
  const rng = new Rng(SEED, 4);
  const labels = Int32Array.from({ length: shape[0]! }, () => rng.integer(classes));
  const size = shape.reduce((a, b) => a * b, 1);
  return backgroundMask(ctx, {
    features: ctx.upload(numbers(size, 1, scale), shape),
    weight: ctx.upload(numbers(classes * channels, 2, 0.5), [classes, channels]),
    ...(bias ? { bias: ctx.upload(numbers(classes, 3), [classes]) } : {}),
    labels: ctx.upload(labels, [shape[0]!]),
  }, { delta: 0.1, probabilities: true, ...options });
}

gpuTest("backgroundMask() agrees with the reference in every way", async ({ gpu, host }) => {
  for (const test of CASES) {
    const expected = run(host, test);
    using scope = gpu.scope();
    for (const way of PRODUCT_WAYS) {
      const label = `${wayOf(way)} ${JSON.stringify(test)} (seed ${SEED})`;
      const alone = run(scope, test, { ...way, probabilities: false });
      assertEquals(Object.keys(alone), ["mask"]);
      const runs = [1, 2].map(() => run(scope, test, way));
      const [maskAlone, mask, probability, maskAgain, probabilityAgain] = await scope.read(
        alone.mask,
        ...runs.flatMap((made) => [made.mask, made.probabilities!]),
      );
      assertEquals(runs[0]!.mask.shape, test.shape.slice(0, -1));
      assertClose(probability!, expected.probabilities!.data, TOLERANCE.kernel, label);
      mask!.forEach((value, i) => {
        // Exactly what the kernel's own probability says.
        assertEquals(value, probability![i]! < Math.fround(0.1) ? 1 : 0, label);
      });
      assertEquals(maskAlone, mask, label);
      assertEquals([maskAgain, probabilityAgain], [mask, probability], `second run, ${label}`);
    }
  }
});

gpuTest("backgroundMask() of delta 0 is empty and of 1 all that is not sure", async ({ gpu }) => {
  const test: Case = { shape: [3, 7, 5], classes: 4 };
  const [none, all] = await gpu.read(
    run(gpu, test, { delta: 0 }).mask,
    run(gpu, test, { delta: 1 }).mask,
  );
  assertEquals([...new Set(none)], [0]);
  assertEquals([...new Set(all)], [1]);
});

gpuTest("backgroundMask() writes where it is told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const out = ctx.empty([2, 3]);
    const { mask } = run(ctx, { shape: [2, 3, 5], classes: 3 }, { out });
    assert(mask === out);
    await ctx.read(out);
  }
});

Deno.test("the reference of backgroundMask() is the softmax of the logits", () => {
  using host = new Host();
  const features = host.upload(new Float32Array([1, 0, 0, 1, 2, 2]), [1, 3, 2]);
  const weight = host.upload(new Float32Array([1, 0, 0, 1, 1, 1]), [3, 2]);
  const bias = host.upload(new Float32Array([0, 0, -1]), [3]);
  const labels = host.upload(new Int32Array([2]), [1]);
  const inputs = { features, weight, bias, labels };
  const options = { delta: 0.3, probabilities: true };
  const { mask, probabilities } = backgroundMask(host, inputs, options);
  const expected = new Float32Array(9);
  softmaxRows(new Float32Array([1, 0, 0, 0, 1, 0, 2, 2, 3]), expected, {
    rows: 3,
    columns: 3,
    temperature: 1,
  });
  assertClose(probabilities!.data, [2, 5, 8].map((i) => expected[i]!), TOLERANCE.printed);
  assertEquals([...mask.data], [1, 1, 0]);
});

Deno.test("backgroundMask() refuses wrong shapes, types and thresholds", () => {
  using host = new Host();
  const features = host.empty([2, 3, 4]);
  const weight = host.empty([5, 4]);
  const labels = host.empty([2], "i32");
  const inputs = { features, weight, labels };
  const delta = 0.1;
  assertThrows(
    () => backgroundMask(host, { ...inputs, features: features.reshape([6, 4]) }, { delta }),
    ShapeError,
    '"features"',
  );
  assertThrows(
    () => backgroundMask(host, { ...inputs, weight: host.empty([5, 3]) }, { delta }),
    ShapeError,
    '"weight"',
  );
  assertThrows(
    () => backgroundMask(host, { ...inputs, labels: host.empty([3], "i32") }, { delta }),
    ShapeError,
    '"labels"',
  );
  assertThrows(
    () => backgroundMask(host, { ...inputs, labels: host.empty([2]) }, { delta }),
    DTypeError,
    '"labels"',
  );
  assertThrows(
    () => backgroundMask(host, { ...inputs, weight: host.empty([0, 4]) }, { delta }),
    RangeError,
    "no classes",
  );
  assertThrows(() => backgroundMask(host, inputs, { delta: 1.5 }), RangeError, '"delta"');
  assertThrows(
    () => backgroundMask(host, inputs, { delta, out: host.empty([2, 4]) }),
    ShapeError,
    '"out"',
  );
});

gpuTest("the naive variant refuses what a software adapter would cut short", ({ gpu }) => {
  if (!gpu.gpu.adapter.isSoftware) return;
  const test: Case = { shape: [1, 1, 100], classes: 1000 };
  assertThrows(() => run(gpu, test, { variant: "naive" }), RangeError, "loop turns");
});

Deno.test("backgroundMaskFlops() and backgroundMaskBytes() count what it does", () => {
  assertEquals(backgroundMaskFlops({ locations: 1, classes: 2, channels: 3 }), 24);
  assertEquals(backgroundMaskBytes({ locations: 1, classes: 2, channels: 3 }), 48);
});
