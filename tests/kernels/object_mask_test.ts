import { assertEquals, assertThrows } from "@std/assert";
import { planObjectMask } from "../../kernels/object_mask/_plan.ts";
import {
  objectMask,
  objectMaskBytes,
  objectMaskFlops,
  type ObjectMaskInputs,
  type ObjectMaskOptions,
} from "../../kernels/object_mask/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, Host, Scalar, ShapeError } from "../../runtime/mod.ts";
import { gpuTest, type GpuTestContext } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 41;

const WAYS: readonly Pick<ObjectMaskOptions, "variant" | "lanes">[] = [
  { variant: "naive" },
  { variant: "serial" },
  { variant: "tree" },
];

const LANES: typeof WAYS = [16, 32, 256].map((lanes) => ({ variant: "tree", lanes }));

/** Numbers of an object mask; tags predicted with this chance. */
interface Case {
  readonly images: number;
  readonly heads?: number;
  /** Tags of the tagger. */
  readonly outputs: number;
  readonly tokens: number;
  /** In-distribution tags. */
  readonly tags: number;
  readonly chance?: number;
  readonly only?: boolean;
  readonly fallback?: boolean;
  readonly taus?: readonly number[];
}

const TAUS = [0, 0.3, 0.5, 1];

const CASES: readonly Case[] = [
  { images: 0, outputs: 3, tokens: 4, tags: 2 },
  { images: 1, outputs: 1, tokens: 1, tags: 1, chance: 1 },
  { images: 3, outputs: 2, tokens: 0, tags: 2 },
  { images: 3, outputs: 4, tokens: 9, tags: 0 },
  { images: 3, outputs: 4, tokens: 9, tags: 0, fallback: true },
  { images: 5, outputs: 7, tokens: 13, tags: 3 },
  { images: 5, outputs: 7, tokens: 13, tags: 3, heads: 2 },
  { images: 9, outputs: 40, tokens: 17, tags: 31, fallback: true, chance: 0.02 },
  { images: 9, outputs: 40, tokens: 17, tags: 32, only: true },
  { images: 9, outputs: 40, tokens: 17, tags: 33, only: true, fallback: true, heads: 3 },
  { images: 4, outputs: 70, tokens: 145, tags: 64, heads: 4, chance: 0.1, fallback: true },
  { images: 17, outputs: 300, tokens: 20, tags: 257, chance: 0.01 },
  { images: 2, outputs: 50, tokens: 577, tags: 50, chance: 1 },
  { images: 65, outputs: 3, tokens: 16, tags: 3, chance: 0 },
];

type Arrays = {
  readonly attention: Float32Array<ArrayBuffer>;
  readonly tagLogits: Float32Array<ArrayBuffer>;
  readonly tags: Int32Array<ArrayBuffer>;
  readonly thresholds: Float32Array<ArrayBuffer>;
  readonly only: Int32Array<ArrayBuffer>;
};

/** Random arrays; some tags come twice, some are none of the tagger's. */
function arraysOf(test: Case): Arrays {
  const { images, heads = 1, outputs, tokens, tags, chance = 0.3 } = test;
  const rng = new Rng(SEED);
  const floats = (length: number, of: () => number) => Float32Array.from({ length }, of);
  const chosen = Int32Array.from({ length: tags }, (_, v) => v % 11 === 10 ? -1 : v % outputs);
  if (tags > 4) [chosen[2], chosen[3]] = [chosen[1]!, outputs];
  return {
    attention: floats(images * heads * outputs * tokens, () => rng.uniform() ** 3),
    tagLogits: floats(images * outputs, () => rng.uniform() < chance ? 3 : -3 + rng.uniform()),
    tags: chosen,
    thresholds: floats(tags, () => rng.uniform()),
    only: Int32Array.from({ length: images }, () => rng.integer(tags + 2) - 1),
  };
}

function upload(ctx: Context, test: Case, arrays: Arrays): ObjectMaskInputs {
  const { images, heads, outputs, tokens, tags } = test;
  const byHead = heads === undefined ? [] : [heads];
  return {
    attention: ctx.upload(arrays.attention, [images, ...byHead, outputs, tokens]),
    tagLogits: ctx.upload(arrays.tagLogits, [images, outputs]),
    tags: ctx.upload(arrays.tags, [tags]),
    thresholds: ctx.upload(arrays.thresholds, [tags]),
    ...(test.only ? { only: ctx.upload(arrays.only, [images]) } : {}),
  };
}

/** Runs a case in every way, twice: the same tokens as the reference, the same bits again. */
async function check(
  { gpu, host }: GpuTestContext,
  test: Case,
  how: { readonly arrays?: Arrays; readonly ways?: typeof WAYS } = {},
): Promise<void> {
  const { arrays = arraysOf(test), ways = WAYS } = how;
  for (const tau of test.taus ?? TAUS) {
    const options = { tau, fallback: test.fallback };
    const expected = objectMask(host, upload(host, test, arrays), options);
    using scope = gpu.scope();
    const inputs = upload(scope, test, arrays);
    const runs = ways.flatMap((way) =>
      [1, 2].map(() => objectMask(scope, inputs, { ...options, ...way }))
    );
    const tensors = runs.flatMap((
      { keep, counts, tagged, score },
    ) => [keep, counts, tagged, score]);
    const results = await scope.read(...tensors);
    ways.forEach((way, i) => {
      const label = `${JSON.stringify(way)} of ${JSON.stringify({ ...test, tau })} (seed ${SEED})`;
      const [keep, counts, tagged, score] = results.slice(8 * i);
      assertEquals([...keep!], [...expected.keep.data], `tokens, ${label}`);
      assertEquals([...counts!], [...expected.counts.data], `counts, ${label}`);
      assertEquals([...tagged!], [...expected.tagged.data], `tags, ${label}`);
      assertClose(score!, expected.score.data, TOLERANCE.kernel, `scores, ${label}`);
      assertEquals(results.slice(8 * i + 4, 8 * i + 8), results.slice(8 * i, 8 * i + 4), label);
    });
  }
}

for (const test of CASES) {
  gpuTest(
    `objectMask() keeps what the reference keeps for ${JSON.stringify(test)}`,
    (context) => check(context, test),
  );
}

gpuTest("objectMask() keeps the same with any lanes", async (context) => {
  await check(context, { images: 5, outputs: 9, tokens: 145, tags: 8 }, { ways: LANES });
  const long: Case = { images: 2, outputs: 5, tokens: 500, tags: 4 };
  await check(context, long, { ways: LANES.slice(1) });
});

gpuTest("objectMask() takes more tags than one chunk of tokens allows", async (context) => {
  // In chunks of 16 and of 32 tokens, by lanes, and in two passes.
  const one = { images: 1, chance: 0.02, taus: [0.5] };
  for (
    const lengths of [
      { tags: 300, tokens: 900 },
      { tags: 600, tokens: 900 },
      { tags: 60, tokens: 900, heads: 20 },
      { tags: 2, tokens: 17_000 },
    ]
  ) {
    await check(context, { ...one, ...lengths, outputs: lengths.tags }, { ways: [{}] });
  }
});

gpuTest("objectMask() takes maps that are constant or hold no numbers", async (context) => {
  const maps = [
    [0.5, 0.5, 0.5, 0.5, 0.5],
    [0, 0, 0, 0, 0],
    [NaN, 0.1, 0.9, 0.5, NaN],
    [-Infinity, 0.1, 0.9, Infinity, 0.2],
    [NaN, NaN, NaN, NaN, NaN],
    [-Infinity, -Infinity, Infinity, NaN, 1],
    [-3, -1, -2, -2.5, -1],
    [1e30, -1e30, 0, 0, 1e30],
    [0, -0, 0, 0, 1e-30],
    [-3.4028234663852886e38, 3, 1, 2, 3.4028234663852886e38],
  ];
  const outputs = maps.length;
  const only = Int32Array.from(maps, (_, v) => v);
  const images = outputs;
  const arrays: Arrays = {
    attention: Float32Array.from(Array(images).fill(maps.flat()).flat()),
    tagLogits: new Float32Array(images * outputs).fill(1),
    tags: only,
    thresholds: new Float32Array(outputs),
    only,
  };
  const test: Case = { images, outputs, tokens: 5, tags: outputs, only: true, taus: [0, 0.4, 1] };
  await check(context, test, { arrays });
  const { host } = context;
  const kept = (tau: number) => {
    const { keep } = objectMask(host, upload(host, test, arrays), { tau });
    return Array.from(
      { length: images },
      (_, n) => [...keep.data.subarray(5 * n, 5 * n + 5)].join(""),
    );
  };
  assertEquals(kept(0), [
    ...["11111", "11111", "01110", "01101", "00000", "00001", "11111", "11111", "11111", "01111"],
  ]);
  assertEquals(kept(0.4), [
    ...["11111", "11111", "00110", "00100", "00000", "00001", "01101", "10111", "00001", "00001"],
  ]);
  assertEquals(kept(1), Array(10).fill("00000"));
});

gpuTest("objectMask() takes logits and thresholds that are no numbers", async (context) => {
  const tagLogits = [
    [NaN, NaN, NaN],
    [NaN, -1, -2],
    [Infinity, -1, -1],
    [-Infinity, -Infinity, -Infinity],
    [-1, -1, -1],
    [0, 5, 0],
  ];
  const images = tagLogits.length;
  const test: Case = { images, outputs: 3, tokens: 3, tags: 3, fallback: true, taus: [0.5] };
  const arrays: Arrays = {
    attention: Float32Array.from(Array(images).fill([1, 0, 0, 0, 1, 0, 0, 0, 1]).flat()),
    tagLogits: Float32Array.from(tagLogits.flat()),
    tags: new Int32Array([0, 1, 2]),
    thresholds: new Float32Array([0, 0, -1]),
    only: new Int32Array(0),
  };
  await check(context, test, { arrays });
  const thresholds = new Float32Array([NaN, Infinity, -Infinity]);
  await check(context, test, { arrays: { ...arrays, thresholds } });
  const { host } = context;
  const { keep, tagged, score } = objectMask(host, upload(host, test, arrays), {
    tau: 0.5,
    fallback: true,
  });
  // Nothing to fall back on; the second and third tag tie in the second image, the first wins.
  assertEquals([...keep.data.subarray(0, 6)], [0, 0, 0, 0, 1, 0]);
  assertEquals([...tagged.data], [0, 0, 1, 0, 0, 2]);
  assertClose(score.data.subarray(0, 4), [0, 1 / (1 + Math.E), 1, 0], TOLERANCE.kernel);
});

gpuTest(
  "objectMask() keeps nothing of an image without a tag, whatever tau is",
  async (context) => {
    const test: Case = { images: 3, outputs: 4, tokens: 6, tags: 4, chance: 0 };
    await check(context, test);
    const { keep, counts, tagged } = objectMask(
      context.host,
      upload(context.host, test, arraysOf(test)),
      { tau: 0 },
    );
    assertEquals([...keep.data, ...counts.data, ...tagged.data], Array(24).fill(0));
  },
);

gpuTest("objectMask() reads tau again at every replay", async ({ gpu }) => {
  const test: Case = { images: 1, outputs: 1, tokens: 3, tags: 1 };
  const inputs = upload(gpu, test, {
    attention: new Float32Array([0, 0.5, 1]),
    tagLogits: new Float32Array([1]),
    tags: new Int32Array([0]),
    thresholds: new Float32Array([0]),
    only: new Int32Array(0),
  });
  const tau = new Scalar(0.7);
  const counts = gpu.empty([1], "i32");
  using replay = gpu.gpu.capture((scope) =>
    scope.copy(objectMask(scope, inputs, { tau }).counts, counts)
  );
  const found: number[] = [];
  for (const value of [0.7, 0.3, 0]) {
    tau.value = value;
    replay.run();
    found.push((await gpu.read(counts))[0]![0]!);
  }
  assertEquals(found, [1, 2, 3]);
});

gpuTest("objectMask() folds grids beyond 65535 workgroups", async ({ gpu }) => {
  const images = 65_537;
  const inputs: ObjectMaskInputs = {
    attention: gpu.upload(
      Float32Array.from({ length: 2 * images }, (_, i) => i % 3),
      [images, 1, 2],
    ),
    tagLogits: gpu.upload(new Float32Array(images).fill(1), [images, 1]),
    tags: gpu.upload(new Int32Array(1), [1]),
    thresholds: gpu.upload(new Float32Array(1), [1]),
  };
  for (const variant of ["serial", "tree"] as const) {
    const { keep } = objectMask(gpu, inputs, { tau: 0.5, variant });
    const [kept] = await gpu.read(keep);
    const wrong = kept!.findIndex((value, i) => value !== (i % 3 > (i ^ 1) % 3 ? 1 : 0));
    assertEquals(wrong, -1, variant);
  }
});

Deno.test("planObjectMask() takes what fits and says what does not", () => {
  const lengths = { images: 4, heads: 1, outputs: 719, tags: 719 };
  type Target = Parameters<typeof planObjectMask>[1];
  const plan = (tokens: number, target: Partial<Target> = {}, more = {}) =>
    planObjectMask({ ...lengths, tokens, ...more }, { software: true, ...target });
  assertEquals(plan(145), { variant: "serial", chunk: 8, chunks: 32 });
  assertEquals(plan(577), { variant: "serial", chunk: 16, chunks: 128 });
  assertEquals(plan(1025), { variant: "serial", chunk: 32, chunks: 128 });
  assertEquals(plan(1500), { variant: "tree", lanes: 128, rounds: 12 });
  assertEquals(plan(145, {}, { heads: 12 }), { variant: "tree", lanes: 16, rounds: 10 });
  assertEquals(plan(17_000), { variant: "naive" });
  assertEquals(plan(9, {}, { heads: 100 }), { variant: "naive" });
  assertEquals(plan(145, { software: false }), { variant: "tree", lanes: 64, rounds: 3 });
  assertEquals(plan(0, { software: false }), { variant: "tree", lanes: 64, rounds: 1 });
  assertEquals(plan(5000, { software: false }), { variant: "serial", chunk: 16, chunks: 512 });
  assertEquals(plan(17_000, { software: false }), { variant: "naive" });
  assertThrows(() => plan(20_000, { variant: "serial" }), RangeError, "20000 tokens");
  assertThrows(() => plan(70_000), RangeError, "does not take 70000 tokens");
  assertThrows(() => plan(9, { variant: "fast" }), RangeError, '"fast"');
  assertThrows(() => plan(9, { variant: "tree", lanes: 12 }), RangeError, "power of two");
});

Deno.test("objectMask() refuses wrong shapes, types and thresholds", () => {
  using host = new Host();
  const test: Case = { images: 2, outputs: 3, tokens: 4, tags: 2, only: true };
  const inputs = upload(host, test, arraysOf(test));
  const run = (wrong: Partial<ObjectMaskInputs>, tau = 0.5) => () =>
    objectMask(host, { ...inputs, ...wrong }, { tau });
  assertThrows(run({ attention: host.empty([2, 12]) }), ShapeError, '"attention"');
  assertThrows(run({ attention: host.empty([2, 4, 3]) }), ShapeError, '"attention"');
  assertThrows(run({ attention: host.empty([2, 0, 3, 4]) }), ShapeError, "at least one head");
  assertThrows(run({ attention: host.empty([2, 3, 4], "i32") }), DTypeError, '"attention"');
  assertThrows(run({ tagLogits: host.empty([6]) }), ShapeError, '"tagLogits"');
  assertThrows(run({ tags: host.empty([2]) }), DTypeError, '"tags"');
  assertThrows(run({ thresholds: host.empty([3]) }), ShapeError, '"thresholds"');
  assertThrows(run({ only: host.empty([2]) }), DTypeError, '"only"');
  assertThrows(run({ only: host.empty([3], "i32") }), ShapeError, '"only"');
  for (const tau of [-0.1, 1.1, NaN]) assertThrows(run({}, tau), RangeError, '"tau"');
});

Deno.test("objectMaskFlops() and objectMaskBytes() count what it does", () => {
  const shape = { images: 2, tags: 10, used: 3, tokens: 5 };
  assertEquals(objectMaskFlops(shape), 80);
  assertEquals(objectMaskFlops({ ...shape, heads: 4 }), 125);
  assertEquals(objectMaskBytes(shape), 284);
});
