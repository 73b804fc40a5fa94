/**
 * A linear layer and its gradients: matrix products, and the sum of columns for the bias.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireMatrix, requireVector } from "../_arguments.ts";
import type { OutOption } from "../_out.ts";
import type { ProductOptions } from "../_products.ts";
import { columnSum } from "../column_reduce/mod.ts";
import { matmul } from "./mod.ts";
import { linearGradientReference } from "./reference.ts";

/** Tensors of {@linkcode linear}. */
export interface LinearInputs {
  /** f32 [N, I]. */
  readonly x: Tensor;
  /** f32 [O, I]. */
  readonly weight: Tensor;
  /** f32 [O], added to every row; zeros when left out. */
  readonly bias?: Tensor;
}

/** Options of {@linkcode linear}. */
export interface LinearOptions extends ProductOptions, OutOption {}

/** Tensors of {@linkcode linearGradient}. */
export interface LinearGradientInputs {
  /** The input, f32 [N, I]. */
  readonly x: Tensor;
  /** f32 [O, I]. */
  readonly weight: Tensor;
  /** Gradient of the output, f32 [N, O]. */
  readonly dY: Tensor;
}

/** Options of {@linkcode linearGradient}. */
export interface LinearGradientOptions extends ProductOptions {
  /** Which gradients are wanted; all by default, and each that is not named false. */
  readonly needs?: { readonly x?: boolean; readonly weight?: boolean; readonly bias?: boolean };
  /** Written with the gradient of the weight instead of a new tensor, f32 [O, I]. */
  readonly outWeight?: Tensor;
  /** Written with the gradient of the bias instead of a new tensor, f32 [O]. */
  readonly outBias?: Tensor;
}

/** What {@linkcode linearGradient} gives: what was wanted. */
export interface LinearGradients {
  /** Gradient of the input, f32 [N, I]. */
  readonly dX?: Tensor;
  /** Gradient of the weight, f32 [O, I]. */
  readonly dWeight?: Tensor;
  /** Gradient of the bias, f32 [O]. */
  readonly dBias?: Tensor;
}

/**
 * A linear layer: `y = x weight^T + bias`, f32 [N, I] to f32 [N, O].
 *
 * @param ctx Where it runs.
 * @param inputs Rows, weight, and where there is one, the bias.
 * @param options Where the result goes, and a forced variant of {@linkcode matmul}.
 * @returns f32 [N, O].
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When a forced variant does not exist.
 *
 * @example Two outputs
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { linear } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2]), [1, 2]);
 * const weight = host.upload(new Float32Array([3, 4, 5, 6]), [2, 2]);
 * const bias = host.upload(new Float32Array([10, 20]), [2]);
 * assertEquals([...linear(host, { x, weight, bias }).data], [21, 37]);
 * ```
 */
export function linear(ctx: Context, inputs: LinearInputs, options: LinearOptions = {}): Tensor {
  const kernel = "linear";
  const { x, weight, bias } = inputs;
  const [rows, channels] = requireMatrix(x, { kernel, name: "x" });
  const [outputs] = requireMatrix(weight, { kernel, name: "weight", columns: channels });
  if (bias !== undefined) requireVector(bias, { kernel, name: "bias", length: outputs });
  const out = outputTensor(ctx, [rows, outputs], { kernel, out: options.out });
  const product = { a: x, b: weight, ...(bias === undefined ? {} : { bias }) };
  return matmul(ctx, product, { ...options, transposeB: true, out });
}

/**
 * Gradients of {@linkcode linear}: `dX = dY weight`, `dWeight = dY^T x`, `dBias` the sum of the rows
 * of `dY`.
 *
 * @param ctx Where it runs.
 * @param inputs Input and weight of the forward pass, and the gradient of its output.
 * @param options Which gradients are wanted, where those of weight and bias go, and a forced variant
 * of {@linkcode matmul}.
 * @returns The gradients that were wanted.
 * @throws {ShapeError} When the shapes do not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When a forced variant does not exist.
 *
 * @example One row
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { linearGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2]), [1, 2]);
 * const weight = host.upload(new Float32Array([3, 4]), [1, 2]);
 * const dY = host.upload(new Float32Array([10]), [1, 1]);
 * const { dX, dWeight, dBias } = linearGradient(host, { x, weight, dY });
 * assertEquals([...dX!.data], [30, 40]);
 * assertEquals([...dWeight!.data], [10, 20]);
 * assertEquals([...dBias!.data], [10]);
 * ```
 */
export function linearGradient(
  ctx: Context,
  inputs: LinearGradientInputs,
  options: LinearGradientOptions = {},
): LinearGradients {
  const kernel = "linearGradient";
  const { x, weight, dY } = inputs;
  const [rows, channels] = requireMatrix(x, { kernel, name: "x" });
  const [outputs] = requireMatrix(weight, { kernel, name: "weight", columns: channels });
  requireMatrix(dY, { kernel, name: "dY", rows, columns: outputs });
  const { needs = {}, outWeight, outBias, ...product } = options;
  const made = (name: string, shape: readonly number[], given?: Tensor) =>
    outputTensor(ctx, shape, { kernel, out: given, name });
  const dX = needs.x === false ? undefined : made("dX", [rows, channels]);
  const dWeight = needs.weight === false
    ? undefined
    : made("outWeight", [outputs, channels], outWeight);
  const dBias = needs.bias === false ? undefined : made("outBias", [outputs], outBias);
  if (isGpu(ctx)) {
    if (dX) matmul(ctx, { a: dY, b: weight }, { ...product, out: dX });
    if (dWeight) matmul(ctx, { a: dY, b: x }, { ...product, transposeA: true, out: dWeight });
    if (dBias && outputs > 0) columnSum(ctx, { x: dY }, { out: dBias });
  } else {
    linearGradientReference(
      { x: hostFloats(x), weight: hostFloats(weight), dY: hostFloats(dY) },
      {
        dX: dX && hostFloats(dX),
        dWeight: dWeight && hostFloats(dWeight),
        dBias: dBias && hostFloats(dBias),
      },
      { rows, inputs: channels, outputs },
    );
  }
  return {
    ...(dX === undefined ? {} : { dX }),
    ...(dWeight === undefined ? {} : { dWeight }),
    ...(dBias === undefined ? {} : { dBias }),
  };
}

/** Lengths of a linear layer, for {@linkcode linearFlops} and {@linkcode linearBytes}. */
export interface LinearShape {
  /** Rows of the input, N. */
  readonly rows: number;
  /** Columns of the input, I. */
  readonly inputs: number;
  /** Columns of the output, O. */
  readonly outputs: number;
}

/**
 * Floating-point operations of {@linkcode linear}; all gradients take twice as many.
 *
 * @param shape Its lengths.
 * @returns 2 N I O.
 *
 * @example A small layer
 * ```ts
 * import { linearFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(linearFlops({ rows: 2, inputs: 3, outputs: 4 }), 48);
 * ```
 */
export function linearFlops(shape: LinearShape): number {
  return 2 * shape.rows * shape.inputs * shape.outputs;
}

/**
 * Bytes that {@linkcode linear} must move at least: input and weight read once, output written once;
 * all gradients take twice as many.
 *
 * @param shape Its lengths.
 * @returns 4 (N I + I O + N O).
 *
 * @example A small layer
 * ```ts
 * import { linearBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(linearBytes({ rows: 2, inputs: 3, outputs: 4 }), 104);
 * ```
 */
export function linearBytes(shape: LinearShape): number {
  const { rows, inputs, outputs } = shape;
  return 4 * (rows * inputs + inputs * outputs + rows * outputs);
}
