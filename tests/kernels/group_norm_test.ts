import { assert, assertEquals, assertThrows } from "@std/assert";
import { planGroupNorm, planMerge } from "../../kernels/group_norm/_plan.ts";
import { COLUMN_VARIANTS } from "../../kernels/column_reduce/mod.ts";
import {
  groupNorm,
  type GroupNormActivation,
  groupNormBytes,
  groupNormFlops,
  groupNormGradient,
  type GroupNormLayout,
} from "../../kernels/group_norm/mod.ts";
import {
  groupNormGradientReference,
  groupStatistics,
  normaliseGroups,
} from "../../kernels/group_norm/reference.ts";
import {
  type Context,
  DTypeError,
  Host,
  type Shape,
  ShapeError,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { noise, noise64, random, SEED } from "./_pointwise.ts";

/** Maps and groups: none, one position, odd lengths, groups of 1, 2, 3, 4, 8 and all channels. */
const CASES: readonly (readonly [shape: Shape, groups: number])[] = [
  [[0, 3, 3, 4], 2],
  [[3, 1, 1, 8], 2],
  [[1, 1, 2, 1], 1],
  [[3, 3, 5, 7], 7],
  [[1, 5, 3, 7], 1],
  [[3, 3, 5, 9], 3],
  [[1, 7, 5, 12], 4],
  [[3, 7, 3, 12], 12],
  [[3, 5, 5, 12], 6],
  [[2, 9, 7, 16], 4],
  [[3, 4, 4, 48], 12],
  [[2, 3, 3, 64], 8],
  [[1, 3, 3, 96], 24],
  [[1, 3, 5, 512], 1],
  [[1, 37, 41, 32], 8],
  [[1, 61, 53, 3], 1],
];

interface Tensors {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly dY: Tensor;
}

function tensors(ctx: Context, shape: Shape, offset = 0): Tensors {
  const channels = shape.at(-1)!;
  const x = noise(sizeOf(shape)).map((value) => offset + Math.round(256 * value) / 256);
  return {
    x: ctx.upload(x, shape),
    weight: random(ctx, [channels], { seed: 2, high: 2 }),
    bias: random(ctx, [channels], { seed: 3 }),
    dY: random(ctx, shape, { seed: 4 }),
  };
}

const NAMES = ["y", "mean", "inverse", "dX", "dWeight", "dBias"];

/** Output, statistics, then all gradients. */
function run(ctx: Context, inputs: Tensors, options: GroupNormLayout): Tensor[] {
  const { y, mean, inverse } = groupNorm(ctx, inputs, options);
  const gradients = groupNormGradient(ctx, { ...inputs, mean, inverse }, options);
  return [y, mean, inverse, gradients.dX, gradients.dWeight, gradients.dBias];
}

gpuTest("groupNorm() and its gradient agree with the reference", async ({ gpu, host }) => {
  for (const [shape, groups] of CASES) {
    for (const activation of ["none", "silu"] as const) {
      using scope = gpu.scope();
      const expected = run(host, tensors(host, shape), { groups, activation });
      const inputs = tensors(scope, shape);
      for (const variant of COLUMN_VARIANTS) {
        const label = `${variant}, ${activation}, ${groups} groups of [${shape}] (seed ${SEED})`;
        const how = { groups, activation, variant };
        const actual = await scope.read(...run(scope, inputs, how));
        actual.forEach((values, i) => {
          assertClose(values, expected[i]!.data, TOLERANCE.kernel, `${NAMES[i]}, ${label}`);
        });
        const again = await scope.read(...run(scope, inputs, how));
        assertEquals(again, actual, `second run of ${label}`);
      }
    }
  }
});

gpuTest("groupNorm() keeps its digits where the mean is large", async ({ gpu, host }) => {
  for (const [shape, groups] of [[[2, 9, 7, 16], 4], [[1, 61, 53, 3], 1]] as const) {
    // 1024 and steps of 1/256 are exact in f32, so only the kernel's own errors are left.
    const expected = run(host, tensors(host, shape, 1024), { groups });
    for (const variant of ["serial", "tree"] as const) {
      using scope = gpu.scope();
      const made = groupNorm(scope, tensors(scope, shape, 1024), { groups, variant });
      const actual = await scope.read(made.y, made.mean, made.inverse);
      actual.forEach((values, i) => {
        const label = `${NAMES[i]}, ${variant} on [${shape}]`;
        assertClose(values, expected[i]!.data, TOLERANCE.kernel, label);
      });
    }
  }
});

gpuTest("groupNorm() over many positions counts every one", async ({ gpu, host }) => {
  const shape = [1, 401, 499, 4];
  const how = { groups: 2, activation: "silu" } as const;
  const expected = run(host, tensors(host, shape), how);
  for (const variant of ["serial", "tree"] as const) {
    using scope = gpu.scope();
    const actual = await scope.read(...run(scope, tensors(scope, shape), { ...how, variant }));
    actual.forEach((values, i) => {
      assertClose(values, expected[i]!.data, TOLERANCE.longSum, `${NAMES[i]}, ${variant}`);
    });
  }
});

gpuTest("the activation of groupNorm() takes any number", async ({ gpu }) => {
  const weight = gpu.upload(new Float32Array(4).fill(1e4), [4]);
  const bias = gpu.upload(new Float32Array([-1e4, 0, 0, 1e4]), [4]);
  const x = gpu.upload(new Float32Array([-1, 1, -1, 1, -1, 1, -1, 1]), [1, 2, 1, 4]);
  const dY = gpu.upload(new Float32Array(8).fill(1), [1, 2, 1, 4]);
  for (const variant of COLUMN_VARIANTS) {
    const how = { groups: 1, activation: "silu", variant } as const;
    const { y, mean, inverse } = groupNorm(gpu, { x, weight, bias }, { ...how, epsilon: 3 });
    const made = groupNormGradient(gpu, { x, weight, bias, mean, inverse, dY }, how);
    const [actual, dBias] = await gpu.read(y, made.dBias);
    assertClose(actual!, [0, 5e3, 0, 15e3, 0, 5e3, 0, 15e3], TOLERANCE.kernel, variant);
    assertClose(dBias!, [0, 2, 0, 2], TOLERANCE.kernel, variant);
  }
});

gpuTest("groupNorm() and its gradient write where they are told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const shape = [2, 3, 3, 4];
    const inputs = tensors(ctx, shape);
    const [out, dX] = [ctx.empty(shape), ctx.empty(shape)];
    const [outWeight, outBias] = [ctx.empty([4]), ctx.empty([4])];
    const { y, mean, inverse } = groupNorm(ctx, inputs, { groups: 2, out });
    const where = { groups: 2, out: dX, outWeight, outBias };
    const gradients = groupNormGradient(ctx, { ...inputs, mean, inverse }, where);
    assert(y === out);
    assertEquals(gradients, { dX, dWeight: outWeight, dBias: outBias });
    await ctx.read(out, dX, outWeight, outBias);
  }
});

Deno.test("the reference's gradients are the derivatives", () => {
  const sizes = { positions: 5, channels: 6, groups: 2 };
  const epsilon = 0.01;
  for (const silu of [false, true]) {
    const forward = ([x, weight, bias]: Float64Array[]) => {
      const y = new Float64Array(x!.length);
      const found = groupStatistics(x!, sizes, epsilon);
      normaliseGroups(x!, y, { ...sizes, ...found, weight: weight!, bias: bias!, silu });
      return y;
    };
    checkGradient({
      forward,
      backward: ([x, weight, bias], dY) => {
        const dX = new Float64Array(x!.length);
        const [dWeight, dBias] = [new Float64Array(6), new Float64Array(6)];
        const found = groupStatistics(x!, sizes, epsilon);
        const how = { ...sizes, ...found, weight: weight!, bias: bias!, silu };
        groupNormGradientReference({ x: x!, dY }, { dX, dWeight, dBias }, how);
        return [dX, dWeight, dBias];
      },
      inputs: [noise64(60), noise64(6, { seed: 2, low: 0.2, high: 1.7 }), noise64(6, { seed: 3 })],
      seed: SEED,
    });
  }
});

Deno.test("planGroupNorm() covers every position within a software adapter's turns", () => {
  for (const variant of ["serial", "tree"] as const) {
    for (const n of [0, 1, 3, 32]) {
      for (const positions of [1, 5, 256, 262_144, 4_000_000]) {
        for (const channels of [1, 3, 16, 48, 256, 512]) {
          const plan = planGroupNorm({ n, positions, channels, groups: 1 }, variant);
          const lanes = channels / plan.width / plan.owned;
          assert(Number.isInteger(lanes));
          for (const { slices, sliceRows, invocations } of [plan.reduce, plan.map]) {
            assertEquals(sliceRows % plan.phases, 0);
            assert(slices * sliceRows >= positions && (slices - 1) * sliceRows < positions);
            assertEquals(invocations, n * slices * plan.phases * lanes);
            assert(sliceRows / plan.phases <= 4096);
          }
          assertEquals(plan.parts, plan.reduce.slices * plan.phases);
          const turns = plan.parts * channels;
          const merge = planMerge(turns, variant);
          assert(turns / merge.lanes < 60_000, `${turns} turns on ${merge.lanes} lanes`);
          assertEquals(merge.workgroup % merge.lanes, 0);
        }
      }
    }
  }
});

Deno.test("groupNorm() refuses what does not fit", () => {
  using host = new Host();
  const inputs = tensors(host, [1, 2, 2, 4]);
  const { x, weight } = inputs;
  const groups = 2;
  const wrong = (changed: Partial<Tensors>) => () =>
    groupNorm(host, { ...inputs, ...changed }, { groups });
  assertThrows(wrong({ x: weight }), ShapeError, '"x"');
  assertThrows(wrong({ x: host.empty([1, 0, 2, 4]) }), ShapeError, "one position");
  assertThrows(wrong({ x: host.empty([1, 2, 2, 4], "i32") }), DTypeError, '"x"');
  assertThrows(wrong({ weight: host.empty([3]) }), ShapeError, '"weight"');
  assertThrows(wrong({ bias: host.empty([4], "i32") }), DTypeError, '"bias"');
  for (const groups of [0, 3, 1.5, -2]) {
    assertThrows(
      () => groupNorm(host, inputs, { groups }),
      RangeError,
      '"groups" must divide the 4',
    );
  }
  assertThrows(() => groupNorm(host, inputs, { groups, epsilon: 0 }), RangeError, '"epsilon"');
  const activation = "relu" as GroupNormActivation;
  assertThrows(() => groupNorm(host, inputs, { groups, activation }), RangeError, '"relu"');
  assertThrows(() => groupNorm(host, inputs, { groups, out: weight }), ShapeError, '"out"');
  const [mean, inverse] = [host.empty([1, 2]), host.empty([1, 2])];
  const given = { ...inputs, mean, inverse };
  const back = (changed: object, options: object = {}) => () =>
    groupNormGradient(host, { ...given, ...changed }, { groups, ...options });
  assertThrows(back({ mean: weight }), ShapeError, '"mean"');
  assertThrows(back({ inverse: host.empty([1, 2], "i32") }), DTypeError, '"inverse"');
  assertThrows(back({ dY: weight }), ShapeError, '"dY"');
  assertThrows(back({}, { outWeight: x }), ShapeError, '"outWeight"');
  assertThrows(back({}, { outBias: x }), ShapeError, '"outBias"');
  assertThrows(back({}, { out: weight }), ShapeError, '"out"');
});

gpuTest("groupNorm() refuses variants that do not exist or do not end", ({ gpu }) => {
  const inputs = tensors(gpu, [1, 3, 3, 4]);
  const variant = "fast" as "naive";
  assertThrows(() => groupNorm(gpu, inputs, { groups: 1, variant }), RangeError, '"fast"');
  if (!gpu.gpu.adapter.isSoftware) return;
  const large = { ...inputs, x: gpu.empty([1, 100, 100, 4]) };
  const naive = { groups: 1, variant: "naive" } as const;
  assertThrows(() => groupNorm(gpu, large, naive), RangeError, "at most 20000 elements");
});

Deno.test("groupNormFlops() and groupNormBytes() count what each pass does", () => {
  const shape = [2, 3, 5, 4];
  assertEquals(groupNormFlops({ shape, activation: "silu" }), 1800);
  assertEquals(groupNormFlops({ shape, pass: "gradient" }), 1320);
  assertEquals(groupNormFlops({ shape, pass: "gradient", activation: "silu" }), 3720);
  assertEquals(groupNormBytes({ shape }), 1440);
  assertEquals(groupNormBytes({ shape, pass: "gradient" }), 2400);
});
