import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  randomBits,
  randomBytes,
  randomFlops,
  randomNormal,
  type RandomSource,
  randomUniform,
  Rng,
} from "../../kernels/mod.ts";
import { Host, sizeOf } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SHAPES = [[0], [1], [2], [3], [5], [64, 4], [257, 3], [2, 3, 5, 7], [70_001]];

const SOURCES: readonly RandomSource[] = [
  { seed: 0 },
  { seed: 1, stream: 2, offset: 1 },
  { seed: 2 ** 53 - 1, stream: 2 ** 32 - 1, offset: 7 },
  // The index of the block passes 2^32 within the array.
  { seed: 5, offset: 4 * (2 ** 32 - 1) + 2 },
];

gpuTest("randomBits() and randomUniform() give the host's bits", async ({ gpu, host }) => {
  for (const shape of SHAPES) {
    for (const source of SOURCES) {
      const about = `${shape} ${JSON.stringify(source)}`;
      const [bits, uniform] = await gpu.read(
        randomBits(gpu, shape, source),
        randomUniform(gpu, shape, source),
      );
      assertEquals(bits, randomBits(host, shape, source).data, about);
      assertEquals(uniform, randomUniform(host, shape, source).data, about);
    }
  }
});

gpuTest("randomNormal() agrees with the host within f32 rounding", async ({ gpu, host }) => {
  for (const shape of SHAPES) {
    for (const source of SOURCES) {
      const [normal] = await gpu.read(randomNormal(gpu, shape, source));
      const expected = randomNormal(host, shape, source);
      assertClose(normal!, expected.data, TOLERANCE.kernel, `${shape} ${JSON.stringify(source)}`);
    }
  }
});

gpuTest("randomNormal() has the moments of the normal law", async ({ gpu }) => {
  const seed = 21;
  const n = 200_000;
  const [values] = await gpu.read(randomNormal(gpu, [n], { seed }));
  let sum = 0;
  let squares = 0;
  for (const value of values!) {
    sum += value;
    squares += value * value;
  }
  assert(Math.abs(sum / n) < 6 / Math.sqrt(n), `seed ${seed}: mean ${sum / n}`);
  assert(Math.abs(squares / n - 1) < 6 * Math.sqrt(2 / n), `seed ${seed}: ${squares / n}`);
});

gpuTest("randomUniform() is the same in parts as in one piece", async ({ gpu }) => {
  const source = { seed: 3, stream: 1 };
  const parts = [[0, 5], [5, 2], [7, 94]].map(([offset, size]) =>
    randomUniform(gpu, [size!], { ...source, offset: offset! })
  );
  const [whole, ...read] = await gpu.read(randomUniform(gpu, [101], source), ...parts);
  assertEquals(read.flatMap((part) => [...part]), [...whole!]);
});

Deno.test("randomUniform() and randomNormal() give the numbers of an Rng on the host", () => {
  using host = new Host();
  const source = { seed: 9, stream: 4 };
  const uniform = new Rng(9, 4);
  const normal = new Rng(9, 4);
  assertEquals(
    [...randomUniform(host, [9], source).data],
    Array.from({ length: 9 }, () => uniform.uniform()),
  );
  assertEquals(
    [...randomNormal(host, [9], source).data],
    Array.from({ length: 9 }, () => Math.fround(normal.normal())),
  );
});

Deno.test("randomNormal() at an odd offset begins with the second of a pair", () => {
  using host = new Host();
  const whole = randomNormal(host, [8], { seed: 2 });
  const part = randomNormal(host, [4], { seed: 2, offset: 3 });
  assertEquals(part.data, whole.data.slice(3, 7));
});

Deno.test("randomBits() refuses a seed, stream or offset out of range", () => {
  using host = new Host();
  const make = (source: RandomSource) => () => randomBits(host, [1], source);
  assertThrows(make({ seed: -1 }), RangeError, "seed must be");
  assertThrows(make({ seed: 0, stream: 2 ** 32 }), RangeError, "stream must be");
  assertThrows(make({ seed: 0, offset: 0.5 }), RangeError, "offset must be");
});

Deno.test("randomFlops() and randomBytes() grow with the array", () => {
  assertEquals(randomFlops(5), 2 * randomFlops(1));
  assertEquals(randomBytes(sizeOf([3, 5])), 60);
});
