import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  addChannels,
  addChannelsBytes,
  addChannelsFlops,
  addChannelsGradient,
} from "../../kernels/add_channels/mod.ts";
import {
  addChannelsGradientReference,
  addChannelsReference,
} from "../../kernels/add_channels/reference.ts";
import { DTypeError, Host, type Shape, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, noise64, random, SEED } from "./_pointwise.ts";

/** Maps: none, without positions, one position, odd, many positions, many channels. */
const MAPS: readonly Shape[] = [
  [0, 3, 3, 4],
  [2, 0, 5, 4],
  [3, 1, 1, 4],
  [3, 3, 5, 7],
  [1, 97, 101, 4],
  [3, 5, 3, 48],
];

gpuTest("addChannels() and its gradient agree with the reference", async (context) => {
  await compareAll(
    context,
    MAPS.map((shape) => ({
      label: `[${shape}]`,
      tolerance: TOLERANCE.longSum,
      run: (ctx, how) => {
        const x = random(ctx, shape);
        const v = random(ctx, [shape[0]!, shape[3]!], { seed: 2 });
        const dY = random(ctx, shape, { seed: 3 });
        return [addChannels(ctx, { x, v }, how), addChannelsGradient(ctx, { dY }, how)];
      },
    })),
  );
});

gpuTest("addChannels() and its gradient write into out", ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const x = random(ctx, [2, 3, 3, 4]);
    const v = random(ctx, [2, 4]);
    const [out, outV] = [ctx.empty(x.shape), ctx.empty(v.shape)];
    assert(addChannels(ctx, { x, v }, { out }) === out);
    assert(addChannelsGradient(ctx, { dY: x }, { out: outV }) === outV);
  }
});

Deno.test("the reference of addChannelsGradient() is the derivative", () => {
  const sizes = { positions: 4, channels: 3 };
  checkGradient({
    forward: ([x, v]) => {
      const y = new Float64Array(24);
      addChannelsReference({ x: x!, v: v! }, y, sizes);
      return y;
    },
    backward: (_, dY) => {
      const dV = new Float64Array(6);
      addChannelsGradientReference(dY, dV, sizes);
      return [dY, dV];
    },
    inputs: [noise64(24), noise64(6, { seed: 2 })],
    seed: SEED,
  });
});

Deno.test("addChannels() and its gradient refuse what does not fit", () => {
  using host = new Host();
  const x = host.empty([2, 1, 2, 3]);
  const v = host.empty([2, 3]);
  assertThrows(() => addChannels(host, { x: v, v }), ShapeError, '"x"');
  assertThrows(() => addChannels(host, { x, v: host.empty([3, 2]) }), ShapeError, '"v"');
  assertThrows(() => addChannels(host, { x, v: host.empty([2, 3], "i32") }), DTypeError, '"v"');
  assertThrows(() => addChannels(host, { x, v }, { out: v }), ShapeError, '"out"');
  assertThrows(() => addChannelsGradient(host, { dY: v }), ShapeError, '"dY"');
  assertThrows(() => addChannelsGradient(host, { dY: x }, { out: x }), ShapeError, '"out"');
});

gpuTest("addChannels() refuses a variant that does not exist", ({ gpu }) => {
  const variant = "fast" as "naive";
  const inputs = { x: gpu.empty([1, 1, 1, 4]), v: gpu.empty([1, 4]) };
  assertThrows(() => addChannels(gpu, inputs, { variant }), RangeError, '"fast"');
});

Deno.test("addChannelsFlops() and addChannelsBytes() count what a sum does", () => {
  assertEquals(addChannelsFlops([2, 3, 3, 4]), 72);
  assertEquals(addChannelsBytes([2, 3, 3, 4]), 608);
});
