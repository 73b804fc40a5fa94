/**
 * Numbers that change between two runs of the same recorded work.
 *
 * @module
 */

/**
 * A number that a replayed step reads afresh each time, such as the learning rate or the number of
 * the step. Everything else that reached a kernel while it was recorded is frozen.
 *
 * @example A rate that decays
 * ```ts
 * import { Scalar, scalarValue } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const rate = new Scalar(0.1);
 * rate.value *= 0.1;
 * assertEquals(scalarValue(rate).toFixed(2), "0.01");
 * assertEquals(scalarValue(3), 3);
 * ```
 */
export class Scalar {
  /** The current value. */
  value: number;

  /**
   * Makes a scalar.
   *
   * @param value Its first value.
   */
  constructor(value: number) {
    this.value = value;
  }
}

/**
 * The current value of a number or a scalar, for code that runs on the host.
 *
 * @param value Either.
 * @returns The number.
 *
 * @example Either
 * ```ts
 * import { Scalar, scalarValue } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(scalarValue(2) + scalarValue(new Scalar(3)), 5);
 * ```
 */
export function scalarValue(value: number | Scalar): number {
  return typeof value === "number" ? value : value.value;
}
