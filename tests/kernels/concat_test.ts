import { assertEquals, assertThrows } from "@std/assert";
import {
  concatBytes,
  concatChannels,
  concatFlops,
  sliceChannels,
} from "../../kernels/concat/mod.ts";
import { DTypeError, Host, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, random } from "./_pointwise.ts";

const POSITIONS = [[2, 3, 5], [1, 1, 1], [0, 3, 5]] as const;
const CHANNELS = [[4], [8, 4], [3, 4], [4, 3, 1], [12, 0, 4], [1, 2, 3, 4, 5, 6, 7]];

gpuTest("concatChannels() and sliceChannels() agree with the reference", async (context) => {
  await compareAll(
    context,
    POSITIONS.flatMap((position) =>
      CHANNELS.map((channels) => ({
        label: `channels ${channels} at [${position}]`,
        tolerance: TOLERANCE.exact,
        run: (ctx, how) => {
          const parts = channels.map((c, seed) => random(ctx, [...position, c], { seed }));
          const whole = concatChannels(ctx, { parts }, how);
          let end = 0;
          const back = channels.map((c) => {
            end += c;
            return sliceChannels(ctx, { x: whole }, { begin: end - c, end, ...how });
          });
          return [whole, ...back];
        },
      }))
    ),
  );
});

gpuTest(
  "sliceChannels() gives the parts of concatChannels() back, also into out",
  async ({ gpu }) => {
    const parts = [random(gpu, [2, 3, 3, 4]), random(gpu, [2, 3, 3, 2], { seed: 2 })];
    const joined = gpu.empty([2, 3, 3, 6]);
    assertEquals(concatChannels(gpu, { parts }, { out: joined }), joined);
    const out = gpu.empty([2, 3, 3, 2]);
    assertEquals(sliceChannels(gpu, { x: joined }, { begin: 4, end: 6, out }), out);
    const [expected, actual] = await gpu.read(parts[1]!, out);
    assertEquals(actual, expected);
  },
);

Deno.test("concatChannels() and sliceChannels() refuse what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(8), [1, 2, 2, 2]);
  const other = x.reshape([2, 2, 1, 2]);
  const whole = host.upload(new Int32Array(8), [1, 2, 2, 2]);
  assertThrows(() => concatChannels(host, { parts: [] }), RangeError, "no parts");
  assertThrows(() => concatChannels(host, { parts: [x, other] }), ShapeError, '"parts[1]"');
  assertThrows(() => concatChannels(host, { parts: [whole] }), DTypeError, '"parts[0]"');
  assertThrows(() => concatChannels(host, { parts: [x, x] }, { out: x }), ShapeError, '"out"');
  assertThrows(() => sliceChannels(host, { x }, { begin: 1, end: 3 }), RangeError, "1 to 3");
  assertThrows(() => sliceChannels(host, { x }, { begin: 2, end: 1 }), RangeError, "2 to 1");
  assertThrows(() => sliceChannels(host, { x: x.reshape([8]) }, { begin: 0, end: 1 }), ShapeError);
});

Deno.test("concatFlops() and concatBytes() count what a join does", () => {
  assertEquals(concatFlops(), 0);
  assertEquals(concatBytes([2, 3, 3, 4]), 576);
});
