/**
 * Operations on single elements that can be differentiated.
 *
 * @module
 */

import {
  activation as activationKernel,
  activationGradient,
  type ActivationOptions,
  add as addKernel,
  addChannels as addChannelsKernel,
  addChannelsGradient,
  dropout as dropoutKernel,
  type DropoutOptions,
  mul as mulKernel,
  mulGradient,
  scale as scaleKernel,
} from "../../kernels/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/**
 * ReLU, GELU, sigmoid, SiLU or a clip.
 *
 * @param tape The tape.
 * @param x Any shape.
 * @param options Which one, and its bounds.
 * @returns A variable of the same shape.
 *
 * @example ReLU
 * ```ts
 * import { activation, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([-1, 2]), [2]));
 * assertEquals([...activation(new Tape(host), x, { kind: "relu" }).value.data], [0, 2]);
 * ```
 */
export function activation(tape: Tape, x: Variable, options: ActivationOptions): Variable {
  const output = activationKernel(tape.ctx, { x: x.value }, options);
  return tape.operation({
    inputs: [x],
    output,
    backward: (dY, gradients) => {
      const inputs = { x: x.value, y: output, dY };
      gradients.send(x, activationGradient(gradients.ctx, inputs, options));
    },
  });
}

/**
 * The sum of two variables of one shape.
 *
 * @param tape The tape.
 * @param a One.
 * @param b The other.
 * @param options A ReLU in the same kernel.
 * @returns a + b.
 * @throws {ShapeError} When the shapes differ.
 *
 * @example A residual
 * ```ts
 * import { add, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = new Variable(host.upload(new Float32Array([1, -5]), [2]));
 * const b = new Variable(host.upload(new Float32Array([2, 3]), [2]));
 * assertEquals([...add(new Tape(host), a, b, { activation: "relu" }).value.data], [3, 0]);
 * ```
 */
export function add(
  tape: Tape,
  a: Variable,
  b: Variable,
  options: { readonly activation?: "none" | "relu" } = {},
): Variable {
  const output = addKernel(tape.ctx, { a: a.value, b: b.value }, options);
  return tape.operation({
    inputs: [a, b],
    output,
    backward: (gradient, gradients) => {
      if (options.activation !== "relu") {
        gradients.send(a, gradient);
        gradients.send(b, gradient);
        return;
      }
      const inputs = { y: output, dY: gradient };
      const dY = activationGradient(gradients.ctx, inputs, { kind: "relu" });
      gradients.sendShared([a, b], dY);
    },
  });
}

/**
 * A map plus one number for each image and channel, such as the embedding of a time step.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @param v f32 [N, C].
 * @returns f32 [N, H, W, C].
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example Two pixels of one channel
 * ```ts
 * import { addChannels, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2]), [1, 1, 2, 1]));
 * const v = new Variable(host.upload(new Float32Array([10]), [1, 1]));
 * assertEquals([...addChannels(new Tape(host), x, v).value.data], [11, 12]);
 * ```
 */
export function addChannels(tape: Tape, x: Variable, v: Variable): Variable {
  return tape.operation({
    inputs: [x, v],
    output: addChannelsKernel(tape.ctx, { x: x.value, v: v.value }),
    backward: (dY, gradients) => {
      gradients.send(x, dY);
      if (gradients.wants(v)) gradients.send(v, addChannelsGradient(gradients.ctx, { dY }));
    },
  });
}

/**
 * The product of two variables of one shape, or of a map and one factor per image and channel.
 *
 * @param tape The tape.
 * @param a f32 of any shape.
 * @param b f32 of the same shape, or [N, 1, 1, C] beside [N, H, W, C].
 * @returns a * b.
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example A square
 * ```ts
 * import { mul, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([-3, 2]), [2]));
 * assertEquals([...mul(new Tape(host), x, x).value.data], [9, 4]);
 * ```
 */
export function mul(tape: Tape, a: Variable, b: Variable): Variable {
  const inputs = { a: a.value, b: b.value };
  return tape.operation({
    inputs: [a, b],
    output: mulKernel(tape.ctx, inputs),
    backward: (dY, gradients) => {
      const { dA, dB } = mulGradient(gradients.ctx, { ...inputs, dY });
      gradients.send(a, dA);
      gradients.send(b, dB);
    },
  });
}

/**
 * Zeroes a random share of the elements and scales the rest so that the mean stays.
 *
 * @param tape The tape.
 * @param x Any shape.
 * @param options The rate, and the seed, a scalar when each step shall draw anew.
 * @returns A variable of the same shape.
 *
 * @example Rate 0 changes nothing
 * ```ts
 * import { dropout, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2]), [2]));
 * assertEquals([...dropout(new Tape(host), x, { rate: 0, seed: 1 }).value.data], [1, 2]);
 * ```
 */
export function dropout(tape: Tape, x: Variable, options: DropoutOptions): Variable {
  return tape.operation({
    inputs: [x],
    output: dropoutKernel(tape.ctx, { x: x.value }, options),
    backward: (dY, gradients) => {
      gradients.send(x, dropoutKernel(gradients.ctx, { x: dY }, options));
    },
  });
}

/**
 * A multiple of a variable.
 *
 * @param tape The tape.
 * @param x Any shape.
 * @param options The factor.
 * @returns factor * x.
 *
 * @example Half
 * ```ts
 * import { scale, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2]), [2]));
 * assertEquals([...scale(new Tape(host), x, { factor: 0.5 }).value.data], [0.5, 1]);
 * ```
 */
export function scale(tape: Tape, x: Variable, { factor }: { readonly factor: number }): Variable {
  return tape.operation({
    inputs: [x],
    output: scaleKernel(tape.ctx, { x: x.value }, { factor }),
    backward: (dY, gradients) => {
      gradients.send(x, scaleKernel(gradients.ctx, { x: dY }, { factor }));
    },
  });
}
