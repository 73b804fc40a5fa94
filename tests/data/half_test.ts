import { assert, assertEquals } from "@std/assert";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../data/half.ts";
import { Rng } from "../../kernels/random/rng.ts";

Deno.test("f16ToF32() gives the values of IEEE 754 half precision", () => {
  const bits = new Uint16Array([
    0,
    0x8000,
    1,
    0x3ff,
    0x400,
    0x3c00,
    0xc000,
    0x7bff,
    0x7c00,
    0x7e00,
  ]);
  const values = [0, -0, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 1, -2, 65504, Infinity, NaN];
  assertEquals([...f16ToF32(bits)], values);
});

Deno.test("f32ToF16() gives every half back", () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const back = f32ToF16(f16ToF32(bits));
  for (let i = 0; i < 65536; i++) {
    const isNaN = (i & 0x7fff) > 0x7c00;
    assert(isNaN ? (back[i]! & 0x7fff) > 0x7c00 : back[i] === i, `${i} became ${back[i]}`);
  }
});

Deno.test("f32ToF16() rounds to the nearest half, ties to even", () => {
  const cases: [number, number][] = [
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [1 + 2 ** -11 + 2 ** -20, 0x3c01],
    [65519, 0x7bff],
    [65520, 0x7c00],
    [2 ** -25, 0],
    [2 ** -25 * 1.001, 1],
    [3 * 2 ** -25, 2],
    [1023.5 * 2 ** -24, 0x400],
    [-1e-30, 0x8000],
  ];
  const bits = f32ToF16(new Float32Array(cases.map(([value]) => value)));
  assertEquals([...bits], cases.map(([, half]) => half));
});

Deno.test("f32ToF16() is never further off than a neighbouring half", () => {
  const seed = 3;
  const rng = new Rng(seed);
  const values = Float32Array.from(
    { length: 5000 },
    () => rng.normal() * 10 ** (rng.integer(9) - 6),
  );
  const bits = f32ToF16(values);
  const near = f16ToF32(bits);
  const down = f16ToF32(bits.map((b) => (b & 0x7fff) === 0 ? b : b - 1));
  const up = f16ToF32(bits.map((b) => b + 1));
  for (const [i, value] of values.entries()) {
    const error = Math.abs(near[i]! - value);
    assert(error <= Math.abs(down[i]! - value), `seed ${seed}: ${value}`);
    assert(error <= Math.abs(up[i]! - value), `seed ${seed}: ${value}`);
  }
});

Deno.test("f32ToBf16() rounds to the nearest, ties to even, and keeps NaN", () => {
  const values = new Float32Array([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -Infinity, NaN, 3.4e38]);
  const bits = f32ToBf16(values);
  assertEquals([...bits].slice(0, 4), [0x3f80, 0x3f80, 0x3f82, 0xff80]);
  assert(Number.isNaN(bf16ToF32(bits)[4]!));
  assertEquals(bf16ToF32(bits)[5], Infinity);
  assertEquals([...bf16ToF32(new Uint16Array([0x4049, 0x0001]))], [3.140625, 2 ** -133]);
});
