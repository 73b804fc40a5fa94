import { assertEquals, assertThrows } from "@std/assert";
import {
  prefixSum,
  prefixSumBytes,
  prefixSumFlops,
  type PrefixSumVariant,
} from "../../kernels/prefix_sum/mod.ts";
import { prefixSumReference } from "../../kernels/prefix_sum/reference.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";

const SEED = 7;
const VARIANTS: readonly PrefixSumVariant[] = ["naive", "serial", "tree"];

function integers(length: number): Int32Array<ArrayBuffer> {
  const rng = new Rng(SEED, length);
  return Int32Array.from({ length }, () => rng.integer(200) - 20);
}

// One block and its neighbours, two and three levels.
for (
  const length of [
    0,
    1,
    2,
    3,
    4,
    5,
    63,
    145,
    1023,
    1024,
    1025,
    16_383,
    16_384,
    16_385,
    65_537,
    1_048_579,
  ]
) {
  gpuTest(`prefixSum() gives the sums before each of ${length} integers`, async ({ gpu }) => {
    const data = integers(length);
    const expected = prefixSumReference(data);
    const x = gpu.upload(data, [length]);
    const runs = VARIANTS.flatMap((variant) =>
      [1, 2].map(() => prefixSum(gpu, { x }, { variant }))
    );
    const results = await gpu.read(...runs, prefixSum(gpu, { x }));
    results.forEach((sums, i) => {
      assertEquals(sums.length, length + 1);
      // assertEquals takes a minute over a million elements.
      const wrong = sums.findIndex((sum, at) => sum !== expected[at]);
      assertEquals(wrong, -1, `${VARIANTS[i >> 1] ?? "chosen"} of ${length} (seed ${SEED})`);
    });
  });
}

gpuTest("prefixSum() folds grids beyond 65535 workgroups", async ({ gpu }) => {
  const length = 64 * 65_536 + 5;
  const x = gpu.upload(new Int32Array(length).fill(1), [length]);
  for (const variant of VARIANTS) {
    using scope = gpu.scope();
    const [sums] = await scope.read(prefixSum(scope, { x }, { variant }));
    assertEquals(sums!.findIndex((sum, at) => sum !== at), -1, variant);
  }
});

gpuTest("prefixSum() reads what was computed, also in a replay", async ({ gpu }) => {
  const x = gpu.upload(new Int32Array([1, 2, 3]), [3]);
  const y = gpu.empty([4], "i32");
  using replay = gpu.gpu.capture((scope) => scope.copy(prefixSum(scope, { x }), y));
  replay.run();
  const [first] = await gpu.read(y);
  gpu.write(x, new Int32Array([5, 0, 7]));
  replay.run();
  const [second] = await gpu.read(y);
  assertEquals([[...first!], [...second!]], [[0, 1, 3, 6], [0, 5, 5, 12]]);
});

Deno.test("prefixSum() refuses wrong types and shapes", () => {
  using host = new Host();
  assertThrows(() => prefixSum(host, { x: host.empty([3]) }), DTypeError, "i32");
  assertThrows(() => prefixSum(host, { x: host.empty([3, 1], "i32") }), ShapeError, '"x"');
  assertEquals([...prefixSum(host, { x: host.empty([0], "i32") }).data], [0]);
});

Deno.test("prefixSumFlops() and prefixSumBytes() count what it does", () => {
  assertEquals(prefixSumFlops(5), 5);
  assertEquals(prefixSumBytes(5), 44);
});
