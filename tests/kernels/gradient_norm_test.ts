import { assertEquals, assertThrows } from "@std/assert";
import {
  gradientNorm,
  gradientNormBytes,
  gradientNormFlops,
} from "../../kernels/gradient_norm/mod.ts";
import type { Tensor, TypedArray } from "../../runtime/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest, type GpuTestContext } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { LAYOUTS, uniform } from "./_rows.ts";

const SHAPES = [
  { rows: 0, channels: 4, classes: 4 },
  { rows: 1, channels: 1, classes: 1 },
  { rows: 5, channels: 4, classes: 3 },
  { rows: 7, channels: 17, classes: 10 },
  { rows: 64, channels: 64, classes: 100 },
  { rows: 65, channels: 255, classes: 37 },
  { rows: 17, channels: 31, classes: 1000 },
  { rows: 3, channels: 2048, classes: 4097 },
  { rows: 65_537, channels: 3, classes: 2 },
] as const;

/** Runs every layout twice; the second run must give the bits of the first. */
async function sweep(
  { gpu, host }: GpuTestContext,
  shapes: readonly { rows: number; channels: number; classes: number }[],
  logitsOf = (shape: readonly [number, number]) => uniform(shape, { low: -6, high: 9, seed: 5 }),
): Promise<void> {
  const pending: { label: string; expected: TypedArray; runs: [Tensor, Tensor] }[] = [];
  using scope = gpu.scope();
  for (const { rows, channels, classes } of shapes) {
    const [x, z] = [uniform([rows, channels]), logitsOf([rows, classes])];
    const on = (ctx: typeof gpu | typeof host) => ({
      features: ctx.upload(x, [rows, channels]),
      logits: ctx.upload(z, [rows, classes]),
    });
    const { data: expected } = gradientNorm(host, on(host));
    const inputs = on(scope);
    for (const layout of LAYOUTS) {
      const label = `${JSON.stringify(layout)} on ${rows} x ${channels} + ${classes}`;
      const run = () => gradientNorm(scope, inputs, layout);
      pending.push({ label, expected, runs: [run(), run()] });
    }
  }
  const results = await scope.read(...pending.flatMap(({ runs }) => runs));
  pending.forEach(({ label, expected }, i) => {
    assertClose(results[2 * i]!, expected, TOLERANCE.kernel, label);
    assertClose(results[2 * i + 1]!, results[2 * i]!, TOLERANCE.exact, `second run of ${label}`);
  });
}

gpuTest("gradientNorm() agrees with the reference in every layout", async (context) => {
  await sweep(context, SHAPES);
});

gpuTest("gradientNorm() holds for equal and for extreme logits", async (context) => {
  const shapes = [{ rows: 5, channels: 8, classes: 16 }, { rows: 6, channels: 9, classes: 33 }];
  for (const factor of [0, 1e4, 1e30]) {
    await sweep(context, shapes, (shape) => uniform(shape).map((value) => factor * value));
  }
});

gpuTest("gradientNorm() reaches the end of few very long rows", async ({ gpu, host }) => {
  const shape = [2, 100_001] as const;
  const data = uniform(shape);
  const at = (ctx: typeof gpu | typeof host) => {
    const x = ctx.upload(data, shape);
    return { features: x, logits: x };
  };
  const expected = gradientNorm(host, at(host)).data;
  const [actual] = await gpu.read(gradientNorm(gpu, at(gpu)));
  assertClose(actual!, expected, TOLERANCE.kernel);
});

Deno.test("gradientNorm() is the sum of magnitudes of a gradient taken by differences", () => {
  using host = new Host();
  const [x, weight] = [[0.5, -2, 1], [0.3, -0.2, 0.9, -0.4, 0.1, 0.6]];
  const loss = (w: readonly number[]) => {
    const z = [0, 1].map((k) => x.reduce((sum, value, c) => sum + w[3 * k + c]! * value, 0));
    const mass = Math.log(z.reduce((sum, value) => sum + Math.exp(value), 0));
    return z.reduce((sum, value) => sum + mass - value, 0);
  };
  const step = 1e-6;
  const expected = weight.reduce((sum, _, i) => {
    const moved = (by: number) => loss(weight.map((value, j) => j === i ? value + by : value));
    return sum + Math.abs(moved(step) - moved(-step)) / (2 * step);
  }, 0);
  const z = [0, 1].map((k) => x.reduce((sum, value, c) => sum + weight[3 * k + c]! * value, 0));
  const features = host.upload(new Float32Array(x), [1, 3]);
  const logits = host.upload(new Float32Array(z), [1, 2]);
  assertClose(gradientNorm(host, { features, logits }).data, [expected], TOLERANCE.kernel);
});

Deno.test("gradientNorm() refuses wrong shapes and types", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(4), [2, 2]);
  const inputs = { features: x, logits: x };
  assertThrows(() => gradientNorm(host, { ...inputs, features: x.reshape([4]) }), ShapeError);
  assertThrows(() => gradientNorm(host, { ...inputs, logits: x.reshape([1, 4]) }), ShapeError);
  const empty = host.upload(new Float32Array(0), [2, 0]);
  assertThrows(
    () => gradientNorm(host, { ...inputs, logits: empty }),
    ShapeError,
    "at least one column",
  );
  const whole = host.upload(new Uint32Array(4), [2, 2]);
  assertThrows(() => gradientNorm(host, { ...inputs, logits: whole }), DTypeError, "f32");
});

Deno.test("gradientNormFlops() and gradientNormBytes() count what it does", () => {
  assertEquals(gradientNormFlops({ rows: 3, channels: 5, classes: 2 }), 69);
  assertEquals(gradientNormBytes({ rows: 3, channels: 5, classes: 2 }), 96);
});
