import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  raggedMean,
  raggedMeanBytes,
  raggedMeanFlops,
  type RaggedMeanVariant,
} from "../../kernels/ragged_mean/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest, type GpuTestContext } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  nameOf,
  offsetsOf,
  RAGGED_CASES,
  type RaggedCase,
  rowsOf,
  uploadOffsets,
} from "./_ragged.ts";

const SEED = 19;
const VARIANTS: readonly RaggedMeanVariant[] = ["naive", "serial", "tree"];

/** Rows of a case; those behind the last list are NaN. */
function inputs(ctx: Context, test: RaggedCase) {
  const rng = new Rng(SEED);
  const rows = rowsOf(test);
  const end = offsetsOf(test.lengths).at(-1)! * test.columns;
  const data = Float32Array.from(
    { length: rows * test.columns },
    (_, i) => i < end ? rng.normal() : NaN,
  );
  return { x: ctx.upload(data, [rows, test.columns]), offsets: uploadOffsets(ctx, test.lengths) };
}

async function check({ gpu, host }: GpuTestContext, test: RaggedCase, variants = VARIANTS) {
  const { data: expected } = raggedMean(host, inputs(host, test));
  using scope = gpu.scope();
  const uploaded = inputs(scope, test);
  const runs = variants.flatMap((variant) =>
    [1, 2].map(() => raggedMean(scope, uploaded, { variant }))
  );
  const results = await scope.read(...runs);
  variants.forEach((variant, i) => {
    const label = `${variant} of ${nameOf(test)} (seed ${SEED})`;
    assertClose(results[2 * i]!, expected, TOLERANCE.kernel, label);
    assertClose(results[2 * i + 1]!, results[2 * i]!, TOLERANCE.exact, `second run, ${label}`);
  });
}

for (const test of RAGGED_CASES) {
  gpuTest(`raggedMean() agrees with the reference for ${nameOf(test)}`, async (context) => {
    await check(context, test);
  });
}

gpuTest("raggedMean() adds lists of every length around a block", async (context) => {
  const lengths = [1, 2, 3, 4, 5, 8, 31, 32, 33, 63, 64, 65, 67, 255, 256, 257, 513, 1027];
  await check(context, { lengths, padding: 2, columns: 12 });
});

gpuTest("raggedMean() takes rows of one group to many of them", async (context) => {
  for (const columns of [32, 64, 96, 160, 544, 1024, 1056]) {
    await check(context, { lengths: [3, 0, 9, 1], padding: 1, columns });
  }
});

gpuTest("raggedMean() folds grids beyond 65535 workgroups", async (context) => {
  const lengths = Array.from({ length: 8 * 65_536 + 3 }, (_, i) => i % 97 === 0 ? 3 : 0);
  await check(context, { lengths, padding: 0, columns: 1 }, ["serial"]);
});

gpuTest("raggedMean() reaches the end of a list of half a million rows", async ({ gpu }) => {
  const rows = 500_003;
  const x = gpu.upload(Float32Array.from({ length: rows }, (_, i) => i % 2), [rows, 1]);
  const offsets = uploadOffsets(gpu, [0, rows - 1, 1]);
  for (const variant of ["serial", "tree"] as const) {
    const [means] = await gpu.read(raggedMean(gpu, { x, offsets }, { variant }));
    assertClose(means!, [0, 0.5, 0], TOLERANCE.kernel, variant);
  }
});

gpuTest("raggedMean() writes where it is told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const out = ctx.empty([2, 3]);
    const test: RaggedCase = { lengths: [2, 0], padding: 1, columns: 3 };
    assert(raggedMean(ctx, inputs(ctx, test), { out }) === out);
    const [means] = await ctx.read(out);
    assertEquals([...means!.subarray(3)], [0, 0, 0]);
  }
});

Deno.test("raggedMean() refuses wrong shapes and types", () => {
  using host = new Host();
  const x = host.empty([4, 2]);
  const offsets = host.empty([3], "i32");
  assertThrows(() => raggedMean(host, { x: x.reshape([8]), offsets }), ShapeError, '"x"');
  assertThrows(() => raggedMean(host, { x, offsets: host.empty([3]) }), DTypeError, '"offsets"');
  assertThrows(
    () => raggedMean(host, { x, offsets: host.empty([0], "i32") }),
    ShapeError,
    '"offsets"',
  );
  assertThrows(
    () => raggedMean(host, { x, offsets }, { out: host.empty([3, 2]) }),
    ShapeError,
    '"out"',
  );
});

Deno.test("raggedMeanFlops() and raggedMeanBytes() count what it does", () => {
  assertEquals(raggedMeanFlops({ rows: 3, lists: 2, columns: 4 }), 20);
  assertEquals(raggedMeanBytes({ rows: 3, lists: 2, columns: 4 }), 92);
});
