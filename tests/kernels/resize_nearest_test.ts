import { assertEquals, assertThrows } from "@std/assert";
import {
  resizeNearest,
  resizeNearestBytes,
  resizeNearestFlops,
  resizeNearestGradient,
} from "../../kernels/resize_nearest/mod.ts";
import { resizeMaps, resizeMapsGradient } from "../../kernels/resize_nearest/reference.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { compareAll, noise64, random, SEED } from "./_pointwise.ts";

/** Whole and broken factors, larger and smaller, each axis by its own. */
const CASES = [
  { shape: [2, 3, 5, 4], size: [6, 10] },
  { shape: [1, 3, 5, 3], size: [7, 11] },
  { shape: [1, 8, 7, 4], size: [3, 7] },
  { shape: [3, 1, 1, 8], size: [5, 3] },
  { shape: [0, 2, 2, 4], size: [4, 4] },
] as const;

gpuTest("resizeNearest() and its gradient agree with the reference", async (context) => {
  await compareAll(
    context,
    CASES.map(({ shape, size }) => ({
      label: `[${shape}] to ${size}`,
      run: (ctx, how) => {
        const y = resizeNearest(ctx, { x: random(ctx, shape) }, { size, ...how });
        const dY = random(ctx, y.shape, { seed: 2 });
        return [y, resizeNearestGradient(ctx, { dY }, { size: [shape[1], shape[2]], ...how })];
      },
    })),
  );
});

gpuTest("resizeNearest() and its gradient write into out", ({ gpu }) => {
  const x = random(gpu, [1, 2, 2, 4]);
  const large = gpu.empty([1, 4, 4, 4]);
  const small = gpu.empty(x.shape);
  assertEquals(resizeNearest(gpu, { x }, { size: [4, 4], out: large }), large);
  assertEquals(resizeNearestGradient(gpu, { dY: large }, { size: [2, 2], out: small }), small);
});

Deno.test("the gradient of the reference of resizeNearest() is the derivative", () => {
  for (const size of [[4, 6], [5, 2]] as const) {
    const shape = { n: 2, height: 2, width: 3, channels: 2, size };
    checkGradient({
      forward: ([x]) => {
        const y = new Float64Array(4 * size[0] * size[1]);
        resizeMaps(x!, y, shape);
        return y;
      },
      backward: ([x], dY) => {
        const dX = new Float64Array(x!.length);
        resizeMapsGradient(dY, dX, shape);
        return [dX];
      },
      inputs: [noise64(24)],
      seed: SEED,
    });
  }
});

Deno.test("resizeNearest() rounds down", () => {
  using host = new Host();
  const x = host.upload(new Float32Array([0, 1, 2]), [1, 3, 1, 1]);
  const sized = (size: number) => [...resizeNearest(host, { x }, { size: [size, 1] }).data];
  assertEquals(sized(6), [0, 0, 1, 1, 2, 2]);
  assertEquals(sized(5), [0, 0, 1, 1, 2]);
  assertEquals(sized(2), [0, 1]);
});

Deno.test("resizeNearest() and its gradient refuse what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(4), [1, 2, 2, 1]);
  const whole = host.upload(new Int32Array(4), [1, 2, 2, 1]);
  assertThrows(
    () => resizeNearest(host, { x: x.reshape([4]) }, { size: [4, 4] }),
    ShapeError,
    '"x"',
  );
  assertThrows(() => resizeNearest(host, { x: whole }, { size: [4, 4] }), DTypeError, '"x"');
  assertThrows(() => resizeNearest(host, { x }, { size: [0, 4] }), RangeError, "0");
  assertThrows(() => resizeNearest(host, { x }, { size: [4, 4], out: x }), ShapeError, '"out"');
  const empty = host.upload(new Float32Array(0), [1, 0, 2, 1]);
  assertThrows(() => resizeNearest(host, { x: empty }, { size: [4, 4] }), RangeError, "0");
  assertThrows(() => resizeNearestGradient(host, { dY: x }, { size: [1, 0.5] }), RangeError, "0.5");
});

Deno.test("resizeNearestFlops() and resizeNearestBytes() count what a resizing does", () => {
  assertEquals(resizeNearestFlops([1, 4, 4, 3]), 48);
  assertEquals(resizeNearestBytes([1, 2, 2, 3], [4, 4]), 240);
});
