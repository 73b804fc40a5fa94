/**
 * A linear layer that can be differentiated.
 *
 * @module
 */

import { linear as linearKernel, linearGradient } from "../../kernels/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/** What {@linkcode linear} learns. */
export interface LinearParameters {
  /** f32 [O, I]. */
  readonly weight: Variable;
  /** f32 [O]. */
  readonly bias?: Variable | undefined;
}

/**
 * x Wᵀ + b.
 *
 * @param tape The tape.
 * @param x f32 [N, I].
 * @param parameters Weight and bias.
 * @returns f32 [N, O].
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example Two outputs
 * ```ts
 * import { linear, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2]), [1, 2]));
 * const weight = new Variable(host.upload(new Float32Array([1, 0, 1, 1]), [2, 2]));
 * assertEquals([...linear(new Tape(host), x, { weight }).value.data], [1, 3]);
 * ```
 */
export function linear(tape: Tape, x: Variable, parameters: LinearParameters): Variable {
  const { weight, bias } = parameters;
  const output = linearKernel(tape.ctx, {
    x: x.value,
    weight: weight.value,
    ...(bias === undefined ? {} : { bias: bias.value }),
  });
  return tape.operation({
    inputs: bias === undefined ? [x, weight] : [x, weight, bias],
    output,
    backward: (dY, gradients) => {
      const outWeight = gradients.out(weight);
      const outBias = bias && gradients.out(bias);
      const made = linearGradient(
        gradients.ctx,
        { x: x.value, weight: weight.value, dY },
        {
          needs: {
            x: gradients.wants(x),
            weight: gradients.wants(weight),
            bias: bias !== undefined && gradients.wants(bias),
          },
          ...(outWeight === undefined ? {} : { outWeight }),
          ...(outBias === undefined ? {} : { outBias }),
        },
      );
      if (made.dX !== undefined) gradients.send(x, made.dX);
      if (made.dWeight !== undefined) gradients.send(weight, made.dWeight);
      if (bias !== undefined && made.dBias !== undefined) gradients.send(bias, made.dBias);
    },
  });
}
