import { assertEquals, assertThrows } from "@std/assert";
import { COLUMN_VARIANTS } from "../../kernels/column_reduce/mod.ts";
import {
  repeatRows,
  repeatRowsBytes,
  repeatRowsFlops,
  repeatRowsGradient,
} from "../../kernels/repeat_rows/mod.ts";
import {
  repeatRowsGradientReference,
  repeatRowsReference,
} from "../../kernels/repeat_rows/reference.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, noise64, random, SEED } from "./_pointwise.ts";

const CASES = [
  { shape: [0, 4], times: 3 },
  { shape: [2, 0], times: 3 },
  { shape: [3, 4], times: 0 },
  { shape: [1, 1], times: 1 },
  { shape: [3, 5], times: 7 },
  { shape: [2, 6], times: 8 },
  { shape: [5, 12], times: 9 },
  { shape: [20, 64], times: 33 },
  { shape: [1, 4], times: 1001 },
] as const;

gpuTest("repeatRows() gives the reference's bits", async (context) => {
  await compareAll(
    context,
    CASES.map(({ shape, times }) => ({
      label: `[${shape}] ${times} times`,
      tolerance: TOLERANCE.exact,
      run: (ctx, how) => [repeatRows(ctx, { x: random(ctx, shape) }, { times, ...how })],
    })),
  );
});

gpuTest("repeatRowsGradient() agrees with the reference", async ({ gpu, host }) => {
  for (const { shape: [rows, columns], times } of CASES.filter(({ times }) => times > 0)) {
    using scope = gpu.scope();
    const shape = [times * rows, columns];
    const expected = repeatRowsGradient(host, { dY: random(host, shape) }, { times });
    const dY = random(scope, shape);
    for (const variant of COLUMN_VARIANTS) {
      const run = () => repeatRowsGradient(scope, { dY }, { times, variant });
      const [first, second] = await scope.read(run(), run());
      const label = `${variant}, [${shape}] of ${times}`;
      assertClose(first!, expected.data, TOLERANCE.kernel, label);
      assertEquals(second, first, `the second run of ${label}`);
    }
  }
});

gpuTest("repeatRows() and its gradient write where they are told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const x = ctx.upload(new Float32Array([1, 2, 3, 4]), [2, 2]);
    const [y, dX] = [ctx.empty([6, 2]), ctx.empty([2, 2])];
    assertEquals(repeatRows(ctx, { x }, { times: 3, out: y }), y);
    assertEquals(repeatRowsGradient(ctx, { dY: y }, { times: 3, out: dX }), dX);
    const [repeats, gradient] = await ctx.read(y, dX);
    assertEquals([...repeats!], [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
    assertEquals([...gradient!], [3, 6, 9, 12]);
  }
});

Deno.test("the gradient of the reference of repeatRows() is the derivative", () => {
  checkGradient({
    forward: ([x]) => {
      const y = new Float64Array(5 * 6);
      repeatRowsReference(x!, y);
      return y;
    },
    backward: (_, dY) => {
      const dX = new Float64Array(6);
      repeatRowsGradientReference(dY, dX);
      return [dX];
    },
    inputs: [noise64(6)],
    seed: SEED,
  });
});

Deno.test("repeatRows() and its gradient refuse what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(6), [3, 2]);
  const whole = host.upload(new Int32Array(6), [3, 2]);
  assertThrows(() => repeatRows(host, { x: x.reshape([6]) }, { times: 1 }), ShapeError, '"x"');
  assertThrows(() => repeatRows(host, { x: whole }, { times: 1 }), DTypeError, '"x"');
  assertThrows(() => repeatRows(host, { x }, { times: 1.5 }), RangeError, "times");
  assertThrows(() => repeatRows(host, { x }, { times: 2, out: x }), ShapeError, '"out"');
  assertThrows(() => repeatRowsGradient(host, { dY: whole }, { times: 1 }), DTypeError, '"dY"');
  assertThrows(() => repeatRowsGradient(host, { dY: x }, { times: 2 }), ShapeError, '"dY"');
  assertThrows(() => repeatRowsGradient(host, { dY: x }, { times: 0 }), RangeError, "times");
  assertThrows(() => repeatRowsGradient(host, { dY: x }, { times: -1 }), RangeError, "times");
  assertThrows(
    () => repeatRowsGradient(host, { dY: x }, { times: 3, out: x }),
    ShapeError,
    '"out"',
  );
});

gpuTest("repeatRows() and its gradient refuse variants that do not exist", ({ gpu }) => {
  const x = gpu.empty([2, 2]);
  const variant = "fast" as "naive";
  assertThrows(() => repeatRows(gpu, { x }, { times: 2, variant }), RangeError, '"fast"');
  assertThrows(
    () => repeatRowsGradient(gpu, { dY: x }, { times: 2, variant }),
    RangeError,
    '"fast"',
  );
});

Deno.test("repeatRowsFlops() and repeatRowsBytes() count what repeats do", () => {
  const shape = { rows: 3, columns: 5, times: 4 };
  assertEquals(repeatRowsFlops(shape), 60);
  assertEquals(repeatRowsBytes(shape), 300);
});
