/**
 * Whether a backward function is the derivative of its forward function: central differences in
 * float64, on the host alone.
 *
 * A random cotangent stands for the gradient that comes in. The plain sum of the outputs would hide
 * errors: it is constant for a softmax, and for a normalisation nearly so.
 *
 * @module
 */

import { Rng } from "../../kernels/random/rng.ts";
import { assertClose, TOLERANCE, type Tolerance } from "./tolerance.ts";

/** A function, its derivative, and where to compare them. */
export interface GradientCheck {
  /** The function; must not change its inputs. */
  readonly forward: (inputs: Float64Array[]) => Float64Array;
  /** Its gradients, one for each input, for the gradient `dY` of its output. */
  readonly backward: (inputs: Float64Array[], dY: Float64Array) => Float64Array[];
  /** The point, away from kinks by more than {@linkcode STEPS}; it is left as it was. */
  readonly inputs: readonly Float64Array[];
  /** Seed of the cotangent. */
  readonly seed: number;
  /** How near the gradients must come, `gradient` by default. */
  readonly tolerance?: Tolerance;
  /** Elements of each input that are moved, spread evenly; all by default. */
  readonly samples?: number;
}

/** Steps of the two stencils relative to max(1, |x|): each where its two errors balance. */
export const STEPS = { twoPoint: 5e-6, fourPoint: 1e-3 } as const;

/**
 * Compares a backward function with a 2-point and a 4-point central difference.
 *
 * @throws {Error} When a gradient differs, or has another length than its input.
 */
export function checkGradient(check: GradientCheck): void {
  const { forward, backward, seed, tolerance = TOLERANCE.gradient } = check;
  const inputs = check.inputs.map((input) => input.slice());
  const rng = new Rng(seed);
  const dY = Float64Array.from(forward(inputs), () => 2 * rng.uniform() - 1);
  const gradients = backward(inputs, dY);
  inputs.forEach((input, position) => {
    const gradient = gradients[position];
    if (gradient?.length !== input.length) {
      throw new Error(
        `The gradient of input ${position} has ${gradient?.length} elements, not ${input.length}`,
      );
    }
    const count = Math.min(input.length, check.samples ?? Infinity);
    const chosen = Array.from({ length: count }, (_, i) => Math.floor(i * input.length / count));
    // Differences output by output, so that what did not move cancels exactly.
    const slope = (index: number, step: number) => {
      const at = input[index]!;
      const [high, low] = [at + step, at - step].map((value) => {
        input[index] = value;
        return forward(inputs);
      });
      input[index] = at;
      // The step as it came out of rounding.
      const width = (at + step) - (at - step);
      return dY.reduce((sum, weight, i) => sum + weight * (high![i]! - low![i]!), 0) / width;
    };
    const stencils = {
      "2-point": (index: number, scale: number) => slope(index, STEPS.twoPoint * scale),
      "4-point": (index: number, scale: number) =>
        (4 * slope(index, STEPS.fourPoint * scale) - slope(index, 2 * STEPS.fourPoint * scale)) / 3,
    };
    const actual = chosen.map((index) => gradient[index]!);
    for (const [name, stencil] of Object.entries(stencils)) {
      const expected = chosen.map((index) => stencil(index, Math.max(1, Math.abs(input[index]!))));
      const label = `gradient of input ${position} against ${name} differences (seed ${seed})`;
      assertClose(actual, expected, tolerance, label);
    }
  });
}
