import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  augment,
  augmentBytes,
  augmentFlops,
  type AugmentOptions,
} from "../../kernels/augment/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import { type Context, DTypeError, Host, ShapeError, type Tensor } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 41;

const SPECS = [
  { channels: "RGB", range: 1, mean: [0.485, 0.456, 0.406], scale: [0.229, 0.224, 0.225] },
  { channels: "BGR", range: 255, mean: [103.9, 116.8, 123.7], scale: [1, 2, 3] },
] as const;

/** Images, height, width. */
const SIZES = [
  [0, 4, 4],
  [1, 1, 1],
  [3, 1, 3],
  [1, 3, 4],
  [5, 7, 5],
  [4, 8, 8],
  [7, 5, 12],
  [9, 32, 32],
] as const;

function run(
  ctx: Context,
  [images, height, width]: readonly [number, number, number],
  options: Pick<AugmentOptions, "spec" | "variant" | "out">,
): Tensor {
  const rng = new Rng(SEED);
  const words = Math.ceil(images * height * width * 3 / 4);
  const pixels = Uint32Array.from({ length: words }, () => rng.integer(2 ** 32));
  // Shifts also beyond the image.
  const draws = Int32Array.from(
    { length: 3 * images },
    (_, i) => i % 3 === 2 ? rng.integer(2) : rng.integer(2 * height + 3) - height - 1,
  );
  return augment(ctx, {
    pixels: ctx.upload(pixels, [words]),
    draws: ctx.upload(draws, [images, 3]),
  }, { height, width, ...options });
}

gpuTest("augment() agrees with the reference at every size", async ({ gpu, host }) => {
  for (const size of SIZES) {
    for (const spec of SPECS) {
      const expected = run(host, size, { spec });
      for (const variant of ["naive", "quads"] as const) {
        if (variant === "quads" && size[2] % 4 !== 0) continue;
        const label = `${variant}, ${spec.channels} on ${size} (seed ${SEED})`;
        const runs = [1, 2].map(() => run(gpu, size, { spec, variant }));
        const [actual, again] = await gpu.read(...runs);
        assertEquals(runs[0]!.shape, expected.shape);
        assertClose(actual!, expected.data, TOLERANCE.kernel, label);
        assertEquals(again, actual, `second run of ${label}`);
      }
    }
  }
});

gpuTest("augment() writes where it is told", async ({ gpu, host }) => {
  for (const ctx of [gpu, host]) {
    const out = ctx.empty([4, 8, 8, 3]);
    assert(run(ctx, [4, 8, 8], { spec: SPECS[0], out }) === out);
    await ctx.read(out);
  }
});

Deno.test("the reference of augment() shifts, then mirrors, over black", () => {
  using host = new Host();
  // Two rows of three grey pixels: 1 2 3 / 4 5 6.
  const bytes = new Uint8Array(20);
  [1, 2, 3, 4, 5, 6].forEach((value, i) => bytes.fill(value, 3 * i, 3 * i + 3));
  const pixels = host.upload(new Uint32Array(bytes.buffer), [5]);
  const spec = { channels: "RGB", range: 255, mean: [0, 0, 0], scale: [1, 1, 1] } as const;
  const shown = (draw: number[]) => {
    const draws = host.upload(new Int32Array(draw), [1, 3]);
    const x = augment(host, { pixels, draws }, { height: 2, width: 3, spec });
    return [...x.data].filter((_, i) => i % 3 === 0);
  };
  assertEquals(shown([0, 0, 0]), [1, 2, 3, 4, 5, 6]);
  assertEquals(shown([0, 0, 1]), [3, 2, 1, 6, 5, 4]);
  assertEquals(shown([1, 0, 0]), [4, 5, 6, 0, 0, 0]);
  assertEquals(shown([0, -1, 0]), [0, 1, 2, 0, 4, 5]);
  assertEquals(shown([-1, 1, 1]), [0, 0, 0, 0, 3, 2]);
});

Deno.test("augment() refuses wrong shapes, types and sizes", () => {
  using host = new Host();
  const pixels = host.empty([3], "u32");
  const draws = host.empty([1, 3], "i32");
  const options = { height: 2, width: 2, spec: SPECS[0] };
  assertThrows(() => augment(host, { pixels, draws: pixels }, options), DTypeError, '"draws"');
  assertThrows(
    () => augment(host, { pixels, draws: draws.reshape([3]) }, options),
    ShapeError,
    '"draws"',
  );
  assertThrows(
    () => augment(host, { pixels: host.empty([3]), draws }, options),
    DTypeError,
    '"pixels"',
  );
  assertThrows(
    () => augment(host, { pixels, draws }, { ...options, width: 3 }),
    ShapeError,
    '"pixels"',
  );
  assertThrows(
    () => augment(host, { pixels, draws }, { ...options, height: 0 }),
    RangeError,
    '"height"',
  );
  assertThrows(
    () => augment(host, { pixels, draws }, { ...options, out: host.empty([1, 2, 2, 1]) }),
    ShapeError,
    '"out"',
  );
});

gpuTest("augment() refuses a variant that does not take the width", ({ gpu }) => {
  const options = { spec: SPECS[0], variant: "quads" } as const;
  assertThrows(() => run(gpu, [1, 2, 3], options), RangeError, "whole fours");
});

Deno.test("augmentFlops() and augmentBytes() count what an augmentation does", () => {
  assertEquals(augmentFlops({ images: 2, height: 3, width: 4 }), 144);
  assertEquals(augmentBytes({ images: 2, height: 3, width: 4 }), 360);
});
