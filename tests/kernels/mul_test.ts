import { assertEquals, assertThrows } from "@std/assert";
import { mul, mulBytes, mulFlops, mulGradient } from "../../kernels/mul/mod.ts";
import { multiply, secondFactorGradient, type Spread } from "../../kernels/mul/reference.ts";
import { DTypeError, Host, type Shape, ShapeError } from "../../runtime/mod.ts";
import { checkGradient } from "../_support/gradcheck.ts";
import { gpuTest } from "../_support/gpu.ts";
import { TOLERANCE } from "../_support/tolerance.ts";
import { compareAll, FLAT_SHAPES, noise64, random, SEED } from "./_pointwise.ts";

/** Maps: none, without positions, one position, odd, many positions of few channels, many channels. */
const MAPS: readonly Shape[] = [
  [0, 3, 3, 4],
  [2, 0, 5, 4],
  [2, 1, 1, 4],
  [2, 3, 5, 7],
  [1, 97, 101, 4],
  [3, 2, 3, 64],
];

const gate = ([n, , , c]: Shape): Shape => [n!, 1, 1, c!];

gpuTest("mul() and mulGradient() agree with the reference", async (context) => {
  const pairs = [
    ...FLAT_SHAPES.map((shape) => [shape, shape] as const),
    ...MAPS.map((shape) => [shape, gate(shape)] as const),
  ];
  await compareAll(
    context,
    pairs.map(([shape, second]) => ({
      label: `[${shape}] by [${second}]`,
      tolerance: TOLERANCE.longSum,
      run: (ctx, how) => {
        const a = random(ctx, shape);
        const b = random(ctx, second, { seed: 2 });
        const dY = random(ctx, shape, { seed: 3 });
        const { dA, dB } = mulGradient(ctx, { a, b, dY }, how);
        return [mul(ctx, { a, b }, how), dA, dB];
      },
    })),
  );
});

gpuTest("mul() and mulGradient() write into out", ({ gpu }) => {
  const a = random(gpu, [2, 3, 3, 4]);
  const b = random(gpu, [2, 1, 1, 4]);
  const [out, outA] = [gpu.empty(a.shape), gpu.empty(a.shape)];
  const outB = gpu.empty(b.shape);
  assertEquals(mul(gpu, { a, b }, { out }), out);
  const { dA, dB } = mulGradient(gpu, { a, b, dY: a }, { outA, outB });
  assertEquals([dA === outA, dB === outB], [true, true]);
});

Deno.test("the references of mulGradient() are the derivatives", () => {
  const spreads: { sizes: [number, number]; spread: Spread }[] = [
    { sizes: [12, 12], spread: { plane: 12, channels: 12 } },
    { sizes: [24, 6], spread: { plane: 12, channels: 3 } },
  ];
  for (const { sizes, spread } of spreads) {
    checkGradient({
      forward: ([a, b]) => {
        const y = new Float64Array(a!.length);
        multiply({ a: a!, b: b! }, y, spread);
        return y;
      },
      backward: ([a, b], dY) => {
        const dA = new Float64Array(a!.length);
        const dB = new Float64Array(b!.length);
        multiply({ a: dY, b: b! }, dA, spread);
        secondFactorGradient({ a: a!, dY }, dB, spread);
        return [dA, dB];
      },
      inputs: [noise64(sizes[0]), noise64(sizes[1], { seed: 2 })],
      seed: SEED,
    });
  }
});

Deno.test("mul() and mulGradient() refuse what does not fit", () => {
  using host = new Host();
  const a = host.upload(new Float32Array(8), [2, 1, 2, 2]);
  const b = host.upload(new Float32Array(2), [1, 1, 1, 2]);
  const whole = host.upload(new Int32Array(8), [2, 1, 2, 2]);
  assertThrows(() => mul(host, { a, b }), ShapeError, "[2, 1, 2, 2] or [2, 1, 1, 2]");
  assertThrows(() => mul(host, { a: a.reshape([8]), b }), ShapeError, "[8]");
  assertThrows(() => mul(host, { a, b: whole }), DTypeError, '"b"');
  assertThrows(() => mul(host, { a, b: a }, { out: b }), ShapeError, '"out"');
  assertThrows(() => mulGradient(host, { a, b: a, dY: b }), ShapeError, '"dY"');
  assertThrows(() => mulGradient(host, { a, b: a, dY: a }, { outB: b }), ShapeError, '"outB"');
});

Deno.test("mulFlops() and mulBytes() count what a product does", () => {
  assertEquals(mulFlops([2, 3]), 6);
  assertEquals(mulBytes([2, 3, 3, 4], [2, 1, 1, 4]), 608);
});
