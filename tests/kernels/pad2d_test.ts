import { assertEquals, assertThrows } from "@std/assert";
import {
  pad2d,
  pad2dBytes,
  pad2dFlops,
  pad2dGradient,
  type Sides,
} from "../../kernels/pad2d/mod.ts";
import { frameMaps } from "../../kernels/pad2d/reference.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, noise64, random, SEED } from "./_pointwise.ts";

const SHAPES = [[2, 3, 5, 4], [1, 7, 2, 3], [0, 2, 2, 4], [1, 0, 3, 4]] as const;
const SIDES: readonly Sides[] = [[1, 1, 1, 1], [0, 2, 3, 0], [5, 0, 0, 1], [0, 0, 0, 0]];

gpuTest("pad2d() and its gradient agree with the reference", async (context) => {
  await compareAll(
    context,
    SHAPES.flatMap((shape) =>
      SIDES.map((padding) => ({
        label: `[${shape}] by ${padding}`,
        tolerance: TOLERANCE.exact,
        run: (ctx, how) => {
          const x = random(ctx, shape);
          const y = pad2d(ctx, { x }, { padding, value: -2.5, ...how });
          return [y, pad2dGradient(ctx, { dY: random(ctx, y.shape) }, { padding, ...how })];
        },
      }))
    ),
  );
});

gpuTest("pad2d() and its gradient write into out, and undo each other", async ({ gpu }) => {
  const x = random(gpu, [1, 3, 3, 4]);
  const padding: Sides = [1, 0, 2, 3];
  const [large, small] = [gpu.empty([1, 6, 6, 4]), gpu.empty(x.shape)];
  assertEquals(pad2d(gpu, { x }, { padding, out: large }), large);
  assertEquals(pad2dGradient(gpu, { dY: large }, { padding, out: small }), small);
  const [before, after] = await gpu.read(x, small);
  assertEquals(after, before);
});

Deno.test("the gradient of pad2d() is the derivative of its reference", () => {
  const maps = { n: 2, height: 2, width: 3, channels: 2 };
  const size = [5, 4] as const;
  checkGradient({
    forward: ([x]) => {
      const y = new Float64Array(80);
      frameMaps(x!, y, { ...maps, size, origin: [2, 1], value: 3 });
      return y;
    },
    backward: ([x], dY) => {
      const dX = new Float64Array(x!.length);
      const large = { ...maps, height: 5, width: 4 };
      frameMaps(dY, dX, { ...large, size: [2, 3], origin: [-2, -1], value: 0 });
      return [dX];
    },
    inputs: [noise64(24)],
    seed: SEED,
  });
});

Deno.test("pad2d() and its gradient refuse what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(4), [1, 2, 2, 1]);
  const whole = host.upload(new Int32Array(4), [1, 2, 2, 1]);
  const padding: Sides = [1, 1, 1, 1];
  assertThrows(() => pad2d(host, { x: x.reshape([4]) }, { padding }), ShapeError, '"x"');
  assertThrows(() => pad2d(host, { x: whole }, { padding }), DTypeError, '"x"');
  assertThrows(() => pad2d(host, { x }, { padding: [0, 0, 0, -1] }), RangeError, "padding");
  assertThrows(() => pad2d(host, { x }, { padding, value: NaN }), RangeError, "value");
  assertThrows(() => pad2d(host, { x }, { padding, out: x }), ShapeError, '"out"');
  assertThrows(
    () => pad2dGradient(host, { dY: x }, { padding: [2, 0, 1, 0] }),
    RangeError,
    "2 x 2",
  );
});

Deno.test("pad2dFlops() and pad2dBytes() count what a border does", () => {
  assertEquals(pad2dFlops(), 0);
  assertEquals(pad2dBytes([2, 2, 2, 3], [1, 0, 0, 1]), 312);
});
