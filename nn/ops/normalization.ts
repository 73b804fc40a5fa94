/**
 * Normalisation of rows, and of maps by groups, that can be differentiated.
 *
 * @module
 */

import {
  groupNorm as groupNormKernel,
  type GroupNormActivation,
  groupNormGradient,
  l2Normalize as l2NormalizeKernel,
  l2NormalizeGradient,
  layerNorm as layerNormKernel,
  layerNormGradient,
} from "../../kernels/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/** What {@linkcode layerNorm} learns. */
export interface LayerNormParameters {
  /** f32 [C]. */
  readonly weight: Variable;
  /** f32 [C]. */
  readonly bias: Variable;
}

/**
 * Layer normalisation of rows.
 *
 * @param tape The tape.
 * @param x f32 [rows, C].
 * @param parameters Weight and bias.
 * @param options Epsilon, 1e-5 by default.
 * @returns f32 [rows, C].
 *
 * @example One row
 * ```ts
 * import { layerNorm, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const of = (...values: number[]) => new Variable(host.upload(new Float32Array(values), [2]));
 * const x = new Variable(host.upload(new Float32Array([1, 3]), [1, 2]));
 * const y = layerNorm(new Tape(host), x, { weight: of(1, 1), bias: of(0, 5) }, { epsilon: 3 });
 * assertEquals([...y.value.data], [-0.5, 5.5]);
 * ```
 */
export function layerNorm(
  tape: Tape,
  x: Variable,
  parameters: LayerNormParameters,
  options: { readonly epsilon?: number } = {},
): Variable {
  const { weight, bias } = parameters;
  const inputs = { x: x.value, weight: weight.value };
  return tape.operation({
    inputs: [x, weight, bias],
    output: layerNormKernel(tape.ctx, { ...inputs, bias: bias.value }, options),
    backward: (dY, gradients) => {
      const outWeight = gradients.out(weight);
      const outBias = gradients.out(bias);
      const made = layerNormGradient(gradients.ctx, { ...inputs, dY }, {
        ...options,
        ...(outWeight === undefined ? {} : { outWeight }),
        ...(outBias === undefined ? {} : { outBias }),
      });
      gradients.send(x, made.dX);
      if (made.dWeight !== undefined) gradients.send(weight, made.dWeight);
      if (made.dBias !== undefined) gradients.send(bias, made.dBias);
    },
  });
}

/**
 * Rows divided by their L2 norms.
 *
 * @param tape The tape.
 * @param x f32 [rows, C].
 * @returns f32 [rows, C].
 *
 * @example One row
 * ```ts
 * import { l2Normalize, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([3, 4]), [1, 2]));
 * assertAlmostEquals(l2Normalize(new Tape(host), x).value.data[0]!, 0.6, 1e-6);
 * ```
 */
export function l2Normalize(tape: Tape, x: Variable): Variable {
  return tape.operation({
    inputs: [x],
    output: l2NormalizeKernel(tape.ctx, { x: x.value }),
    backward: (dY, gradients) => {
      const out = gradients.out(x);
      const made = l2NormalizeGradient(
        gradients.ctx,
        { x: x.value, dY },
        out === undefined ? {} : { out },
      );
      gradients.send(x, made);
    },
  });
}

/** What {@linkcode groupNorm} learns. */
export interface GroupNormParameters {
  /** f32 [C]. */
  readonly weight: Variable;
  /** f32 [C]. */
  readonly bias: Variable;
}

/** Options of {@linkcode groupNorm}. */
export interface GroupNormOptions {
  /** Groups of channels, a divisor of their number. */
  readonly groups: number;
  /** Added to the variance; 1e-5 by default. */
  readonly epsilon?: number;
  /** Applied in the same kernel; none by default. */
  readonly activation?: GroupNormActivation;
}

/**
 * Group normalisation of maps.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @param parameters Weight and bias.
 * @param options Groups, epsilon, activation.
 * @returns f32 [N, H, W, C].
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {RangeError} When the groups do not divide the channels.
 *
 * @example One group of two channels
 * ```ts
 * import { groupNorm, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const of = (...values: number[]) => new Variable(host.upload(new Float32Array(values), [2]));
 * const x = new Variable(host.upload(new Float32Array([1, 3]), [1, 1, 1, 2]));
 * const parameters = { weight: of(1, 1), bias: of(0, 5) };
 * const y = groupNorm(new Tape(host), x, parameters, { groups: 1, epsilon: 3 });
 * assertEquals([...y.value.data], [-0.5, 5.5]);
 * ```
 */
export function groupNorm(
  tape: Tape,
  x: Variable,
  { weight, bias }: GroupNormParameters,
  options: GroupNormOptions,
): Variable {
  const inputs = { x: x.value, weight: weight.value, bias: bias.value };
  const { y, mean, inverse } = groupNormKernel(tape.ctx, inputs, options);
  return tape.operation({
    inputs: [x, weight, bias],
    output: y,
    saved: [mean, inverse],
    backward: (dY, gradients) => {
      const made = groupNormGradient(gradients.ctx, { ...inputs, mean, inverse, dY }, {
        ...options,
        outWeight: gradients.out(weight),
        outBias: gradients.out(bias),
      });
      gradients.send(x, made.dX);
      gradients.send(weight, made.dWeight);
      gradients.send(bias, made.dBias);
    },
  });
}
