import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  bestLabel,
  type LabelInputs,
  labelMass,
  labelMassBytes,
  labelMassFlops,
  type LabelMassOptions,
  type LabelOptions,
  maxShare,
} from "../../kernels/label_mass/mod.ts";
import { planRowProduct } from "../../kernels/_row_product.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { PRODUCT_WAYS } from "./_product_ways.ts";

const SEED = 77;

/** Every kernel: small shapes get panels only when they are asked for. */
const WAYS: readonly LabelOptions[] = [...PRODUCT_WAYS, { variant: "register", panels: true }];

interface Case {
  readonly size: readonly [rows: number, channels: number];
  readonly classes: number;
  readonly groups: number;
  readonly groupSize: number;
  readonly scale: number;
}

/** Rows of unit length. */
function unitRows(rows: number, channels: number, stream: number): Float32Array<ArrayBuffer> {
  const rng = new Rng(SEED, stream);
  const values = Float32Array.from({ length: rows * channels }, () => rng.normal());
  for (let start = 0; start < values.length; start += channels) {
    const row = values.subarray(start, start + channels);
    const norm = Math.hypot(...row);
    row.forEach((value, i) => row[i] = value / norm);
  }
  return values;
}

function inputsOf(ctx: Context, test: Case): LabelInputs {
  const [rows, channels] = test.size;
  const labels = test.classes + test.groups * test.groupSize;
  return {
    x: ctx.upload(unitRows(rows, channels, 1), [rows, channels]),
    labels: ctx.upload(unitRows(labels, channels, 2), [labels, channels]),
  };
}

const CASES: readonly Case[] = [
  { size: [1, 1], classes: 1, groups: 1, groupSize: 1, scale: 1 },
  { size: [3, 5], classes: 2, groups: 3, groupSize: 1, scale: 4 },
  { size: [17, 31], classes: 7, groups: 5, groupSize: 3, scale: 20 },
  { size: [33, 16], classes: 25, groups: 4, groupSize: 20, scale: 100 },
  { size: [65, 64], classes: 65, groups: 3, groupSize: 101, scale: 10 },
  { size: [131, 513], classes: 1, groups: 2, groupSize: 131, scale: 100 },
];

gpuTest("labelMass() agrees with its reference wherever groups end", async ({ gpu, host }) => {
  for (const test of CASES) {
    const expected = labelMass(host, inputsOf(host, test), test).data;
    const inputs = inputsOf(gpu, test);
    const results = WAYS.map((way) => labelMass(gpu, inputs, { ...test, ...way }));
    (await gpu.read(...results)).forEach((actual, i) => {
      const label = `${JSON.stringify(WAYS[i])} ${JSON.stringify(test)} seed ${SEED}`;
      assertClose(actual, expected, TOLERANCE.kernel, label);
    });
  }
});

gpuTest("maxShare() and bestLabel() agree with their references", async ({ gpu, host }) => {
  for (const test of CASES.slice(2)) {
    const own = inputsOf(host, test);
    const share = maxShare(host, own, test).data;
    const { index, cosine } = bestLabel(host, own);
    const inputs = inputsOf(gpu, test);
    for (const way of WAYS) {
      const found = bestLabel(gpu, inputs, way);
      const [shares, indices, cosines] = await gpu.read(
        maxShare(gpu, inputs, { ...test, ...way }),
        found.index,
        found.cosine,
      );
      const label = `${JSON.stringify(way)} ${JSON.stringify(test)} seed ${SEED}`;
      assertClose(shares!, share, TOLERANCE.kernel, label);
      assertClose(cosines!, cosine.data, TOLERANCE.kernel, label);
      assertEquals(indices, index.data, label);
    }
  }
});

gpuTest("labelMass() loses no group to a far larger one, whatever the scale", async (contexts) => {
  const classes = 3;
  // Cosines of the classes: -1; of two groups: 1 and -1.
  const labels = Float32Array.from([-1, -1, -1, 1, 1, -1, -1].flatMap((value) => [value, 0]));
  const x = [1, 0, -1, 0, 0, 1];
  const expected = [3 / 5 / 2, (1 + 3 / 5) / 2, 3 / 5];
  for (const ctx of [contexts.gpu, contexts.host]) {
    const inputs = {
      x: ctx.upload(Float32Array.from(x), [3, 2]),
      labels: ctx.upload(labels, [7, 2]),
    };
    for (const way of ctx === contexts.gpu ? WAYS : [{}]) {
      for (const scale of [100, 1e6, 1e30]) {
        const options = { ...way, scale, classes, groups: 2 };
        const [shares] = await ctx.read(labelMass(ctx, inputs, options));
        assertClose(shares!, expected, TOLERANCE.kernel, JSON.stringify(options));
      }
    }
  }
});

gpuTest("equal labels share equally, and the lowest one is the best", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const same = (rows: number) => ctx.upload(new Float32Array(rows * 4).fill(0.5), [rows, 4]);
    const inputs = { x: same(50), labels: same(60) };
    for (const way of ctx === gpu ? WAYS : [{}]) {
      const found = bestLabel(ctx, inputs, way);
      const [shares, largest, index] = await ctx.read(
        labelMass(ctx, inputs, { ...way, scale: 100, classes: 15, groups: 9 }),
        maxShare(ctx, inputs, { ...way, scale: 100 }),
        found.index,
      );
      const label = JSON.stringify(way);
      assertClose(shares!, new Float32Array(50).fill(0.75), TOLERANCE.kernel, label);
      assertClose(largest!, new Float32Array(50).fill(1 / 60), TOLERANCE.kernel, label);
      assertEquals(index, new Int32Array(50), label);
    }
  }
});

gpuTest("labelMass() without other labels, or without groups, is 1", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const inputs = inputsOf(ctx, CASES[1]!);
    const [all, none] = await ctx.read(
      labelMass(ctx, inputs, { scale: 1, classes: 5 }),
      labelMass(ctx, inputs, { scale: 1, classes: 2, groups: 0 }),
    );
    assertEquals([...all!, ...none!], Array(6).fill(1));
  }
});

gpuTest("labelMass() takes one group, or as many as their size says", async ({ host }) => {
  const inputs = inputsOf(host, CASES[1]!);
  const shares = async (options: Partial<LabelMassOptions>) => {
    const [values] = await host.read(
      labelMass(host, inputs, { scale: 4, classes: 2, ...options }),
    );
    return values;
  };
  assertEquals(await shares({ groupSize: 1 }), await shares({ groups: 3 }));
  assertEquals(await shares({}), await shares({ groups: 1 }));
  assertEquals(await shares({}), await shares({ groups: 1, groupSize: 3 }));
});

gpuTest("labelMass() visits labels beyond llvmpipe's 65535 turns of a loop", async (contexts) => {
  const { gpu, host } = contexts;
  const test: Case = { size: [9, 256], classes: 600, groups: 2, groupSize: 700, scale: 50 };
  const expected = labelMass(host, inputsOf(host, test), test).data;
  const inputs = inputsOf(gpu, test);
  for (const way of WAYS) {
    const [actual] = await gpu.read(labelMass(gpu, inputs, { ...test, ...way }));
    assertClose(actual!, expected, TOLERANCE.kernel, JSON.stringify(way));
  }
});

gpuTest("label shares of no rows are nothing", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const inputs = inputsOf(ctx, { ...CASES[1]!, size: [0, 5] });
    const { index, cosine } = bestLabel(ctx, inputs);
    const options = { scale: 1, classes: 2 };
    const all: Tensor[] = [
      labelMass(ctx, inputs, options),
      labelMass(ctx, inputs, { ...options, groups: 0 }),
      maxShare(ctx, inputs, options),
      index,
      cosine,
    ];
    for (const values of await ctx.read(...all)) assertEquals(values.length, 0);
  }
});

gpuTest("label shares come out bit-equal every time", async ({ gpu }) => {
  const test = CASES[4]!;
  const inputs = inputsOf(gpu, test);
  for (const way of WAYS) {
    const run = () => labelMass(gpu, inputs, { ...test, ...way });
    const [first, second] = await gpu.read(run(), run());
    assertEquals(first, second, JSON.stringify(way));
  }
});

gpuTest("panels hold every tile's sums in the order of the register kernel", async ({ gpu }) => {
  const test = CASES[4]!;
  const inputs = inputsOf(gpu, test);
  const one = bestLabel(gpu, inputs, { variant: "register", side: 16 });
  const other = bestLabel(gpu, inputs, { variant: "register", panels: true });
  const [a, b] = await gpu.read(one.cosine, other.cosine);
  assertEquals(a, b);
});

gpuTest("label shares refuse what does not fit", ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const x = ctx.upload(new Float32Array(6), [2, 3]);
    const labels = ctx.upload(new Float32Array(15), [5, 3]);
    const wide = ctx.upload(new Float32Array(8), [2, 4]);
    const run = (options: Partial<LabelMassOptions>) =>
      labelMass(ctx, { x, labels }, { scale: 1, classes: 1, ...options });
    assertThrows(() => maxShare(ctx, { x, labels: wide }, { scale: 1 }), ShapeError, '"labels"');
    const whole = ctx.upload(new Int32Array(6), [2, 3]);
    assertThrows(() => bestLabel(ctx, { x: whole, labels }), DTypeError);
    const none = ctx.upload(new Float32Array(0), [0, 3]);
    assertThrows(() => bestLabel(ctx, { x, labels: none }), RangeError, "no labels");
    assertThrows(() => run({ scale: 0 }), RangeError, "scale must be positive");
    assertThrows(() => run({ classes: 0 }), RangeError, "from 1 to the 5 labels: it is 0");
    assertThrows(() => run({ classes: 6 }), RangeError, "it is 6");
    assertThrows(() => run({ groups: 3 }), RangeError, "4 labels are no 3 groups");
    assertThrows(() => run({ groupSize: 3 }), RangeError, "4 labels are no");
    assertThrows(() => run({ groups: 2, groupSize: 4 }), RangeError, "2 groups of 4");
  }
});

Deno.test("planRowProduct() keeps every segment within one part", () => {
  for (const variant of ["register", "panels", "tiled"] as const) {
    for (
      const [rows, first, size, others] of [[1, 1000, 100, 100], [5, 3, 1, 7], [999, 70, 33, 2]]
    ) {
      const shape = { rows: rows!, columns: first! + others! * size!, k: 512 };
      const plan = planRowProduct(variant, { ...shape, parts: { first: first!, size: size! } });
      const width = plan.segmentTiles * plan.columns;
      for (
        const [columns, segments] of [
          [first!, plan.firstSegments],
          [size!, plan.partSegments],
        ] as const
      ) {
        assert(segments * width >= columns, "every column is in a segment");
        assert((segments - 1) * width < columns, "no segment is empty");
      }
      assertEquals(plan.segments, plan.firstSegments + others! * plan.partSegments);
    }
  }
});

Deno.test("planRowProduct() takes the tile that wastes least on groups of a hundred", () => {
  const parts = { first: 1000, size: 100 };
  const shape = { rows: 1024, columns: 11_000, k: 512, parts };
  assertEquals(planRowProduct("panels", shape).columns, 20);
  const alone = { rows: 1024, columns: 1000, k: 512 };
  assertEquals(planRowProduct("panels", alone).columns, 24);
});

Deno.test("labelMassFlops() and labelMassBytes() count by shape", () => {
  assertEquals(labelMassFlops({ rows: 3, labels: 5, channels: 7 }), 15 * 17);
  assertEquals(labelMassBytes({ rows: 3, labels: 5, channels: 7 }), 4 * (21 + 35 + 3));
});
