/**
 * Values that a tape follows.
 *
 * @module
 */

import type { Tensor } from "../runtime/mod.ts";

/**
 * A tensor in a computation that may be differentiated.
 *
 * @example A constant
 * ```ts
 * import { Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2]), [2]));
 * assertEquals(x.needsGradient, false);
 * ```
 */
export class Variable {
  /** The value. */
  readonly value: Tensor;
  /** Whether a gradient flows to it. */
  readonly needsGradient: boolean;
  /** Where its gradient is written, for parameters; else the tape allocates. */
  readonly gradient: Tensor | undefined;

  /**
   * Makes a variable.
   *
   * @param value The value.
   * @param options Whether a gradient flows to it, and where it is written.
   */
  constructor(
    value: Tensor,
    options: { readonly needsGradient?: boolean; readonly gradient?: Tensor | undefined } = {},
  ) {
    this.value = value;
    this.gradient = options.gradient;
    this.needsGradient = options.needsGradient ?? options.gradient !== undefined;
  }

  /** The value's shape. */
  get shape(): readonly number[] {
    return this.value.shape;
  }
}
