/**
 * Batch normalisation that can be differentiated, with statistics of the batch or fixed ones.
 *
 * @module
 */

import {
  batchNormInfer,
  batchNormInferGradient,
  batchNormTrain,
  batchNormTrainGradient,
} from "../../kernels/mod.ts";
import type { Tensor } from "../../runtime/mod.ts";
import type { Tape } from "../tape.ts";
import type { Variable } from "../variable.ts";

/** What {@linkcode batchNorm} learns, and the statistics that it keeps. */
export interface BatchNormParameters {
  /** f32 [C]. */
  readonly weight: Variable;
  /** f32 [C]. */
  readonly bias: Variable;
  /** f32 [C], moved towards the batch's mean when the mode is `train`. */
  readonly runningMean: Tensor;
  /** f32 [C], likewise; unbiased. */
  readonly runningVariance: Tensor;
}

/**
 * Which statistics a batch normalisation takes: `train` those of the batch, and moves the running
 * ones; `frozen` the running ones, which stay, while weight and bias still learn.
 */
export type BatchNormMode = "train" | "frozen";

/** Options of {@linkcode batchNorm}. */
export interface BatchNormOptions {
  /** Added to the variance; 1e-5 by default. */
  readonly epsilon?: number;
  /** Fraction by which running statistics move, 0.1 by default. */
  readonly momentum?: number;
  /** Which statistics; `train` by default. */
  readonly mode?: BatchNormMode;
  /** Applied in the same kernel; none by default. */
  readonly activation?: "none" | "relu";
}

/**
 * Batch normalisation over all axes but the last.
 *
 * @param tape The tape.
 * @param x f32 [N, H, W, C] or [N, C].
 * @param parameters Weight, bias, running statistics.
 * @param options Epsilon, momentum, mode, activation.
 * @returns A variable of the same shape.
 * @throws {ShapeError} When the shapes do not fit.
 *
 * @example Statistics of the batch
 * ```ts
 * import { batchNorm, Tape, Variable } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const of = (value: number) => host.upload(new Float32Array([value]), [1]);
 * const y = batchNorm(
 *   new Tape(host),
 *   new Variable(host.upload(new Float32Array([1, 3]), [2, 1])),
 *   {
 *     weight: new Variable(of(2)),
 *     bias: new Variable(of(0.5)),
 *     runningMean: of(0),
 *     runningVariance: of(1),
 *   },
 *   { epsilon: 3 },
 * );
 * assertEquals([...y.value.data], [-0.5, 1.5]);
 * ```
 */
export function batchNorm(
  tape: Tape,
  x: Variable,
  parameters: BatchNormParameters,
  options: BatchNormOptions = {},
): Variable {
  return (options.mode ?? "train") === "train"
    ? withBatchStatistics(tape, x, { ...parameters, ...options })
    : withFixedStatistics(tape, x, { ...parameters, ...options });
}

type Whole = BatchNormParameters & BatchNormOptions;

function withBatchStatistics(tape: Tape, x: Variable, how: Whole): Variable {
  const { weight, bias, runningMean, runningVariance, activation = "none" } = how;
  const { epsilon = 1e-5, momentum = 0.1 } = how;
  const { y, mean, inverseDeviation } = batchNormTrain(tape.ctx, {
    x: x.value,
    weight: weight.value,
    bias: bias.value,
    runningMean,
    runningVariance,
  }, { epsilon, momentum, activation });
  return tape.operation({
    inputs: [x, weight, bias],
    output: y,
    saved: [mean, inverseDeviation],
    backward: (dY, gradients) => {
      const outWeight = gradients.out(weight);
      const outBias = gradients.out(bias);
      const made = batchNormTrainGradient(gradients.ctx, {
        x: x.value,
        weight: weight.value,
        mean,
        inverseDeviation,
        dY,
        ...(activation === "relu" ? { y } : {}),
      }, {
        ...(outWeight === undefined ? {} : { outWeight }),
        ...(outBias === undefined ? {} : { outBias }),
      });
      gradients.send(x, made.dX);
      gradients.send(weight, made.dWeight);
      gradients.send(bias, made.dBias);
    },
  });
}

function withFixedStatistics(tape: Tape, x: Variable, how: Whole): Variable {
  const { weight, bias, runningMean, runningVariance, activation = "none" } = how;
  const { epsilon = 1e-5 } = how;
  const statistics = { mean: runningMean, variance: runningVariance };
  const y = batchNormInfer(tape.ctx, {
    x: x.value,
    weight: weight.value,
    bias: bias.value,
    ...statistics,
  }, { epsilon, activation });
  return tape.operation({
    inputs: [x, weight, bias],
    output: y,
    backward: (dY, gradients) => {
      const outWeight = gradients.out(weight);
      const outBias = gradients.out(bias);
      const made = batchNormInferGradient(gradients.ctx, {
        x: x.value,
        weight: weight.value,
        ...statistics,
        dY,
        ...(activation === "relu" ? { y } : {}),
      }, {
        epsilon,
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
