import { assertEquals, assertThrows } from "@std/assert";
import { signStep, signStepBytes, signStepFlops } from "../../kernels/sign_step/mod.ts";
import { DTypeError, Host, type Shape, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, random } from "./_pointwise.ts";

/** None, one channel, three over lengths that leave a rest, two, five, and multiples of four. */
const SHAPES: readonly Shape[] = [
  [0, 3, 3, 3],
  [0],
  [2, 5, 5, 1],
  [1, 1, 1, 3],
  [1, 5, 7, 3],
  [2, 4, 4, 3],
  [1, 3, 3, 2],
  [1, 3, 3, 6],
  [2, 3, 7, 5],
  [3, 8, 8, 4],
  [2, 3, 3, 8],
];

const stepsOf = (shape: Shape) => Array.from({ length: shape.at(-1)! }, (_, c) => 0.5 + c);

gpuTest("signStep() agrees with the reference", async (context) => {
  await compareAll(
    context,
    SHAPES.map((shape) => ({
      label: `[${shape}]`,
      tolerance: TOLERANCE.kernel,
      run: (ctx, how) => {
        const inputs = { x: random(ctx, shape), gradient: random(ctx, shape, { seed: 2 }) };
        return [signStep(ctx, inputs, { step: stepsOf(shape), ...how })];
      },
    })),
  );
});

gpuTest(
  "signStep() counts zeros as positive, and tiny gradients by their sign",
  async ({ gpu, host }) => {
    for (const ctx of [gpu, host]) {
      const x = ctx.upload(new Float32Array(8), [2, 4]);
      const values = [0, -0, 1e-30, -1e-30, 3e38, -3e38, NaN, -1];
      const gradient = ctx.upload(new Float32Array(values), [2, 4]);
      const [moved] = await ctx.read(signStep(ctx, { x, gradient }, { step: [1, 2, 3, 4] }));
      assertEquals([...moved!], [-1, -2, -3, 4, -1, 2, -3, 4]);
    }
  },
);

gpuTest("signStep() writes into out", async ({ gpu }) => {
  const x = gpu.upload(new Float32Array([1, 2, 3]), [1, 3]);
  const out = gpu.empty([1, 3]);
  assertEquals(signStep(gpu, { x, gradient: x }, { step: [1, 1, 0], out }), out);
  assertEquals([...(await gpu.read(out))[0]!], [0, 1, 3]);
});

Deno.test("signStep() refuses what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(6), [2, 3]);
  const whole = host.upload(new Int32Array(6), [2, 3]);
  const step = [1, 1, 1];
  assertThrows(() => signStep(host, { x, gradient: whole }, { step }), DTypeError, '"gradient"');
  assertThrows(
    () => signStep(host, { x, gradient: x.reshape([6]) }, { step }),
    ShapeError,
    '"gradient"',
  );
  const scalar = host.upload(new Float32Array(1), []);
  assertThrows(() => signStep(host, { x: scalar, gradient: scalar }, { step }), ShapeError, "[]");
  assertThrows(() => signStep(host, { x, gradient: x }, { step: [1, 1] }), RangeError, "step");
  assertThrows(
    () => signStep(host, { x, gradient: x }, { step: [1, NaN, 1] }),
    RangeError,
    "[1, NaN, 1]",
  );
  assertThrows(
    () => signStep(host, { x, gradient: x }, { step, out: scalar }),
    ShapeError,
    '"out"',
  );
});

Deno.test("signStepFlops() and signStepBytes() count what a step does", () => {
  assertEquals(signStepFlops([2, 3]), 12);
  assertEquals(signStepBytes([2, 3]), 72);
});
