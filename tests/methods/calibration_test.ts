import { assert, assertEquals, assertThrows } from "@std/assert";
import { Rng } from "../../kernels/random/mod.ts";
import { calibrate, pValue } from "../../methods/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const SEED = 9;

Deno.test("calibrate() accepts at least the wished share, and no score less", () => {
  const rng = new Rng(SEED);
  const scores = Float32Array.from({ length: 997 }, () => rng.normal());
  for (const acceptance of [0.5, 0.8, 0.95, 0.99, 1]) {
    const { threshold, accepted } = calibrate(scores, { acceptance });
    const passing = scores.filter((score) => score >= threshold).length;
    assertEquals(accepted, passing / 997);
    assert(accepted >= acceptance, `seed ${SEED}`);
    assert(passing - 1 < acceptance * 997, `seed ${SEED}`);
  }
});

Deno.test("calibrate() does not lose an image to the rounding of a product", () => {
  const scores = Float32Array.from({ length: 20 }, (_, i) => i);
  assertEquals(calibrate(scores).threshold, 1);
  assertEquals(calibrate(scores, { acceptance: 0.9 }).threshold, 2);
});

Deno.test("calibrate() gives the Clopper-Pearson interval of what it accepts", () => {
  const scores = Float32Array.from({ length: 100 }, (_, i) => i);
  const { interval, count, accepted } = calibrate(scores);
  assertEquals([count, accepted], [100, 0.95]);
  assertClose(interval, [0.8871650888945373, 0.9835681208179478], TOLERANCE.printed);
});

Deno.test("calibrate() takes ties together", () => {
  const { threshold, accepted } = calibrate(new Float32Array(10).fill(1));
  assertEquals([threshold, accepted], [1, 1]);
});

Deno.test("calibrate() refuses no scores, NaN and a share out of range", () => {
  assertThrows(() => calibrate([]), UserError, "there are no scores");
  assertThrows(() => calibrate([1, NaN]), UserError, "NaN");
  for (const acceptance of [0, 1.1, NaN]) {
    assertThrows(() => calibrate([1], { acceptance }), UserError, `accept ${acceptance}`);
  }
});

Deno.test("pValue() counts the calibration images that score no higher", () => {
  const calibration = calibrate(Float32Array.from([3, 1, 2, 2]));
  assertEquals([0, 1, 2, 2.5, 9].map((score) => pValue(calibration, score)), [
    1 / 5,
    2 / 5,
    4 / 5,
    4 / 5,
    1,
  ]);
});

Deno.test("calibrate() thins a very large set and keeps its p-values", () => {
  const scores = Float32Array.from({ length: 250_000 }, (_, i) => i);
  const calibration = calibrate(scores);
  assertEquals(calibration.scores.length, 100_000);
  assertClose([pValue(calibration, 25_000)], [0.1], TOLERANCE.thinned);
});
