import { assertEquals, assertThrows } from "@std/assert";
import { poolGeometry } from "../../kernels/pool2d/_geometry.ts";
import {
  averagePool2d,
  averagePool2dGradient,
  globalAveragePool,
  globalAveragePoolGradient,
  maxPool2d,
  maxPool2dGradient,
  pool2dBytes,
  pool2dFlops,
  pool2dShape,
  type PoolWindows,
} from "../../kernels/pool2d/mod.ts";
import {
  averagePool,
  averagePoolGradient,
  globalAverage,
  globalAverageGradient,
  maxPool,
  maxPoolGradient,
} from "../../kernels/pool2d/reference.ts";
import { DTypeError, Host, type Shape, ShapeError, sizeOf } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, noise64, random, SEED } from "./_pointwise.ts";

/** Windows that tile, overlap, leave gaps, lie in padding on one side, or reach over the end. */
const WINDOWS: readonly PoolWindows[] = [
  { kernel: 2 },
  { kernel: 3, stride: 2, padding: 1 },
  { kernel: 3, stride: 1, padding: [0, 2, 1, 0] },
  { kernel: [2, 3], stride: [3, 4], ceilMode: true },
  { kernel: 1, stride: 2 },
  { kernel: 3, stride: 2, padding: 1, ceilMode: true },
  { kernel: 5, stride: 1, padding: 3 },
];

/** Odd and prime sizes, not square, with and without groups of four channels, and no map at all. */
const SHAPES: readonly Shape[] = [[2, 7, 11, 4], [1, 5, 3, 3], [3, 4, 4, 8], [0, 4, 4, 4]];

const CASES = SHAPES.flatMap((shape) =>
  WINDOWS.map((windows) => ({ shape, windows, label: `${JSON.stringify(windows)} on [${shape}]` }))
);

gpuTest("maxPool2d() and its gradient agree with the reference", async (context) => {
  await compareAll(
    context,
    CASES.map(({ shape, windows, label }) => ({
      label,
      run: (ctx, how) => {
        const x = random(ctx, shape);
        const options = { ...windows, ...how };
        const outIndices = ctx.empty(pool2dShape(shape, windows), "u32");
        const y = maxPool2d(ctx, { x }, { ...options, outIndices });
        const dY = random(ctx, y.shape, { seed: 2 });
        return [
          y,
          maxPool2d(ctx, { x }, options),
          outIndices,
          maxPool2dGradient(ctx, { x, dY }, options),
          maxPool2dGradient(ctx, { x, dY, indices: outIndices }, options),
        ];
      },
    })),
  );
});

gpuTest("averagePool2d() and its gradient agree with the reference", async (context) => {
  await compareAll(
    context,
    CASES.flatMap(({ shape, windows, label }) =>
      [false, true].map((countIncludePad) => ({
        label: `${label}, padding counts: ${countIncludePad}`,
        run: (ctx, how) => {
          const x = random(ctx, shape);
          const options = { ...windows, ...how, countIncludePad };
          const y = averagePool2d(ctx, { x }, options);
          const dY = random(ctx, y.shape, { seed: 2 });
          const size = [shape[1]!, shape[2]!] as const;
          return [y, averagePool2dGradient(ctx, { dY }, { ...options, size })];
        },
      }))
    ),
  );
});

gpuTest("globalAveragePool() and its gradient agree with the reference", async (context) => {
  const shapes: readonly Shape[] = [...SHAPES, [1, 97, 101, 4], [2, 1, 1, 5], [5, 9, 13, 16]];
  await compareAll(
    context,
    shapes.map((shape) => ({
      label: `[${shape}]`,
      run: (ctx, how) => {
        const y = globalAveragePool(ctx, { x: random(ctx, shape) }, how);
        const dY = random(ctx, y.shape, { seed: 2 });
        const size = [shape[1]!, shape[2]!] as const;
        return [y, globalAveragePoolGradient(ctx, { dY }, { size, ...how })];
      },
    })),
  );
});

gpuTest("poolings write into out", ({ gpu }) => {
  const x = random(gpu, [1, 4, 4, 4]);
  const half = gpu.empty([1, 2, 2, 4]);
  const whole = gpu.empty(x.shape);
  const means = gpu.empty([1, 4]);
  assertEquals(maxPool2d(gpu, { x }, { kernel: 2, out: half }), half);
  assertEquals(averagePool2d(gpu, { x }, { kernel: 2, out: half }), half);
  assertEquals(maxPool2dGradient(gpu, { x, dY: half }, { kernel: 2, out: whole }), whole);
  const size = [4, 4] as const;
  assertEquals(averagePool2dGradient(gpu, { dY: half }, { kernel: 2, size, out: whole }), whole);
  assertEquals(globalAveragePool(gpu, { x }, { out: means }), means);
  assertEquals(globalAveragePoolGradient(gpu, { dY: means }, { size, out: whole }), whole);
});

gpuTest(
  "maxPool2dGradient() gives ties to the first maximum in row-major order",
  async (context) => {
    await compareAll(context, [{
      label: "a constant map",
      run: (ctx, how) => {
        const x = ctx.upload(new Float32Array(2 * 5 * 5 * 4).fill(-3), [2, 5, 5, 4]);
        const options = { kernel: 3, stride: 2, padding: 1, ...how };
        return [maxPool2dGradient(ctx, { x, dY: random(ctx, [2, 3, 3, 4]) }, options)];
      },
    }]);
    const { host } = context;
    const x = host.upload(new Float32Array(9), [1, 3, 3, 1]);
    const dY = host.upload(new Float32Array([1, 2, 4, 8]), [1, 2, 2, 1]);
    const dX = maxPool2dGradient(host, { x, dY }, { kernel: 2, stride: 1 });
    assertEquals([...dX.data], [1, 2, 0, 4, 8, 0, 0, 0, 0]);
  },
);

Deno.test("the references of the gradients are the derivatives", () => {
  const shape = [2, 5, 4, 2];
  for (const windows of WINDOWS) {
    const geometry = poolGeometry(shape, windows, "test");
    const results = () => new Float64Array(sizeOf(pool2dShape(shape, windows)));
    const inputs = [noise64(sizeOf(shape))];
    checkGradient({
      forward: ([x]) => {
        const y = results();
        maxPool(x!, { y }, geometry);
        return y;
      },
      backward: ([x], dY) => {
        const taps = new Uint32Array(dY.length);
        maxPool(x!, { taps }, geometry);
        const dX = new Float64Array(x!.length);
        maxPoolGradient({ taps, dY }, dX, geometry);
        return [dX];
      },
      inputs,
      seed: SEED,
    });
    for (const includePad of [false, true]) {
      checkGradient({
        forward: ([x]) => {
          const y = results();
          averagePool(x!, y, { ...geometry, includePad });
          return y;
        },
        backward: ([x], dY) => {
          const dX = new Float64Array(x!.length);
          averagePoolGradient(dY, dX, { ...geometry, includePad });
          return [dX];
        },
        inputs,
        seed: SEED,
      });
    }
  }
  const global = { positions: 20, channels: 2 };
  checkGradient({
    forward: ([x]) => {
      const y = new Float64Array(4);
      globalAverage(x!, y, global);
      return y;
    },
    backward: ([x], dY) => {
      const dX = new Float64Array(x!.length);
      globalAverageGradient(dY, dX, global);
      return [dX];
    },
    inputs: [noise64(sizeOf(shape))],
    seed: SEED,
  });
});

Deno.test("averagePool2d() counts padding as told", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([4, 8, 12, 16]), [1, 2, 2, 1]);
  const windows = { kernel: 2, stride: 2, padding: 1 };
  const means = (countIncludePad: boolean) =>
    averagePool2d(host, { x }, { ...windows, countIncludePad }).data;
  assertClose(means(false), [4, 8, 12, 16], TOLERANCE.exact);
  assertClose(means(true), [1, 2, 3, 4], TOLERANCE.exact);
});

Deno.test("pool2dShape() rounds as PyTorch does", () => {
  const shape = (length: number, windows: PoolWindows) =>
    pool2dShape([1, length, 9, 1], windows)[1];
  assertEquals(shape(5, { kernel: 2 }), 2);
  assertEquals(shape(5, { kernel: 2, ceilMode: true }), 3);
  // The last window would begin in the padding.
  assertEquals(shape(4, { kernel: 2, stride: 3, padding: 1, ceilMode: true }), 2);
  assertEquals(shape(1, { kernel: 3, stride: 2, padding: 1, ceilMode: true }), 1);
});

Deno.test("poolings refuse what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(32), [2, 4, 4, 1]);
  const flat = x.reshape([32]);
  const whole = host.upload(new Int32Array(8), [2, 2, 2, 1]);
  assertThrows(() => maxPool2d(host, { x: flat }, { kernel: 2 }), ShapeError, '"x"');
  assertThrows(() => maxPool2d(host, { x }, { kernel: 5 }), ShapeError, "5 x 5");
  assertThrows(() => maxPool2d(host, { x }, { kernel: 0 }), RangeError, "kernel");
  assertThrows(() => maxPool2d(host, { x }, { kernel: 2, stride: 0.5 }), RangeError, "stride");
  assertThrows(() => maxPool2d(host, { x }, { kernel: 2, padding: 2 }), RangeError, "padding");
  assertThrows(() => maxPool2d(host, { x }, { kernel: 200 }), RangeError, "taps");
  assertThrows(
    () => maxPool2d(host, { x }, { kernel: 2, outIndices: whole }),
    DTypeError,
    '"outIndices"',
  );
  assertThrows(() => maxPool2dGradient(host, { x, dY: x }, { kernel: 2 }), ShapeError, '"dY"');
  assertThrows(
    () => averagePool2dGradient(host, { dY: x }, { kernel: 2, size: [4, 4] }),
    ShapeError,
    '"dY"',
  );
  assertThrows(() => averagePool2d(host, { x }, { kernel: 2, out: x }), ShapeError, '"out"');
  const empty = host.upload(new Float32Array(0), [2, 0, 4, 1]);
  assertThrows(() => globalAveragePool(host, { x: empty }), ShapeError, "H W >= 1");
  assertThrows(() => globalAveragePoolGradient(host, { dY: x }, { size: [1, 1] }), ShapeError);
});

Deno.test("pool2dFlops() and pool2dBytes() count what a pooling does", () => {
  assertEquals(pool2dFlops([2, 5, 5, 3], { kernel: 2 }), 96);
  assertEquals(pool2dBytes([2, 5, 5, 3], { kernel: 2 }), 696);
});
