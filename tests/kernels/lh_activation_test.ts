import { assertEquals, assertThrows } from "@std/assert";
import {
  lhActivation,
  lhActivationBytes,
  lhActivationFlops,
} from "../../kernels/lh_activation/mod.ts";
import { DTypeError, Host } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { uniform } from "./_rows.ts";

const VARIANTS = ["naive", "vector"] as const;

gpuTest("lhActivation() agrees with the reference for any number of elements", async (context) => {
  const { gpu, host } = context;
  for (const size of [0, 1, 3, 4, 63, 64, 65, 1000, 64 * 65_537, 64 * 65_537 + 1]) {
    const data = uniform([1, size], { low: -1, high: 4 });
    for (const bounds of [{ low: 0.2, high: 1.5 }, { low: 0, high: 2 }, { low: -0.5, high: 3 }]) {
      if (size > 1e6 && bounds.low !== 0) continue;
      const expected = lhActivation(host, { x: host.upload(data, [size]) }, bounds).data;
      for (const variant of VARIANTS) {
        using scope = gpu.scope();
        const x = scope.upload(data, [size]);
        const [y] = await scope.read(lhActivation(scope, { x }, { ...bounds, variant }));
        assertClose(y!, expected, TOLERANCE.kernel, `${variant}, ${size} elements`);
      }
    }
  }
});

gpuTest("lhActivation() compares with the upper bound exactly", async ({ gpu, host }) => {
  // As float64 the bound lies above its float32 neighbour that the data have.
  const high = 0.1;
  const data = new Float32Array([0.1, 0.1, 0.1, 0.1]);
  const expected = lhActivation(host, { x: host.upload(data, [4]) }, { low: 0, high }).data;
  assertClose(expected, data.map((value) => value / Math.SQRT2), TOLERANCE.kernel);
  for (const variant of VARIANTS) {
    const x = gpu.upload(data, [4]);
    const [y] = await gpu.read(lhActivation(gpu, { x }, { low: 0, high, variant }));
    assertClose(y!, expected, TOLERANCE.kernel, variant);
  }
});

gpuTest("lhActivation() gives no NaN for huge elements", async ({ gpu, host }) => {
  const data = new Float32Array([1e10, 1e30, -1e30, 3e38]);
  const bounds = { low: 0.1, high: 1e-3 + 0.1 };
  const expected = lhActivation(host, { x: host.upload(data, [4]) }, bounds).data;
  const [y] = await gpu.read(lhActivation(gpu, { x: gpu.upload(data, [4]) }, bounds));
  assertEquals([...y!].every(Number.isFinite), true);
  assertClose([...y!].slice(0, 3), [...expected].slice(0, 3), TOLERANCE.kernel);
});

Deno.test("lhActivation() keeps the shape", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(6), [1, 2, 3]);
  assertEquals(lhActivation(host, { x }, { low: 0, high: 1 }).shape, [1, 2, 3]);
});

Deno.test("lhActivation() refuses wrong types, bounds and variants", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(4), [4]);
  assertThrows(
    () => lhActivation(host, { x: host.upload(new Int32Array(4), [4]) }, { low: 0, high: 1 }),
    DTypeError,
    "f32",
  );
  for (const [low, high] of [[0, 0], [1, 1], [-2, -1], [0, NaN], [-Infinity, 1]] as const) {
    assertThrows(() => lhActivation(host, { x }, { low, high }), RangeError, '"high"');
  }
  assertThrows(
    () => lhActivation(host, { x }, { low: 0, high: 1, variant: "wide" as "naive" }),
    RangeError,
    'no variant "wide"',
  );
});

Deno.test("the reference of lhActivation() agrees with elements worked out by hand", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([-1, 0.3, 1, 2]), [4]);
  const y = lhActivation(host, { x }, { low: 0.25, high: 1 }).data;
  const expected = [0.25, 0.3, Math.SQRT1_2 + 0.25, 2 / Math.sqrt(17) + 0.25];
  assertClose(y, expected, TOLERANCE.printed);
});

Deno.test("lhActivationFlops() and lhActivationBytes() count what it does", () => {
  assertEquals(lhActivationFlops(3), 30);
  assertEquals(lhActivationBytes(3), 24);
});
