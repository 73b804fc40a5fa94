import { assert, assertEquals, assertThrows } from "@std/assert";
import { planClassSums, planMoments } from "../../kernels/moments/_plan.ts";
import {
  classSums,
  classSumsBytes,
  classSumsFlops,
  type ClassSumsVariant,
  moments,
  momentsBytes,
  momentsFlops,
} from "../../kernels/moments/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest, type GpuTestContext } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { SEED, uniform } from "./_rows.ts";

const VARIANTS = ["naive", "register", "tiled"] as const;
const CLASS_VARIANTS = ["naive", "columns", "classes"] as const;

const SHAPES = [
  [0, 5],
  [1, 1],
  [2, 3],
  [5, 4],
  [7, 8],
  [17, 15],
  [16, 16],
  [33, 17],
  [64, 31],
  [101, 32],
  [130, 33],
  [300, 100],
] as const;

gpuTest("moments() agrees with the reference in every variant", async ({ gpu, host }) => {
  using scope = gpu.scope();
  for (const shape of SHAPES) {
    const [, columns] = shape;
    const data = uniform(shape);
    const shift = uniform([1, columns], { seed: 5 });
    const inputs = { x: scope.upload(data, shape), shift: scope.upload(shift, [columns]) };
    const expected = moments(host, {
      x: host.upload(data, shape),
      shift: host.upload(shift, [columns]),
    });
    for (const variant of VARIANTS) {
      const label = `${variant} on [${shape}] (seed ${SEED})`;
      const runs = [1, 2].map(() => moments(scope, inputs, { variant }));
      const [sum, gram, sumAgain, gramAgain] = await scope.read(
        ...runs.flatMap((run) => [run.sum, run.gram]),
      );
      assertClose(sum!, expected.sum.data, TOLERANCE.kernel, `sum, ${label}`);
      assertClose(gram!, expected.gram.data, TOLERANCE.kernel, `gram, ${label}`);
      assertClose(sumAgain!, sum!, TOLERANCE.exact, `second sum, ${label}`);
      assertClose(gramAgain!, gram!, TOLERANCE.exact, `second gram, ${label}`);
    }
  }
});

gpuTest("moments() is symmetric to the last bit", async ({ gpu }) => {
  const shape = [77, 37] as const;
  const x = gpu.upload(uniform(shape), shape);
  const shift = gpu.upload(new Float32Array(37), [37]);
  for (const variant of VARIANTS) {
    const [gram] = await gpu.read(moments(gpu, { x, shift }, { variant }).gram);
    const turned = gram!.map((_, i) => gram![i % 37 * 37 + Math.floor(i / 37)]!);
    assertEquals(turned, gram, variant);
  }
});

gpuTest(
  "moments() of many rows reaches the last one and keeps its digits",
  async ({ gpu, host }) => {
    const rows = 70_001;
    const data = uniform([rows, 6], { low: 0, high: 2 });
    const shift = new Float32Array(6).fill(1);
    const expected = moments(host, {
      x: host.upload(data, [rows, 6]),
      shift: host.upload(shift, [6]),
    });
    const inputs = { x: gpu.upload(data, [rows, 6]), shift: gpu.upload(shift, [6]) };
    for (const variant of VARIANTS) {
      const { sum, gram } = moments(gpu, inputs, { variant });
      const [gpuSum, gpuGram] = await gpu.read(sum, gram);
      assertClose(gpuSum!, expected.sum.data, TOLERANCE.longSum, variant);
      assertClose(gpuGram!, expected.gram.data, TOLERANCE.longSum, variant);
    }
  },
);

gpuTest("moments() of two chunks add up to those of the whole", async ({ gpu }) => {
  const shape = [90, 20] as const;
  const data = uniform(shape);
  const shift = gpu.upload(uniform([1, 20], { seed: 5 }), [20]);
  const part = (begin: number, end: number) =>
    gpu.upload(data.slice(begin * 20, end * 20), [end - begin, 20]);
  const chunks = [part(0, 90), part(0, 41), part(41, 90)].map((x) => moments(gpu, { x, shift }));
  const grams = await gpu.read(...chunks.map(({ gram }) => gram));
  const sum = grams[1]!.map((value, i) => value + grams[2]![i]!);
  assertClose(sum, grams[0]!, TOLERANCE.kernel);
});

async function compareClassSums(
  { gpu, host }: GpuTestContext,
  problem: {
    readonly shape: readonly [number, number];
    readonly labels: Int32Array<ArrayBuffer>;
    readonly classes: number;
    readonly variants?: readonly ClassSumsVariant[];
  },
): Promise<void> {
  const { shape, labels, classes, variants = CLASS_VARIANTS } = problem;
  const [rows, columns] = shape;
  const data = uniform(shape);
  const shift = uniform([1, columns], { seed: 5 });
  using scope = gpu.scope();
  const upload = (ctx: typeof scope | typeof host) => ({
    x: ctx.upload(data, shape),
    labels: ctx.upload(labels, [rows]),
    shift: ctx.upload(shift, [columns]),
  });
  const expected = classSums(host, upload(host), { classes });
  const inputs = upload(scope);
  for (const variant of variants) {
    const label = `${variant} on [${shape}], ${classes} classes (seed ${SEED})`;
    const runs = [1, 2].map(() => classSums(scope, inputs, { classes, variant }));
    const [sums, counts, sumsAgain, countsAgain] = await scope.read(
      ...runs.flatMap((run) => [run.sums, run.counts]),
    );
    assertClose(sums!, expected.sums.data, TOLERANCE.kernel, `sums, ${label}`);
    assertEquals(counts, expected.counts.data, `counts, ${label}`);
    assertEquals(sumsAgain, sums, `second sums, ${label}`);
    assertEquals(countsAgain, counts, `second counts, ${label}`);
  }
}

/** Labels from -1 to `classes`: the first and the last belong to no class. */
function someLabels(rows: number, classes: number): Int32Array<ArrayBuffer> {
  const rng = new Rng(SEED);
  return Int32Array.from({ length: rows }, () => rng.integer(classes + 2) - 1);
}

gpuTest("classSums() agrees with the reference in every variant", async (context) => {
  for (const shape of SHAPES) {
    for (const classes of [1, 3, 10]) {
      await compareClassSums(context, { shape, labels: someLabels(shape[0], classes), classes });
    }
  }
});

gpuTest("classSums() of many rows and of many classes is complete", async (context) => {
  const many = { shape: [70_001, 5], labels: someLabels(70_001, 400), classes: 400 } as const;
  await compareClassSums(context, many);
  await compareClassSums(context, {
    shape: [9, 4],
    labels: someLabels(9, 70_000),
    classes: 70_000,
    variants: ["naive", "classes"],
  });
});

gpuTest("classSums() of one class is the sum of moments()", async ({ gpu }) => {
  const shape = [50, 12] as const;
  const x = gpu.upload(uniform(shape), shape);
  const shift = gpu.upload(uniform([1, 12], { seed: 5 }), [12]);
  const labels = gpu.upload(new Int32Array(50), [50]);
  const { sums, counts } = classSums(gpu, { x, labels, shift }, { classes: 1 });
  const [bySums, byCounts, bySum] = await gpu.read(sums, counts, moments(gpu, { x, shift }).sum);
  assertClose(bySums!, bySum!, TOLERANCE.kernel);
  assertEquals([...byCounts!], [50]);
});

Deno.test("planMoments() takes registers on software and workgroup memory elsewhere", () => {
  const shape = { rows: 8192, columns: 512 };
  assertEquals(planMoments(shape, { software: true }).variant, "register");
  assertEquals(planMoments(shape, { software: false }).variant, "tiled");
  assertThrows(
    () => planMoments(shape, { software: true, variant: "fast" }),
    RangeError,
    'no variant "fast"',
  );
});

Deno.test("planMoments() and planClassSums() cover all rows within the loops of an adapter", () => {
  for (const software of [true, false]) {
    for (const rows of [0, 1, 4095, 60_001, 1_000_000]) {
      for (const columns of [1, 6, 64, 512, 2048]) {
        for (const variant of VARIANTS) {
          const plan = planMoments({ rows, columns }, { software, variant });
          assert(plan.slices * plan.sliceRows >= rows, "moments cover the rows");
          const turns = plan.sliceRows / (variant === "naive" ? 1 : 4) + 130;
          assert(turns < 65_535, `${turns} turns of ${variant}`);
        }
        for (const variant of CLASS_VARIANTS) {
          const shape = { rows, columns, classes: 1000 };
          const plan = planClassSums(shape, { software, variant });
          assert(plan.slices * plan.sliceRows >= rows, "class sums cover the rows");
          const each = variant === "columns" && columns % 4 !== 0 ? 5 : 1.25;
          const turns = (plan.sliceRows + (variant === "columns" ? 1000 : 0)) * each;
          assert(turns < 65_535, `${turns} turns of ${variant}`);
        }
      }
    }
  }
});

Deno.test("planClassSums() goes by columns on software while the classes fit its loops", () => {
  const shape = { rows: 4096, columns: 512, classes: 1000 };
  assertEquals(planClassSums(shape, { software: true }).variant, "columns");
  assertEquals(planClassSums(shape, { software: false }).variant, "classes");
  const large = { ...shape, classes: 100_000 };
  assertEquals(planClassSums(large, { software: true }).variant, "classes");
  assertThrows(
    () => planClassSums(large, { software: true, variant: "columns" }),
    RangeError,
    "too many",
  );
  assertThrows(
    () => planClassSums(shape, { software: true, variant: "fast" }),
    RangeError,
    'no variant "fast"',
  );
});

Deno.test("moments() and classSums() refuse wrong shapes, types and numbers of classes", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(6), [2, 3]);
  const shift = host.upload(new Float32Array(3), [3]);
  const labels = host.upload(new Int32Array(2), [2]);
  const empty = host.upload(new Float32Array(0), [2, 0]);
  assertThrows(() => moments(host, { x: shift, shift }), ShapeError, '"x"');
  assertThrows(() => moments(host, { x: empty, shift }), ShapeError, "at least one column");
  assertThrows(() => moments(host, { x, shift: x }), ShapeError, '"shift"');
  assertThrows(() => moments(host, { x, shift: labels }), DTypeError, '"shift"');
  const classes = 2;
  assertThrows(
    () => classSums(host, { x, shift, labels: shift }, { classes }),
    DTypeError,
    '"labels"',
  );
  const three = host.upload(new Int32Array(3), [3]);
  assertThrows(
    () => classSums(host, { x, shift, labels: three }, { classes }),
    ShapeError,
    '"labels"',
  );
  for (const wrong of [0, -1, 1.5]) {
    assertThrows(
      () => classSums(host, { x, shift, labels }, { classes: wrong }),
      RangeError,
      '"classes"',
    );
  }
});

Deno.test("the references of moments() and classSums() agree with figures worked out by hand", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([1, 2, 3, 5, -1, 0]), [3, 2]);
  const shift = host.upload(new Float32Array([1, 1]), [2]);
  const { sum, gram } = moments(host, { x, shift });
  assertEquals([...sum.data], [0, 4]);
  assertEquals([...gram.data], [8, 10, 10, 18]);
  const labels = host.upload(new Int32Array([2, 5, 2]), [3]);
  const { sums, counts } = classSums(host, { x, shift, labels }, { classes: 3 });
  assertEquals([...sums.data], [0, 0, 0, 0, -2, 0]);
  assertEquals([...counts.data], [0, 0, 2]);
});

Deno.test("flops and bytes of moments and class sums count what they do", () => {
  assertEquals(momentsFlops({ rows: 2, columns: 3 }), 36);
  assertEquals(momentsBytes({ rows: 2, columns: 3 }), 84);
  assertEquals(classSumsFlops({ rows: 2, columns: 3, classes: 4 }), 12);
  assertEquals(classSumsBytes({ rows: 2, columns: 3, classes: 4 }), 108);
});
