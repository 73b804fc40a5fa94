import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { SYNTHETIC_KINDS, syntheticImage, syntheticSet } from "../../data/synthetic.ts";

const SIZE = { width: 32, height: 24 };
const SEED = 7;

function moments(data: ArrayLike<number>): { mean: number; deviation: number } {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < data.length; i++) {
    sum += data[i]!;
    squares += data[i]! ** 2;
  }
  const mean = sum / data.length;
  return { mean, deviation: Math.sqrt(squares / data.length - mean * mean) };
}

/** Mean difference of neighbours in a row, over the deviation: 1.13 for independent normals. */
function roughness(data: ArrayLike<number>): number {
  let sum = 0;
  let count = 0;
  for (let y = 0; y < SIZE.height; y++) {
    for (let i = 3; i < 3 * SIZE.width; i++) {
      const at = 3 * SIZE.width * y + i;
      sum += Math.abs(data[at]! - data[at - 3]!);
      count++;
    }
  }
  return sum / count / moments(data).deviation;
}

Deno.test("syntheticImage() gives the same bytes for the same seed and others for others", () => {
  for (const kind of SYNTHETIC_KINDS) {
    const image = syntheticImage({ kind, ...SIZE, seed: SEED, index: 3 });
    assertEquals(image.data.length, 3 * 32 * 24);
    assertEquals(syntheticImage({ kind, ...SIZE, seed: SEED, index: 3 }), image, kind);
    assertNotEquals(syntheticImage({ kind, ...SIZE, seed: SEED, index: 4 }).data, image.data, kind);
    assertNotEquals(syntheticImage({ kind, ...SIZE, seed: SEED + 1, index: 3 }).data, image.data);
  }
});

Deno.test("syntheticImage() draws pictures with contrast, never a flat one", () => {
  for (const kind of SYNTHETIC_KINDS) {
    for (let index = 0; index < 40; index++) {
      const { data } = syntheticImage({ kind, ...SIZE, seed: SEED, index });
      const { deviation } = moments(data);
      assert(deviation > 10, `seed ${SEED}: ${kind} ${index} has deviation ${deviation}`);
    }
  }
});

Deno.test("syntheticImage() makes noise of the stated moments", () => {
  const size = { width: 128, height: 128 };
  const uniform = moments(syntheticImage({ kind: "uniform", ...size, seed: SEED, index: 0 }).data);
  assert(Math.abs(uniform.mean - 127.5) < 2, `seed ${SEED}: ${uniform.mean}`);
  assert(Math.abs(uniform.deviation - 73.9) < 1.5, `seed ${SEED}: ${uniform.deviation}`);
  const gaussian = moments(
    syntheticImage({ kind: "gaussian", ...size, seed: SEED, index: 0 }).data,
  );
  assert(Math.abs(gaussian.mean - 127.5) < 2, `seed ${SEED}: ${gaussian.mean}`);
  // Clamping at two deviations takes a little away from 64.
  assert(gaussian.deviation > 58 && gaussian.deviation < 64, `seed ${SEED}: ${gaussian.deviation}`);
});

Deno.test("syntheticImage() makes blobs and gradients smoother than noise", () => {
  const of = (kind: (typeof SYNTHETIC_KINDS)[number]) =>
    roughness(syntheticImage({ kind, ...SIZE, seed: SEED, index: 1 }).data);
  const noise = of("uniform");
  assert(noise > 0.9, `seed ${SEED}: ${noise}`);
  for (const kind of ["blobs", "gradient"] as const) {
    assert(of(kind) < noise / 2, `seed ${SEED}: ${kind} ${of(kind)}`);
  }
});

Deno.test("syntheticImage() draws images of one pixel, and refuses none", () => {
  for (const kind of SYNTHETIC_KINDS) {
    const image = syntheticImage({ kind, width: 1, height: 1, seed: SEED, index: 0 });
    assertEquals(image.data.length, 3);
  }
  assertThrows(
    () => syntheticImage({ kind: "uniform", width: 0, height: 1, seed: 1, index: 0 }),
    RangeError,
  );
});

Deno.test("syntheticSet() takes turns among the families", () => {
  const set = syntheticSet(9, { ...SIZE, seed: SEED });
  assertEquals(set.names.map((name) => name.split("/")[0]), [
    ...SYNTHETIC_KINDS,
    "uniform",
    "gaussian",
  ]);
  const kind = SYNTHETIC_KINDS[3]!;
  assertEquals(set.item(3).image, syntheticImage({ kind, ...SIZE, seed: SEED, index: 3 }));
  assertThrows(() => syntheticSet(1, { ...SIZE, seed: SEED, kinds: [] }), RangeError);
});
