import { assertThrows } from "@std/assert";
import { checkGradient } from "./gradcheck.ts";

function softmax([x]: Float64Array[]): Float64Array {
  const powers = x!.map(Math.exp);
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

function softmaxGradient(inputs: Float64Array[], dY: Float64Array): Float64Array[] {
  const y = softmax(inputs);
  const mean = y.reduce((sum, value, i) => sum + value * dY[i]!, 0);
  return [y.map((value, i) => value * (dY[i]! - mean))];
}

const inputs = [new Float64Array([0.3, -2, 5, 0.1])];

Deno.test("checkGradient() accepts a derivative", () => {
  checkGradient({ forward: softmax, backward: softmaxGradient, inputs, seed: 1 });
  checkGradient({
    forward: ([a, b]) => a!.map((value, i) => value * value * Math.sin(b![i]!)),
    backward: ([a, b], dY) => [
      dY.map((d, i) => 2 * d * a![i]! * Math.sin(b![i]!)),
      dY.map((d, i) => d * a![i]! ** 2 * Math.cos(b![i]!)),
    ],
    inputs: [new Float64Array([1, -3, 700]), new Float64Array([0.2, 1, 2])],
    seed: 2,
  });
});

Deno.test("checkGradient() refuses what a plain sum of the outputs would hide", () => {
  const backward = (_: Float64Array[], dY: Float64Array) => [dY.map(() => 0)];
  assertThrows(
    () => checkGradient({ forward: softmax, backward, inputs, seed: 1 }),
    Error,
    "gradient of input 0 against 2-point differences",
  );
});

Deno.test("checkGradient() refuses a small error and a missing gradient", () => {
  const nearly = (at: Float64Array[], dY: Float64Array) =>
    softmaxGradient(at, dY).map((gradient) => gradient.map((value) => value * (1 + 1e-5)));
  assertThrows(() => checkGradient({ forward: softmax, backward: nearly, inputs, seed: 1 }));
  assertThrows(
    () => checkGradient({ forward: softmax, backward: () => [], inputs, seed: 1 }),
    Error,
    "The gradient of input 0 has undefined elements, not 4",
  );
});
