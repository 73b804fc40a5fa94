import { assertEquals, assertThrows } from "@std/assert";
import {
  permuteBytes,
  permuteFlops,
  toChannelsFirst,
  toChannelsLast,
} from "../../kernels/permute/mod.ts";
import { DTypeError, Host, type Shape, ShapeError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { noise, random } from "./_pointwise.ts";

/** Channels and positions that are multiples of four or of tiles, and that are not; none; many maps. */
const SHAPES: readonly Shape[] = [
  [0, 3, 4, 4],
  [1, 1, 1, 1],
  [2, 3, 5, 7],
  [2, 3, 4, 5],
  [3, 64, 8, 8],
  [1, 33, 7, 9],
  [2, 66, 3, 43],
  [1, 8, 5, 5],
  [70_000, 2, 1, 3],
];

gpuTest(
  "toChannelsLast() and toChannelsFirst() agree with the reference",
  async ({ gpu, host }) => {
    for (const shape of SHAPES) {
      using scope = gpu.scope();
      const data = noise(shape.reduce((product, length) => product * length, 1));
      const [n, c, h, w] = shape as [number, number, number, number];
      const last = toChannelsLast(host, { x: host.upload(data, shape) });
      assertEquals(last.shape, [n, h, w, c]);
      for (const variant of ["naive", "register", "tiled"] as const) {
        const there = toChannelsLast(scope, { x: scope.upload(data, shape) }, { variant });
        const [y, back] = await scope.read(
          there,
          toChannelsFirst(scope, { x: there }, { variant }),
        );
        assertEquals(y, last.data, `${variant} to channels last [${shape}]`);
        assertEquals(back, data, `${variant} and back [${shape}]`);
      }
    }
  },
);

gpuTest("toChannelsLast() and toChannelsFirst() write into out, and refuse variants", ({ gpu }) => {
  const x = random(gpu, [1, 3, 2, 2]);
  const out = gpu.empty([1, 2, 2, 3]);
  assertEquals(toChannelsLast(gpu, { x }, { out }), out);
  const first = gpu.empty(x.shape);
  assertEquals(toChannelsFirst(gpu, { x: out }, { out: first }), first);
  assertThrows(
    () => toChannelsLast(gpu, { x }, { variant: "wide" as "naive" }),
    RangeError,
    "wide",
  );
});

Deno.test("toChannelsLast() and toChannelsFirst() refuse what does not fit", () => {
  using host = new Host();
  const x = host.upload(new Float32Array(12), [1, 3, 2, 2]);
  const whole = host.upload(new Int32Array(12), [1, 3, 2, 2]);
  assertThrows(() => toChannelsLast(host, { x: x.reshape([12]) }), ShapeError, '"x"');
  assertThrows(() => toChannelsLast(host, { x: whole }), DTypeError, '"x"');
  assertThrows(() => toChannelsFirst(host, { x }, { out: x }), ShapeError, '"out"');
});

Deno.test("permuteFlops() and permuteBytes() count what a change of layout does", () => {
  assertEquals(permuteFlops(), 0);
  assertEquals(permuteBytes([2, 3, 2, 2]), 192);
});
