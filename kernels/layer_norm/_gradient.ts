/**
 * The gradients of a layer normalisation.
 *
 * @module
 */

import { type Context, type GpuContext, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireMatrix, requireVector } from "../_arguments.ts";
import { dispatchElementRows } from "../_element_rows.ts";
import { pointwiseKernel } from "../_pointwise.ts";
import { requirePositive, requireRows, type RowShape } from "../_rows.ts";
import { spatialSum } from "../_spatial_sum.ts";
import source from "./layer_norm_gradient.wgsl" with { type: "text" };
import type { LayerNormOptions } from "./mod.ts";
import { layerNormRowsGradient } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "layer_norm_gradient",
  wgsl: source,
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: { rows: "u32", columns: "u32", epsilon: "f32" },
});

const DEFAULT_EPSILON = 1e-5;

/** Tensors of {@linkcode layerNormGradient}. */
export interface LayerNormGradientInputs {
  /** The matrix that was normalised, f32 [N, C] with C >= 1. */
  readonly x: Tensor;
  /** Factor of each column, f32 [C]; ones when left out, and then without a gradient. */
  readonly weight?: Tensor;
  /** Gradient of the result, f32 [N, C]. */
  readonly dY: Tensor;
}

/** Options of {@linkcode layerNormGradient}. */
export interface LayerNormGradientOptions extends LayerNormOptions {
  /** Whether there is a bias whose gradient is wanted; by default where there is a weight. */
  readonly bias?: boolean;
  /** Where the gradient of `x` goes, instead of a new tensor. */
  readonly out?: Tensor;
  /** Where the gradient of the weight goes. */
  readonly outWeight?: Tensor;
  /** Where the gradient of the bias goes. */
  readonly outBias?: Tensor;
}

/** What {@linkcode layerNormGradient} gives. */
export interface LayerNormGradients {
  /** Gradient of `x`, f32 [N, C]. */
  readonly dX: Tensor;
  /** Gradient of `weight`, f32 [C], where there is one. */
  readonly dWeight?: Tensor;
  /** Gradient of the bias, f32 [C], where it is wanted. */
  readonly dBias?: Tensor;
}

/**
 * The gradients of `layerNorm`; statistics are computed again from `x`.
 *
 * f32. The gradients of weight and bias are sums of columns in two passes without atomics; two runs
 * give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The matrix that was normalised, the weight where there is one, and the gradient that
 * comes in.
 * @param options Epsilon as for the normalisation, where gradients go, and a forced variant.
 * @returns The gradients.
 * @throws {ShapeError} When `x` has not two axes or no column, or another tensor does not fit it.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When epsilon is not positive, or the forced variant does not exist.
 * @throws {TypeError} When `outWeight` is given without a weight, or `outBias` where `bias` is false.
 *
 * @example A constant gradient vanishes in the mean
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { layerNormGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([2, 6]), [1, 2]);
 * const dY = host.upload(new Float32Array([3, 3]), [1, 2]);
 * const { dX, dBias } = layerNormGradient(host, { x, dY }, { bias: true });
 * assertEquals([...dX.data], [0, 0]);
 * assertEquals([...dBias!.data], [3, 3]);
 * ```
 */
export function layerNormGradient(
  ctx: Context,
  inputs: LayerNormGradientInputs,
  options: LayerNormGradientOptions = {},
): LayerNormGradients {
  const kernel = "layerNormGradient";
  const { x, weight, dY } = inputs;
  const { bias = weight !== undefined || options.outBias !== undefined } = options;
  const { rows, columns } = requireRows(x, { kernel, name: "x" });
  requireMatrix(dY, { kernel, name: "dY", rows, columns });
  if (weight) requireVector(weight, { kernel, name: "weight", length: columns });
  const epsilon = requirePositive(options.epsilon ?? DEFAULT_EPSILON, { kernel, name: "epsilon" });
  const column = (name: "outWeight" | "outBias", wanted: boolean) => {
    if (wanted) return outputTensor(ctx, [columns], { kernel, name, out: options[name] });
    if (options[name] === undefined) return undefined;
    throw new TypeError(`Cannot run ${kernel}: "${name}" has nothing to hold`);
  };
  const dX = outputTensor(ctx, [rows, columns], { kernel, out: options.out });
  const dWeight = column("outWeight", weight !== undefined);
  const dBias = column("outBias", bias);
  const gradients = { dX, ...(dWeight && { dWeight }), ...(dBias && { dBias }) };
  if (isGpu(ctx)) {
    onGpu(ctx, inputs, { gradients, rows, columns, epsilon, options });
    return gradients;
  }
  layerNormRowsGradient(
    { x: hostFloats(x), dY: hostFloats(dY) },
    {
      dX: hostFloats(dX),
      dWeight: dWeight && hostFloats(dWeight),
      dBias: dBias && hostFloats(dBias),
    },
    { rows, columns, weight: weight && hostFloats(weight), epsilon },
  );
  return gradients;
}

interface Run extends RowShape {
  readonly gradients: LayerNormGradients;
  readonly epsilon: number;
  readonly options: LayerNormGradientOptions;
}

function onGpu(ctx: GpuContext, { x, weight, dY }: LayerNormGradientInputs, run: Run): void {
  const operation = "layerNormGradient";
  const { gradients: { dX, dWeight, dBias }, rows, columns, epsilon, options } = run;
  using stats = ctx.empty([dWeight ? Math.max(1, rows) : 1, 4], "f32", { label: "row statistics" });
  dispatchElementRows(ctx, {
    operation,
    kernel: KERNEL,
    spec: { HAS_WEIGHT: weight ? 1 : 0, STATS: dWeight ? 1 : 0 },
    buffers: [x, dY, weight ?? x, dX, stats],
    rows,
    columns,
    params: { epsilon },
    sweeps: 3,
    options,
  });
  const variant = options.variant === "naive" ? "naive" : undefined;
  const sum = {
    operation: "columnSums",
    variant,
    maps: 1,
    rows,
    channels: columns,
    a: dY,
  } as const;
  if (dWeight) spatialSum(ctx, { ...sum, b: x, stats, output: dWeight });
  if (dBias) spatialSum(ctx, { ...sum, output: dBias });
}
