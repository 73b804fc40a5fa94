/**
 * Convolution that can be differentiated.
 *
 * @module
 */

import {
  activationGradient,
  columnSum,
  conv2d as conv2dKernel,
  conv2dDataGradient,
  conv2dWeightGradient,
  type ConvGeometry,
} from "../../kernels/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";
import { flattenRows } from "./_rows.ts";

/** What {@linkcode conv2d} learns. */
export interface ConvParameters {
  /** f32 [O, KH, KW, C / groups]. */
  readonly weight: Variable;
  /** f32 [O]. */
  readonly bias?: Variable | undefined;
}

/** Options of {@linkcode conv2d}. */
export interface ConvOptions extends ConvGeometry {
  /** Applied in the same kernel; none by default. */
  readonly activation?: "none" | "relu";
}

/**
 * A convolution of channels-last maps, with bias and ReLU in the same kernel.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C].
 * @param parameters Weight and bias.
 * @param options Stride, padding, dilation, groups, activation.
 * @returns f32 [N, OH, OW, O].
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example A 1x1 convolution
 * ```ts
 * import { conv2d, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = new Variable(host.upload(new Float32Array([1, 2]), [1, 1, 1, 2]));
 * const weight = new Variable(host.upload(new Float32Array([3, -4]), [1, 1, 1, 2]));
 * const y = conv2d(new Tape(host), x, { weight });
 * assertEquals([...y.value.data], [-5]);
 * ```
 */
export function conv2d(
  tape: Tape,
  x: Variable,
  parameters: ConvParameters,
  options: ConvOptions = {},
): Variable {
  const { weight, bias } = parameters;
  const { activation = "none", ...geometry } = options;
  const output = conv2dKernel(tape.ctx, {
    x: x.value,
    weight: weight.value,
    ...(bias === undefined ? {} : { bias: bias.value }),
  }, options);
  return tape.operation({
    inputs: bias === undefined ? [x, weight] : [x, weight, bias],
    output,
    backward: (gradient, gradients) => {
      const { ctx } = gradients;
      const dY = activation === "relu"
        ? activationGradient(ctx, { y: output, dY: gradient }, { kind: "relu" })
        : gradient;
      if (gradients.wants(x)) {
        const [, height, width] = x.shape;
        const size = [height!, width!] as const;
        gradients.send(
          x,
          conv2dDataGradient(ctx, { dY, weight: weight.value }, { ...geometry, size }),
        );
      }
      if (gradients.wants(weight)) {
        const [, kernelHeight, kernelWidth] = weight.shape;
        const kernel = [kernelHeight!, kernelWidth!] as const;
        const out = gradients.out(weight);
        gradients.send(
          weight,
          conv2dWeightGradient(ctx, { x: x.value, dY }, {
            ...geometry,
            kernel,
            ...(out === undefined ? {} : { out }),
          }),
        );
      }
      if (bias !== undefined && gradients.wants(bias)) {
        const out = gradients.out(bias);
        gradients.send(
          bias,
          columnSum(ctx, { x: flattenRows(dY) }, out === undefined ? {} : { out }),
        );
      }
    },
  });
}
