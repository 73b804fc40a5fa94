import { assert, assertEquals, assertThrows } from "@std/assert";
import type { ProductOptions } from "../../kernels/matmul/mod.ts";
import {
  cosineMax,
  euclideanMin,
  klMin,
  type Nearest,
  prototypeBytes,
  prototypeFlops,
  type PrototypeInputs,
} from "../../kernels/prototype_distance/mod.ts";
import { nearness, type PrototypeKind } from "../../kernels/prototype_distance/reference.ts";
import { planRowProduct } from "../../kernels/_row_product.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { PRODUCT_WAYS, wayOf } from "./_product_ways.ts";

const SEED = 21;

type Operation = (ctx: Context, inputs: PrototypeInputs, options?: ProductOptions) => Nearest;

const OPERATIONS: Readonly<Record<PrototypeKind, Operation>> = {
  cosine: cosineMax,
  euclidean: euclideanMin,
  kl: klMin,
};

/** Rows of numbers; of probabilities for relative entropy. */
function matrix(
  [rows, columns]: readonly [number, number],
  kind: PrototypeKind,
  seed: number,
): Float32Array<ArrayBuffer> {
  const rng = new Rng(seed);
  const data = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const row = data.subarray(i * columns, (i + 1) * columns);
    for (let j = 0; j < columns; j++) row[j] = kind === "kl" ? rng.uniform() ** 4 : rng.normal();
    if (kind !== "kl") continue;
    const sum = row.reduce((a, b) => a + b, 0);
    for (let j = 0; j < columns; j++) row[j] = row[j]! / sum;
  }
  return data;
}

async function agree(
  contexts: { gpu: Context; host: Context },
  kind: PrototypeKind,
  shapes: readonly (readonly [rows: number, centres: number, channels: number])[],
): Promise<void> {
  for (const [rows, centres, channels] of shapes) {
    const x = matrix([rows, channels], kind, SEED);
    const y = matrix([centres, channels], kind, SEED + 1);
    const on = (ctx: Context, options?: ProductOptions) =>
      OPERATIONS[kind](ctx, {
        features: ctx.upload(x, [rows, channels]),
        centres: ctx.upload(y, [centres, channels]),
      }, options);
    const expected = on(contexts.host).value.data;
    const how = { kind, channels, epsilon: kind === "kl" ? 1e-10 : 0 };
    for (const way of PRODUCT_WAYS) {
      const { value, index } = on(contexts.gpu, way);
      const [values, indices] = await contexts.gpu.read(value, index);
      const label = `${kind} ${wayOf(way)} ${rows}x${centres}x${channels} seed ${SEED}`;
      assertClose(values!, expected, TOLERANCE.kernel, label);
      // Two centres may be nearer to each other than f32 can tell: the one that is found must be
      // as near as the nearest, within the tolerance.
      const ofFound = Float64Array.from(indices!, (centre, row) => {
        assert(centre < centres, `${label}: centre ${centre}`);
        const near = nearness({ row, centre }, { x, y }, how);
        return kind === "cosine" ? near : -near;
      });
      assertClose(ofFound, expected, TOLERANCE.kernel, `${label} at its index`);
    }
  }
}

const SHAPES = [
  [1, 1, 1],
  [3, 2, 5],
  [17, 19, 31],
  [33, 65, 16],
  [64, 64, 64],
  [5, 1031, 7],
  [131, 10, 12],
] as const;

gpuTest("cosineMax() agrees with its reference", async (contexts) => {
  await agree(contexts, "cosine", [...SHAPES, [18, 33, 2049]]);
});

gpuTest("euclideanMin() agrees with its reference", async (contexts) => {
  await agree(contexts, "euclidean", SHAPES);
});

gpuTest("klMin() agrees with its reference", async (contexts) => {
  await agree(contexts, "kl", [[3, 2, 5], [17, 19, 31], [131, 10, 12]]);
});

gpuTest("a centre that equals the row is found, at no distance", async ({ gpu }) => {
  const channels = 37;
  for (const kind of ["cosine", "euclidean", "kl"] as const) {
    const data = matrix([40, channels], kind, SEED);
    const features = gpu.upload(data, [40, channels]);
    for (const way of PRODUCT_WAYS) {
      const { value, index } = OPERATIONS[kind](gpu, { features, centres: features }, way);
      const [values, indices] = await gpu.read(value, index);
      assertEquals([...indices!], Array.from({ length: 40 }, (_, i) => i), `${kind} ${wayOf(way)}`);
      const expected = new Float32Array(40).fill(kind === "cosine" ? 1 : 0);
      assertClose(values!, expected, TOLERANCE.kernel, `${kind} ${wayOf(way)}`);
    }
  }
});

gpuTest("equal centres give the lowest index", async ({ gpu }) => {
  const [rows, centres, channels] = [20, 200, 8];
  const one = matrix([1, channels], "kl", SEED);
  const centreData = new Float32Array(centres * channels);
  for (let j = 0; j < centres; j++) centreData.set(one, j * channels);
  const features = gpu.upload(matrix([rows, channels], "kl", SEED + 1), [rows, channels]);
  const same = gpu.upload(centreData, [centres, channels]);
  for (const operation of Object.values(OPERATIONS)) {
    for (const way of PRODUCT_WAYS) {
      const [indices] = await gpu.read(
        operation(gpu, { features, centres: same }, way).index,
      );
      assertEquals([...indices!], new Array(rows).fill(0), wayOf(way));
    }
  }
});

gpuTest("cosineMax() of a row of zeros is 0", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const features = ctx.upload(new Float32Array(6), [2, 3]);
    const centres = ctx.upload(new Float32Array([1, 2, 3, 0, 0, 0]), [2, 3]);
    const [values] = await ctx.read(cosineMax(ctx, { features, centres }).value);
    assertEquals([...values!].map((v) => v + 0), [0, 0]);
  }
});

gpuTest("klMin() is finite where a distribution has zeros", async ({ gpu, host }) => {
  const features = new Float32Array([1, 0, 0, 0.5, 0.5, 0]);
  const centres = new Float32Array([0, 1, 0, 0, 0, 1]);
  const on = (ctx: Context, way?: ProductOptions) =>
    klMin(ctx, {
      features: ctx.upload(features, [2, 3]),
      centres: ctx.upload(centres, [2, 3]),
    }, way).value;
  const expected = on(host).data;
  for (const way of PRODUCT_WAYS) {
    const [actual] = await gpu.read(on(gpu, way));
    assertClose(actual!, expected, TOLERANCE.kernel, wayOf(way));
  }
});

gpuTest(
  "cosineMax() visits every centre beyond llvmpipe's 65535 turns of a loop",
  async ({ gpu }) => {
    // Rows enough for one segment, and centres times channels enough to pass the limit; the last
    // centre is the nearest.
    const [rows, centres, channels] = [1040, 9000, 8];
    const centreData = new Float32Array(centres * channels).fill(1);
    centreData.fill(-1, (centres - 1) * channels);
    const features = gpu.upload(new Float32Array(rows * channels).fill(-1), [rows, channels]);
    const all = gpu.upload(centreData, [centres, channels]);
    for (const way of PRODUCT_WAYS) {
      const { index } = cosineMax(gpu, { features, centres: all }, way);
      const [indices] = await gpu.read(index);
      assertEquals([indices![0], indices![rows - 1]], [centres - 1, centres - 1], wayOf(way));
    }
  },
);

gpuTest("nearest centres of no rows are nothing", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const features = ctx.upload(new Float32Array(0), [0, 3]);
    const centres = ctx.upload(new Float32Array(3), [1, 3]);
    const { value, index } = euclideanMin(ctx, { features, centres });
    const [values, indices] = await ctx.read(value, index);
    assertEquals([values!.length, indices!.length], [0, 0]);
  }
});

gpuTest("nearest centres come out bit-equal every time", async ({ gpu }) => {
  const features = gpu.upload(matrix([50, 33], "cosine", SEED), [50, 33]);
  const centres = gpu.upload(matrix([70, 33], "cosine", SEED + 1), [70, 33]);
  for (const way of PRODUCT_WAYS) {
    const run = () => cosineMax(gpu, { features, centres }, way).value;
    const [first, second] = await gpu.read(run(), run());
    assertEquals(first, second, wayOf(way));
  }
});

gpuTest("nearest centres refuse what does not fit", ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const features = ctx.upload(new Float32Array(6), [2, 3]);
    const wrong = ctx.upload(new Float32Array(8), [2, 4]);
    assertThrows(() => cosineMax(ctx, { features, centres: wrong }), ShapeError, '"centres"');
    const whole = ctx.upload(new Int32Array(6), [2, 3]);
    assertThrows(() => euclideanMin(ctx, { features: whole, centres: features }), DTypeError);
    const none = ctx.upload(new Float32Array(0), [0, 3]);
    assertThrows(() => klMin(ctx, { features, centres: none }), RangeError, "no centres");
    assertThrows(
      () => klMin(ctx, { features, centres: features }, { epsilon: 0 }),
      RangeError,
      "epsilon must be positive",
    );
  }
});

Deno.test("planRowProduct() splits the columns only when there are few rows", () => {
  assertEquals(planRowProduct("register", { rows: 4096, columns: 1000, k: 512 }).segments, 1);
  assertEquals(planRowProduct("tiled", { rows: 100_000, columns: 1000, k: 512 }).segments, 1);
  for (const variant of ["register", "tiled"] as const) {
    for (const [rows, columns] of [[1, 1], [16, 11_000], [500, 33], [3, 16]] as const) {
      const plan = planRowProduct(variant, { rows, columns, k: 64 });
      assert(plan.segments * plan.segmentTiles >= plan.columnTiles);
      assert((plan.segments - 1) * plan.segmentTiles < plan.columnTiles, "no segment is empty");
    }
  }
  assertEquals(
    planRowProduct("register", { rows: 16, columns: 11_000, k: 512 }).segments > 8,
    true,
  );
});

Deno.test("planRowProduct() keeps the loops of one invocation below llvmpipe's limit", () => {
  const plan = planRowProduct("register", { rows: 100_000, columns: 100_000, k: 2048 });
  assert(plan.segmentTiles * (2048 / 4 + 2) <= 60_000, `${plan.segmentTiles}`);
  assert(plan.segments * plan.segmentTiles >= plan.columnTiles);
});

Deno.test("prototypeFlops() and prototypeBytes() count by shape", () => {
  assertEquals(prototypeFlops({ rows: 3, centres: 5, channels: 7 }), 210);
  assertEquals(prototypeBytes({ rows: 3, centres: 5, channels: 7 }), 4 * (21 + 35 + 6));
});
