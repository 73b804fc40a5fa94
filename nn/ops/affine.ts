/**
 * Factors and offsets of channels that can be differentiated.
 *
 * @module
 */

import { activationGradient, batchNormInfer, batchNormInferGradient } from "../../kernels/mod.ts";
import type { Tensor } from "../../runtime/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

const EPSILON = 0.5;

/** What {@linkcode channelAffine} learns. */
export interface AffineParameters {
  /** f32 [C]. */
  readonly weight: Variable;
  /** f32 [C]. */
  readonly bias: Variable;
  /** f32 [C], all 0. */
  readonly zeros: Tensor;
  /** f32 [C], all 0.5. */
  readonly halves: Tensor;
}

/**
 * x weight + bias, one factor and one offset for each channel: a batch normalisation whose mean is 0
 * and whose variance, with the epsilon that its kernels insist on, is 1.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C] or [N, C].
 * @param parameters Factors and offsets.
 * @param options A ReLU in the same kernel.
 * @returns A variable of the same shape.
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example Twice as much, and one more
 * ```ts
 * import { channelAffine, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const of = (value: number) => host.upload(new Float32Array([value]), [1]);
 * const x = new Variable(host.upload(new Float32Array([1, 3]), [2, 1]));
 * const y = channelAffine(new Tape(host), x, {
 *   weight: new Variable(of(2)),
 *   bias: new Variable(of(1)),
 *   zeros: of(0),
 *   halves: of(0.5),
 * });
 * assertEquals([...y.value.data], [3, 7]);
 * ```
 */
export function channelAffine(
  tape: Tape,
  x: Variable,
  parameters: AffineParameters,
  options: { readonly activation?: "none" | "relu" } = {},
): Variable {
  const { weight, bias, zeros: mean, halves: variance } = parameters;
  const { activation = "none" } = options;
  const inputs = { x: x.value, weight: weight.value, mean, variance };
  const y = batchNormInfer(tape.ctx, { ...inputs, bias: bias.value }, {
    epsilon: EPSILON,
    activation,
  });
  return tape.operation({
    inputs: [x, weight, bias],
    output: y,
    backward: (gradient, gradients) => {
      const outWeight = gradients.out(weight);
      const outBias = gradients.out(bias);
      const dY = activation === "none"
        ? gradient
        : activationGradient(gradients.ctx, { y, dY: gradient }, { kind: "relu" });
      const made = batchNormInferGradient(gradients.ctx, { ...inputs, dY }, {
        epsilon: EPSILON,
        needs: { weight: gradients.wants(weight), bias: gradients.wants(bias) },
        ...(outWeight === undefined ? {} : { outWeight }),
        ...(outBias === undefined ? {} : { outBias }),
      });
      gradients.send(x, made.dX);
      if (made.dWeight !== undefined) gradients.send(weight, made.dWeight);
      if (made.dBias !== undefined) gradients.send(bias, made.dBias);
    },
  });
}
