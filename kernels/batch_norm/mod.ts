/**
 * Batch normalisation of the columns of a matrix or the channels of a map: with a batch's own
 * statistics, with fixed ones, and the gradients of both.
 *
 * @module
 */

import { type Context, isGpu, ShapeError, type Tensor } from "../../runtime/mod.ts";
import {
  hostFloats,
  outputTensor,
  requireDType,
  requireShape,
  requireVector,
} from "../_arguments.ts";
import type { ColumnVariant } from "../_columns.ts";
import type { OutOption } from "../_out.ts";
import { requirePositive, type RowShape } from "../_rows.ts";
import { gradientOnGpu, inferOnGpu, inputGradientOnGpu, trainOnGpu } from "./_gpu.ts";
import { moveRunning, normalisationGradient, normalise, statisticsOf } from "./reference.ts";

const DEFAULT_EPSILON = 1e-5;
const DEFAULT_MOMENTUM = 0.1;

/** What is applied after a normalisation, in the same kernel. */
export type BatchNormActivation = "none" | "relu";

/** Tensors of {@linkcode batchNormTrain}. */
export interface BatchNormTrainInputs {
  /** f32 [N, C], or a map [N, H, W, C] with its channels last; at least two rows. */
  readonly x: Tensor;
  /** Factor of each column, f32 [C]. */
  readonly weight: Tensor;
  /** Summand of each column, f32 [C]. */
  readonly bias: Tensor;
  /** f32 [C], moved towards the batch's mean in place. */
  readonly runningMean: Tensor;
  /** f32 [C], moved towards the batch's unbiased variance in place. */
  readonly runningVariance: Tensor;
}

/** Options of {@linkcode batchNormInfer}. */
export interface BatchNormInferOptions extends OutOption {
  /** Added to the variance; positive, 1e-5 by default. */
  readonly epsilon?: number;
  /** Applied to the result, none by default. */
  readonly activation?: BatchNormActivation;
  /** Forces a variant; `naive` is of training alone. */
  readonly variant?: ColumnVariant;
}

/** Options of {@linkcode batchNormTrain}. */
export interface BatchNormTrainOptions extends BatchNormInferOptions {
  /** Fraction by which running statistics move to the new ones, 0.1 by default. */
  readonly momentum?: number;
}

/** What {@linkcode batchNormTrain} gives. */
export interface BatchNormTrained {
  /** The normalised rows, of the shape of `x`. */
  readonly y: Tensor;
  /** Mean of each column of the batch, f32 [C]. */
  readonly mean: Tensor;
  /** 1 / sqrt(variance + epsilon) of each column, f32 [C]; the variance divided by the rows. */
  readonly inverseDeviation: Tensor;
}

/** Tensors of {@linkcode batchNormInfer}. */
export interface BatchNormInferInputs {
  /** f32 [N, C], or a map [N, H, W, C] with its channels last. */
  readonly x: Tensor;
  /** Factor of each column, f32 [C]. */
  readonly weight: Tensor;
  /** Summand of each column, f32 [C]. */
  readonly bias: Tensor;
  /** Mean of each column, f32 [C]. */
  readonly mean: Tensor;
  /** Variance of each column, f32 [C]. */
  readonly variance: Tensor;
}

/** Tensors of {@linkcode batchNormTrainGradient}. */
export interface BatchNormTrainGradientInputs {
  /** The input of the forward pass. */
  readonly x: Tensor;
  /** Factor of each column, f32 [C]. */
  readonly weight: Tensor;
  /** Mean of each column of the batch, f32 [C]. */
  readonly mean: Tensor;
  /** 1 / sqrt(variance + epsilon) of each column, f32 [C]. */
  readonly inverseDeviation: Tensor;
  /** Gradient of the output, of the shape of `x`. */
  readonly dY: Tensor;
  /** The output, where a ReLU was applied with the normalisation: `dY` counts where `y` > 0. */
  readonly y?: Tensor;
}

/** Tensors of {@linkcode batchNormInferGradient}. */
export interface BatchNormInferGradientInputs {
  /** The input of the forward pass; only the gradients of weight and bias need it. */
  readonly x?: Tensor;
  /** Factor of each column, f32 [C]. */
  readonly weight: Tensor;
  /** Mean of each column, f32 [C]. */
  readonly mean: Tensor;
  /** Variance of each column, f32 [C]. */
  readonly variance: Tensor;
  /** Gradient of the output. */
  readonly dY: Tensor;
  /** The output, where a ReLU was applied with the normalisation: `dY` counts where `y` > 0. */
  readonly y?: Tensor;
}

/** Options of {@linkcode batchNormTrainGradient}. */
export interface BatchNormGradientOptions {
  /** Written with the gradient of the weight instead of a new tensor, f32 [C]. */
  readonly outWeight?: Tensor;
  /** Written with the gradient of the bias instead of a new tensor, f32 [C]. */
  readonly outBias?: Tensor;
  /** Forces a variant. */
  readonly variant?: ColumnVariant;
}

/** Options of {@linkcode batchNormInferGradient}. */
export interface BatchNormInferGradientOptions extends BatchNormGradientOptions {
  /** Added to the variance; positive, 1e-5 by default. */
  readonly epsilon?: number;
  /** Which gradients besides that of `x` are wanted; none by default. */
  readonly needs?: { readonly weight?: boolean; readonly bias?: boolean };
}

/** What {@linkcode batchNormTrainGradient} gives. */
export interface BatchNormGradients {
  /** Gradient of the input, of its shape. */
  readonly dX: Tensor;
  /** Gradient of the weight, f32 [C]. */
  readonly dWeight: Tensor;
  /** Gradient of the bias, f32 [C]. */
  readonly dBias: Tensor;
}

/**
 * Batch normalisation with the batch's own statistics:
 * `(x - mean) / sqrt(variance + epsilon) * weight + bias` column by column, where needed cut off at 0.
 *
 * The variance is divided by the number of rows; running statistics move by `momentum`, their
 * variance divided by the rows less one, as in PyTorch. Statistics are merged from blocks, as exact
 * as two reads also where the mean is large; in a fixed order, so that two runs give the same bits.
 *
 * Source: Ioffe and Szegedy, "Batch Normalization", 2015.
 *
 * @param ctx Where it runs.
 * @param inputs The rows, weight, bias, and the running statistics, which are changed in place.
 * @param options Epsilon, momentum, activation, where the result goes, and a forced variant.
 * @returns The normalised rows, and the statistics for the gradient.
 * @throws {ShapeError} When `x` has fewer than two rows or no column, or another tensor does not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When epsilon is not positive, momentum is not from 0 to 1, or the forced
 * variant does not exist or does not take so many rows.
 *
 * @example A column of two
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { batchNormTrain } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const one = (value: number) => host.upload(new Float32Array([value]), [1]);
 * const x = host.upload(new Float32Array([1, 5]), [2, 1]);
 * const runningMean = one(0);
 * const inputs = { x, weight: one(1), bias: one(0), runningMean, runningVariance: one(1) };
 * const { y, mean } = batchNormTrain(host, inputs);
 * assertAlmostEquals(y.data[0]!, -1, 1e-5);
 * assertAlmostEquals(mean.data[0]!, 3);
 * assertAlmostEquals(runningMean.data[0]!, 0.3, 1e-6);
 * ```
 */
export function batchNormTrain(
  ctx: Context,
  inputs: BatchNormTrainInputs,
  options: BatchNormTrainOptions = {},
): BatchNormTrained {
  const kernel = "batchNormTrain";
  const { x, weight, bias, runningMean, runningVariance } = inputs;
  const shape = requireMap(x, { kernel, name: "x", rows: 2 });
  requireColumns(kernel, shape, { weight, bias, runningMean, runningVariance });
  const epsilon = epsilonOf(kernel, options);
  const { momentum = DEFAULT_MOMENTUM } = options;
  if (!(momentum >= 0 && momentum <= 1)) {
    throw new RangeError(
      `Cannot run ${kernel}: "momentum" must be from 0 to 1: it is ${momentum}`,
    );
  }
  const relu = options.activation === "relu";
  const y = outputTensor(ctx, x.shape, { kernel, out: options.out });
  const mean = ctx.empty([shape.columns], "f32", { label: "batch mean" });
  const inverseDeviation = ctx.empty([shape.columns], "f32", { label: "inverse deviation" });
  if (isGpu(ctx)) {
    const call = { shape, epsilon, momentum, relu, variant: options.variant };
    trainOnGpu(ctx, { ...inputs, y, mean, inverse: inverseDeviation }, call);
    return { y, mean, inverseDeviation };
  }
  const found = statisticsOf(hostFloats(x), shape.columns);
  normalise(
    { x: hostFloats(x), weight: hostFloats(weight), bias: hostFloats(bias) },
    found,
    { epsilon, relu, y: hostFloats(y) },
  );
  const running = { mean: hostFloats(runningMean), variance: hostFloats(runningVariance) };
  moveRunning(running, { ...found, rows: shape.rows }, momentum);
  hostFloats(mean).set(found.mean);
  hostFloats(inverseDeviation).set(found.variance.map((value) => 1 / Math.sqrt(value + epsilon)));
  return { y, mean, inverseDeviation };
}

/**
 * Batch normalisation with given statistics:
 * `(x - mean) / sqrt(variance + epsilon) * weight + bias` column by column, where needed cut off at 0.
 *
 * @param ctx Where it runs.
 * @param inputs The rows, weight, bias and statistics.
 * @param options Epsilon, activation, where the result goes, and a forced variant.
 * @returns The normalised rows, of the shape of `x`.
 * @throws {ShapeError} When `x` has fewer than two axes or no column, or another tensor does not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When epsilon is not positive, or the forced variant does not exist.
 *
 * @example Two rows of one column
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { batchNormInfer } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const one = (value: number) => host.upload(new Float32Array([value]), [1]);
 * const x = host.upload(new Float32Array([1, 5]), [2, 1]);
 * const inputs = { x, weight: one(2), bias: one(1), mean: one(3), variance: one(4) };
 * const y = batchNormInfer(host, inputs, { activation: "relu" });
 * assertAlmostEquals(y.data[0]!, 0);
 * assertAlmostEquals(y.data[1]!, 3, 1e-5);
 * ```
 */
export function batchNormInfer(
  ctx: Context,
  inputs: BatchNormInferInputs,
  options: BatchNormInferOptions = {},
): Tensor {
  const kernel = "batchNormInfer";
  const { x, weight, bias, mean, variance } = inputs;
  const shape = requireMap(x, { kernel, name: "x", rows: 0 });
  requireColumns(kernel, shape, { weight, bias, mean, variance });
  const epsilon = epsilonOf(kernel, options);
  const relu = options.activation === "relu";
  const y = outputTensor(ctx, x.shape, { kernel, out: options.out });
  if (!isGpu(ctx)) {
    normalise(
      { x: hostFloats(x), weight: hostFloats(weight), bias: hostFloats(bias) },
      { mean: hostFloats(mean), variance: hostFloats(variance) },
      { epsilon, relu, y: hostFloats(y) },
    );
    return y;
  }
  inferOnGpu(ctx, { ...inputs, y }, { shape, epsilon, relu, variant: options.variant });
  return y;
}

/**
 * Gradients of {@linkcode batchNormTrain}: through the statistics of the batch as well.
 *
 * Sums over rows in two passes in a fixed order; two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs Input, weight and statistics of the forward pass, and the gradient of its output.
 * @param options Where the gradients of weight and bias go, and a forced variant.
 * @returns The gradients of input, weight and bias.
 * @throws {ShapeError} When a tensor does not fit `x`, or that has fewer than two rows.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the forced variant does not exist, or does not take so many rows or a
 * fused activation.
 *
 * @example A constant gradient goes to the bias alone
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { batchNormTrainGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const one = (value: number) => host.upload(new Float32Array([value]), [1]);
 * const x = host.upload(new Float32Array([1, 3]), [2, 1]);
 * const dY = host.upload(new Float32Array([1, 1]), [2, 1]);
 * const inputs = { x, weight: one(1), mean: one(2), inverseDeviation: one(1), dY };
 * const { dX, dWeight, dBias } = batchNormTrainGradient(host, inputs);
 * assertEquals([...dX.data, ...dWeight.data, ...dBias.data], [0, 0, 0, 2]);
 * ```
 */
export function batchNormTrainGradient(
  ctx: Context,
  inputs: BatchNormTrainGradientInputs,
  options: BatchNormGradientOptions = {},
): BatchNormGradients {
  const kernel = "batchNormTrainGradient";
  const { x, weight, mean, inverseDeviation, dY, y } = inputs;
  const shape = requireMap(x, { kernel, name: "x", rows: 2 });
  requireColumns(kernel, shape, { weight, mean, inverseDeviation });
  requireAlike(kernel, x, { dY, y });
  const out = gradientOutputs(ctx, x, { ...options, kernel });
  if (isGpu(ctx)) {
    const given = { x, dY, y, weight, mean, spread: inverseDeviation };
    const { variant } = options;
    gradientOnGpu(ctx, { ...given, ...out }, { shape, variant, kernel, epsilon: 0, frozen: false });
    return out;
  }
  normalisationGradient(
    {
      x: hostFloats(x),
      weight: hostFloats(weight),
      mean: hostFloats(mean),
      inverse: hostFloats(inverseDeviation),
      dY: hostFloats(dY),
      y: y && hostFloats(y),
    },
    { dX: hostFloats(out.dX), dWeight: hostFloats(out.dWeight), dBias: hostFloats(out.dBias) },
    false,
  );
  return out;
}

/**
 * Gradients of {@linkcode batchNormInfer}: the statistics are constants.
 *
 * @param ctx Where it runs.
 * @param inputs Weight and statistics, the gradient of the output, and where the gradients of weight
 * and bias are wanted, the input.
 * @param options Epsilon, which gradients are wanted and where they go, and a forced variant.
 * @returns The gradient of the input, and those of weight and bias where wanted.
 * @throws {ShapeError} When the tensors do not fit together.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {TypeError} When a gradient is wanted that needs `x`, and `x` is missing.
 * @throws {RangeError} When epsilon is not positive, or the forced variant does not exist.
 *
 * @example Only the input's gradient
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { batchNormInferGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const one = (value: number) => host.upload(new Float32Array([value]), [1]);
 * const dY = host.upload(new Float32Array([6]), [1, 1]);
 * const inputs = { weight: one(3), mean: one(0), variance: one(4), dY };
 * const { dX } = batchNormInferGradient(host, inputs);
 * assertAlmostEquals(dX.data[0]!, 9, 1e-4);
 * ```
 */
export function batchNormInferGradient(
  ctx: Context,
  inputs: BatchNormInferGradientInputs,
  options: BatchNormInferGradientOptions = {},
): Pick<BatchNormGradients, "dX"> & Partial<BatchNormGradients> {
  const kernel = "batchNormInferGradient";
  const { weight, mean, variance, dY, y } = inputs;
  const shape = requireMap(dY, { kernel, name: "dY", rows: 0 });
  requireColumns(kernel, shape, { weight, mean, variance });
  requireAlike(kernel, dY, { x: inputs.x, y });
  const epsilon = epsilonOf(kernel, options);
  const { needs = {} } = options;
  const whole = needs.weight === true || needs.bias === true;
  if (whole && inputs.x === undefined) {
    throw new TypeError(`Cannot run ${kernel}: the gradients of weight and bias need "x"`);
  }
  const x = inputs.x ?? dY;
  if (!whole && isGpu(ctx)) {
    const dX = ctx.empty(dY.shape, "f32", { label: `${kernel} dX` });
    const given = { dY, y, variance, weight, dX };
    inputGradientOnGpu(ctx, given, { shape, epsilon, variant: options.variant });
    return { dX };
  }
  using scope = ctx.scope();
  const out = gradientOutputs(scope, dY, { ...options, kernel });
  if (isGpu(scope)) {
    const given = { x, dY, y, weight, mean, spread: variance };
    const call = { shape, variant: options.variant, kernel, epsilon, frozen: true };
    gradientOnGpu(scope, { ...given, ...out }, call);
  } else {
    normalisationGradient(
      {
        x: hostFloats(x),
        weight: hostFloats(weight),
        mean: hostFloats(mean),
        inverse: hostFloats(variance).map((value) => 1 / Math.sqrt(value + epsilon)),
        dY: hostFloats(dY),
        y: y && hostFloats(y),
      },
      { dX: hostFloats(out.dX), dWeight: hostFloats(out.dWeight), dBias: hostFloats(out.dBias) },
      true,
    );
  }
  const kept = (tensor: Tensor, given: Tensor | undefined) =>
    tensor === given ? tensor : scope.keep(tensor);
  return {
    dX: scope.keep(out.dX),
    ...(needs.weight ? { dWeight: kept(out.dWeight, options.outWeight) } : {}),
    ...(needs.bias ? { dBias: kept(out.dBias, options.outBias) } : {}),
  };
}

/** A batch normalisation, for {@linkcode batchNormFlops} and {@linkcode batchNormBytes}. */
export interface BatchNormShape extends RowShape {
  /** Which function; `train` by default. */
  readonly pass?: "train" | "infer" | "trainGradient" | "inferGradient";
}

const FLOPS_EACH = { train: 11, infer: 4, trainGradient: 10, inferGradient: 1 } as const;
const WORDS_EACH = { train: 3, infer: 2, trainGradient: 5, inferGradient: 2 } as const;

/**
 * Floating-point operations of a batch normalisation: for training seven per element for the
 * statistics and four for the result; for its gradient five for the sums and five for the result.
 *
 * @param shape The matrix, and which function.
 * @returns The number of operations.
 *
 * @example A small batch
 * ```ts
 * import { batchNormFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(batchNormFlops({ rows: 10, columns: 4 }), 440);
 * ```
 */
export function batchNormFlops(shape: BatchNormShape): number {
  return FLOPS_EACH[shape.pass ?? "train"] * shape.rows * shape.columns;
}

/**
 * Bytes that a batch normalisation must move, columns' numbers left out: for training two reads and
 * one write of the matrix, since the statistics come before the result; for its gradient two reads of
 * input and incoming gradient and one write.
 *
 * @param shape The matrix, and which function.
 * @returns The number of bytes.
 *
 * @example A small batch
 * ```ts
 * import { batchNormBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(batchNormBytes({ rows: 10, columns: 4, pass: "infer" }), 320);
 * ```
 */
export function batchNormBytes(shape: BatchNormShape): number {
  return 4 * WORDS_EACH[shape.pass ?? "train"] * shape.rows * shape.columns;
}

function requireMap(
  tensor: Tensor,
  argument: { readonly kernel: string; readonly name: string; readonly rows: number },
): RowShape {
  const { kernel, name } = argument;
  requireDType(tensor, "f32", { kernel, name });
  const { shape, size } = tensor;
  const columns = shape[shape.length - 1] ?? 0;
  const rows = columns === 0 ? 0 : size / columns;
  if (shape.length >= 2 && columns >= 1 && rows >= argument.rows) return { rows, columns };
  const least = argument.rows === 0 ? "" : ` and ${argument.rows} rows`;
  throw new ShapeError(kernel, name, {
    expected: `[rows, columns] or [N, H, W, columns] with at least one column${least}`,
    actual: shape,
  });
}

function requireColumns(
  kernel: string,
  { columns }: RowShape,
  vectors: Readonly<Record<string, Tensor>>,
): void {
  for (const [name, tensor] of Object.entries(vectors)) {
    requireVector(tensor, { kernel, name, length: columns });
  }
}

function requireAlike(
  kernel: string,
  x: Tensor,
  others: Readonly<Record<string, Tensor | undefined>>,
): void {
  for (const [name, tensor] of Object.entries(others)) {
    if (tensor === undefined) continue;
    requireDType(tensor, "f32", { kernel, name });
    requireShape(tensor, x.shape, { kernel, name });
  }
}

function epsilonOf(kernel: string, options: { readonly epsilon?: number }): number {
  return requirePositive(options.epsilon ?? DEFAULT_EPSILON, { kernel, name: "epsilon" });
}

function gradientOutputs(
  ctx: Context,
  x: Tensor,
  { kernel, outWeight, outBias }: BatchNormGradientOptions & { readonly kernel: string },
): BatchNormGradients {
  const shape = x.shape.slice(-1);
  return {
    dX: ctx.empty(x.shape, "f32", { label: `${kernel} dX` }),
    dWeight: outputTensor(ctx, shape, { kernel, out: outWeight, name: "outWeight" }),
    dBias: outputTensor(ctx, shape, { kernel, out: outBias, name: "outBias" }),
  };
}
