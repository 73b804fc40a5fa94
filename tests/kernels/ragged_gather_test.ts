import { assert, assertEquals, assertThrows } from "@std/assert";
import { prefixSumReference } from "../../kernels/prefix_sum/reference.ts";
import { gatherImage } from "../../kernels/ragged_gather/_naive.ts";
import {
  raggedGather,
  raggedGatherBytes,
  raggedGatherFlops,
  type RaggedGatherVariant,
} from "../../kernels/ragged_gather/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest, type GpuTestContext } from "../_support/gpu.ts";

const SEED = 23;
const VARIANTS: readonly RaggedGatherVariant[] = ["naive", "serial", "tree"];

interface Case {
  readonly images: number;
  readonly tokens: number;
  readonly columns: number;
  /** Share of tokens that are kept. */
  readonly kept: number;
  /** Rows of the result; all tokens by default. */
  readonly capacity?: number;
}

const CASES: readonly Case[] = [
  { images: 0, tokens: 3, columns: 2, kept: 0.5, capacity: 3 },
  { images: 2, tokens: 0, columns: 4, kept: 0.5, capacity: 2 },
  { images: 3, tokens: 5, columns: 0, kept: 0.5 },
  { images: 1, tokens: 1, columns: 1, kept: 1 },
  { images: 1, tokens: 1, columns: 4, kept: 0 },
  { images: 5, tokens: 3, columns: 7, kept: 0.4 },
  { images: 9, tokens: 64, columns: 8, kept: 0.3 },
  { images: 17, tokens: 145, columns: 12, kept: 0.37 },
  { images: 7, tokens: 65, columns: 1031, kept: 0.5 },
  { images: 4, tokens: 1000, columns: 3, kept: 0.9 },
  { images: 3, tokens: 20, columns: 4, kept: 1 },
  { images: 3, tokens: 20, columns: 4, kept: 0 },
  { images: 6, tokens: 31, columns: 5, kept: 0.5, capacity: 400 },
  { images: 6, tokens: 31, columns: 4, kept: 0.5, capacity: 17 },
  { images: 6, tokens: 31, columns: 4, kept: 0.5, capacity: 0 },
];

function arrays({ images, tokens, columns, kept }: Case) {
  const rng = new Rng(SEED);
  const x = Float32Array.from({ length: images * tokens * columns }, () => rng.normal());
  const keep = Int32Array.from({ length: images * tokens }, () => rng.uniform() < kept ? 1 : 0);
  const counts = Int32Array.from(
    { length: images },
    (_, n) => keep.subarray(n * tokens, (n + 1) * tokens).reduce((a, b) => a + b, 0),
  );
  return { x, keep, offsets: prefixSumReference(counts) };
}

function upload(ctx: Context, test: Case) {
  const { images, tokens, columns } = test;
  const { x, keep, offsets } = arrays(test);
  return {
    x: ctx.upload(x, [images, tokens, columns]),
    keep: ctx.upload(keep, [images, tokens]),
    offsets: ctx.upload(offsets, [images + 1]),
  };
}

async function check({ gpu, host }: GpuTestContext, test: Case, variants = VARIANTS) {
  const capacity = test.capacity ?? test.images * test.tokens;
  const expected = raggedGather(host, upload(host, test), { capacity });
  using scope = gpu.scope();
  const inputs = upload(scope, test);
  const results = await scope.read(
    ...variants.flatMap((variant) =>
      [1, 2].map(() => raggedGather(scope, inputs, { capacity, variant }))
    ),
  );
  results.forEach((packed, i) => {
    const wrong = packed.findIndex((value, at) => value !== expected.data[at]);
    const label = `${variants[i >> 1]} of ${JSON.stringify(test)} (seed ${SEED})`;
    assertEquals([packed.length, wrong], [expected.size, -1], label);
  });
}

gpuTest("raggedGather() packs what the reference packs, and zeros behind", async (context) => {
  for (const test of CASES) await check(context, test);
});

gpuTest("raggedGather() folds grids beyond 65535 workgroups", async (context) => {
  const test: Case = { images: 65_537, tokens: 2, columns: 1, kept: 0.5 };
  await check(context, test, ["tree"]);
  const many: Case = { images: 8 * 65_536 + 3, tokens: 2, columns: 1, kept: 0.5 };
  await check(context, many, ["serial"]);
});

gpuTest("raggedGather() one image after the other gives the same rows", async ({ gpu, host }) => {
  const test: Case = { images: 5, tokens: 9, columns: 3, kept: 0.6 };
  const inputs = upload(gpu, test);
  const rows = arrays(test).offsets.at(-1)!;
  const y = gpu.empty([rows, 3]);
  for (let n = 0; n < test.images; n++) gatherImage(gpu, { ...inputs, y }, n);
  const [packed] = await gpu.read(y);
  assertEquals(packed, raggedGather(host, upload(host, test), { capacity: rows }).data);
});

gpuTest("raggedGather() writes where it is told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const out = ctx.empty([30, 4]);
    const test: Case = { images: 3, tokens: 10, columns: 4, kept: 0 };
    assert(raggedGather(ctx, upload(ctx, test), { capacity: 30, out }) === out);
    const [packed] = await ctx.read(out);
    assertEquals(packed, new Float32Array(120));
  }
});

Deno.test("the reference of raggedGather() keeps the order of tokens", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([1, 2, 3, 4, 5, 6]), [2, 3, 1]);
  const keep = host.upload(new Int32Array([1, 0, 1, 0, 1, 0]), [2, 3]);
  const offsets = host.upload(new Int32Array([0, 2, 3]), [3]);
  const packed = raggedGather(host, { x, keep, offsets }, { capacity: 5 });
  assertEquals([...packed.data], [1, 3, 5, 0, 0]);
});

Deno.test("raggedGather() refuses wrong shapes, types and capacities", () => {
  using host = new Host();
  const test: Case = { images: 2, tokens: 3, columns: 4, kept: 1 };
  const inputs = upload(host, test);
  const capacity = 6;
  assertThrows(
    () => raggedGather(host, { ...inputs, x: inputs.x.reshape([6, 4]) }, { capacity }),
    ShapeError,
    '"x"',
  );
  assertThrows(
    () => raggedGather(host, { ...inputs, keep: host.empty([2, 4], "i32") }, { capacity }),
    ShapeError,
    '"keep"',
  );
  assertThrows(
    () => raggedGather(host, { ...inputs, keep: host.empty([2, 3]) }, { capacity }),
    DTypeError,
    '"keep"',
  );
  assertThrows(
    () => raggedGather(host, { ...inputs, offsets: host.empty([2], "i32") }, { capacity }),
    ShapeError,
    '"offsets"',
  );
  for (const wrong of [-1, 1.5, NaN]) {
    assertThrows(() => raggedGather(host, inputs, { capacity: wrong }), RangeError, '"capacity"');
  }
});

Deno.test("raggedGatherFlops() and raggedGatherBytes() count what it does", () => {
  assertEquals(raggedGatherFlops(), 0);
  assertEquals(raggedGatherBytes({ tokens: 10, rows: 4, capacity: 10, columns: 3 }), 208);
});
