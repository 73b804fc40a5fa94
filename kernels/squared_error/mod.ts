/**
 * Mean squared error of samples and its gradient in one kernel.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  isGpu,
  type Scalar,
  scalarValue,
  type Shape,
  ShapeError,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import { dispatchElementRows } from "../_element_rows.ts";
import { pointwiseKernel } from "../_pointwise.ts";
import type { RowOptions } from "../_rows.ts";
import { spatialSum } from "../_spatial_sum.ts";
import { squaredErrorReference } from "./reference.ts";
import source from "./squared_error.wgsl" with { type: "text" };

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "squared_error",
  wgsl: source,
  bindings: ["read", "read", "read", "read", "read_write", "read_write"],
  params: { rows: "u32", columns: "u32", slices: "u32", share: "f32", factor: "f32" },
});

/** Tensors of {@linkcode squaredError}. */
export interface SquaredErrorInputs {
  /** What is there, f32 [N, …] with at least one element a sample. */
  readonly x: Tensor;
  /** What should be there, f32 of the same shape. */
  readonly target: Tensor;
  /** Weights of the samples, f32 [N], or of all elements, f32 of the shape of `x`; 1 by default. */
  readonly weights?: Tensor | undefined;
}

/** Options of {@linkcode squaredError}. */
export interface SquaredErrorOptions extends RowOptions {
  /**
   * Multiplies the gradient, 1 / N by default: the gradient of the mean over all samples. Read again
   * at each replay where it is a `Scalar`.
   */
  readonly scale?: number | Scalar;
  /** Where the losses go. */
  readonly outLoss?: Tensor;
  /** Where the gradient of `x` goes. */
  readonly outGradient?: Tensor;
}

/** What {@linkcode squaredError} gives. */
export interface SquaredError {
  /** Mean over the elements of each sample, f32 [N]. */
  readonly loss: Tensor;
  /** Gradient of `x`, f32 of its shape. */
  readonly dX: Tensor;
}

/**
 * Squared error between what is there and what should be, `mean of w (x - target)^2` over the elements
 * of each sample, with its gradient, in one kernel.
 *
 * f32; the mean is over the number of elements, whatever their weights. Two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs What is there, what should be, and weights.
 * @param options The gradient's factor, where results go, and a forced variant.
 * @returns Losses, and the gradient of `scale` times their sum.
 * @throws {ShapeError} When `x` has no axis or samples without elements, or another tensor does not
 * fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When a forced variant does not exist.
 *
 * @example One sample of two elements
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { squaredError } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2]), [1, 2]);
 * const target = host.upload(new Float32Array([1, 5]), [1, 2]);
 * const { loss, dX } = squaredError(host, { x, target });
 * assertEquals([...loss.data], [4.5]);
 * assertEquals([...dX.data], [0, -3]);
 * ```
 */
export function squaredError(
  ctx: Context,
  inputs: SquaredErrorInputs,
  options: SquaredErrorOptions = {},
): SquaredError {
  const kernel = "squaredError";
  const { x, target, weights } = inputs;
  const { samples, elements } = requireSamples(inputs);
  const { scale = 1 / Math.max(1, samples), outLoss, outGradient } = options;
  const loss = outputTensor(ctx, [samples], { kernel, name: "outLoss", out: outLoss });
  const dX = outputTensor(ctx, x.shape, { kernel, name: "outGradient", out: outGradient });
  if (isGpu(ctx)) {
    onGpu(ctx, inputs, { loss, dX, samples, elements, scale, options });
    return { loss, dX };
  }
  squaredErrorReference(
    { x: hostFloats(x), target: hostFloats(target), weights: weights && hostFloats(weights) },
    { loss: hostFloats(loss), dX: hostFloats(dX) },
    scalarValue(scale),
  );
  return { loss, dX };
}

interface Samples {
  readonly samples: number;
  readonly elements: number;
}

function requireSamples({ x, target, weights }: SquaredErrorInputs): Samples {
  const kernel = "squaredError";
  requireDType(x, "f32", { kernel, name: "x" });
  const [samples, ...rest] = x.shape;
  const elements = sizeOf(rest);
  if (samples === undefined || elements === 0) {
    throw new ShapeError(kernel, "x", {
      expected: "[N, …] with at least one element a sample",
      actual: x.shape,
    });
  }
  requireDType(target, "f32", { kernel, name: "target" });
  requireShape(target, x.shape, { kernel, name: "target" });
  if (weights !== undefined) {
    requireDType(weights, "f32", { kernel, name: "weights" });
    const each = weights.shape.length === 1 ? [samples] : x.shape;
    requireShape(weights, each, { kernel, name: "weights" });
  }
  return { samples, elements };
}

interface Run extends SquaredError, Samples {
  readonly scale: number | Scalar;
  readonly options: SquaredErrorOptions;
}

function onGpu(ctx: GpuContext, inputs: SquaredErrorInputs, run: Run): void {
  const { x, target, weights } = inputs;
  const { loss, dX, samples, elements, scale, options } = run;
  const slices = options.variant === "naive" ? 1 : slicesOf(run);
  using parts = ctx.empty([samples, slices], "f32", { label: "losses of slices" });
  dispatchElementRows(ctx, {
    operation: "squaredError",
    kernel: KERNEL,
    spec: { WEIGHTS: weights === undefined ? 0 : weights.size === samples ? 1 : 2 },
    buffers: [x, target, weights ?? x, weights ?? x, slices === 1 ? loss : parts, dX],
    rows: samples * slices,
    columns: elements / slices,
    params: { slices, share: 1 / elements, factor: scale },
    sweeps: 1,
    options,
  });
  if (slices === 1) return;
  const sum = { maps: samples, rows: slices, channels: 1, a: parts, output: loss };
  spatialSum(ctx, { ...sum, operation: "columnSums" });
}

/** Rows that keep an adapter busy, and their least length. */
const BUSY_ROWS = 512;
const LEAST_LENGTH = 1024;

/** Rows of one length, of whole groups of four elements, into which each sample is cut. */
function slicesOf({ samples, elements }: Samples): number {
  let slices = 1;
  while (
    samples * slices < BUSY_ROWS && elements % (8 * slices) === 0 &&
    elements / (2 * slices) >= LEAST_LENGTH
  ) slices *= 2;
  return slices;
}

/**
 * Floating-point operations of a squared error with its gradient: five per element.
 *
 * @param shape The shape of `x`.
 * @returns The number of operations.
 *
 * @example Six numbers
 * ```ts
 * import { squaredErrorFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(squaredErrorFlops([2, 3]), 30);
 * ```
 */
export function squaredErrorFlops(shape: Shape): number {
  return 5 * sizeOf(shape);
}

/**
 * Bytes that a squared error with its gradient must move: both arrays read once, gradient and losses
 * written.
 *
 * @param shape The shape of `x`.
 * @returns The number of bytes.
 *
 * @example Six numbers
 * ```ts
 * import { squaredErrorBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(squaredErrorBytes([2, 3]), 80);
 * ```
 */
export function squaredErrorBytes(shape: Shape): number {
  return 12 * sizeOf(shape) + 4 * shape[0]!;
}
