/**
 * Pooling that can be differentiated.
 *
 * @module
 */

import {
  averagePool2d as averagePoolKernel,
  averagePool2dGradient,
  type AveragePool2dOptions,
  globalAveragePool as globalAveragePoolKernel,
  globalAveragePoolGradient,
  maxPool2d as maxPoolKernel,
  maxPool2dGradient,
  type MaxPool2dOptions,
} from "../../kernels/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/**
 * The largest element of each window; the gradient goes to the first one.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @param options The window.
 * @returns f32 [N, OH, OW, C].
 *
 * @example One window
 * ```ts
 * import { maxPool2d, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 4, 2, 3]), [1, 2, 2, 1]));
 * assertEquals([...maxPool2d(new Tape(host), x, { kernel: [2, 2] }).value.data], [4]);
 * ```
 */
export function maxPool2d(tape: Tape, x: Variable, options: MaxPool2dOptions): Variable {
  const output = maxPoolKernel(tape.ctx, { x: x.value }, options);
  return tape.operation({
    inputs: [x],
    output,
    backward: (dY, gradients) => {
      const inputs = { x: x.value, y: output, dY };
      gradients.send(x, maxPool2dGradient(gradients.ctx, inputs, options));
    },
  });
}

/**
 * The mean of each window.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @param options The window.
 * @returns f32 [N, OH, OW, C].
 *
 * @example One window
 * ```ts
 * import { averagePool2d, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 4, 2, 1]), [1, 2, 2, 1]));
 * assertEquals([...averagePool2d(new Tape(host), x, { kernel: [2, 2] }).value.data], [2]);
 * ```
 */
export function averagePool2d(tape: Tape, x: Variable, options: AveragePool2dOptions): Variable {
  const [, height, width] = x.shape;
  const size = [height!, width!] as const;
  return tape.operation({
    inputs: [x],
    output: averagePoolKernel(tape.ctx, { x: x.value }, options),
    backward: (dY, gradients) => {
      gradients.send(x, averagePool2dGradient(gradients.ctx, { dY }, { ...options, size }));
    },
  });
}

/**
 * The mean of each channel over the map.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @returns f32 [N, C].
 *
 * @example Two pixels
 * ```ts
 * import { globalAveragePool, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 5]), [1, 1, 2, 1]));
 * assertEquals([...globalAveragePool(new Tape(host), x).value.data], [3]);
 * ```
 */
export function globalAveragePool(tape: Tape, x: Variable): Variable {
  const [, height, width] = x.shape;
  const size = [height!, width!] as const;
  return tape.operation({
    inputs: [x],
    output: globalAveragePoolKernel(tape.ctx, { x: x.value }),
    backward: (dY, gradients) => {
      gradients.send(x, globalAveragePoolGradient(gradients.ctx, { dY }, { size }));
    },
  });
}
