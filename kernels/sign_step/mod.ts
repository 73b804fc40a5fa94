/**
 * Steps against the sign of a gradient, as ODIN moves images.
 *
 * @module
 */

import {
  type Context,
  isGpu,
  type Shape,
  ShapeError,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import { dispatchFlat, pointwiseKernel, type PointwiseOptions } from "../_pointwise.ts";
import { stepAgainstSign } from "./reference.ts";
import source from "./sign_step.wgsl" with { type: "text" };

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "sign_step",
  wgsl: source,
  bindings: ["read", "read", "read", "read_write"],
  params: { begin: "u32", end: "u32", period: "u32" },
});

/** Floats of a vec4. */
const LANES = 4;

/** Tensors of {@linkcode signStep}. */
export interface SignStepInputs {
  /** What is moved, f32 with channels last, such as [N, H, W, C]. */
  readonly x: Tensor;
  /** The gradient by it, f32 of the same shape. */
  readonly gradient: Tensor;
}

/** Options of {@linkcode signStep}. */
export interface SignStepOptions extends PointwiseOptions {
  /** Length of the step for each channel. */
  readonly step: readonly number[];
}

/**
 * A step against the sign of a gradient: `x - step s` with s = -1 where the gradient is below zero
 * and 1 elsewhere, also where it is zero.
 *
 * @param ctx Where it runs.
 * @param inputs What is moved, and the gradient by it.
 * @param options The steps, where the result goes, and a forced variant.
 * @returns What was moved, f32 of the shape of `x`.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When the shapes differ, or `x` has no axis of channels.
 * @throws {RangeError} When there is not one finite step for each channel, or the forced variant does
 * not exist.
 *
 * @example One pixel of three channels
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { signStep } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([5, 5, 5]), [1, 1, 1, 3]);
 * const gradient = host.upload(new Float32Array([-0.1, 0, 7]), [1, 1, 1, 3]);
 * const moved = signStep(host, { x, gradient }, { step: [1, 2, 3] });
 * assertEquals([...moved.data], [6, 3, 2]);
 * ```
 */
export function signStep(
  ctx: Context,
  { x, gradient }: SignStepInputs,
  options: SignStepOptions,
): Tensor {
  const kernel = "signStep";
  requireDType(x, "f32", { kernel, name: "x" });
  requireDType(gradient, "f32", { kernel, name: "gradient" });
  requireShape(gradient, x.shape, { kernel, name: "gradient" });
  const channels = x.shape.at(-1);
  if (channels === undefined) {
    throw new ShapeError(kernel, "x", { expected: "[..., channels]", actual: x.shape });
  }
  const { step } = options;
  if (step.length !== channels || !step.every(Number.isFinite)) {
    throw new RangeError(
      `Cannot run ${kernel}: step must have one finite number for each of ${channels} channels: ` +
        `it is [${step.join(", ")}]`,
    );
  }
  const y = outputTensor(ctx, x.shape, { kernel, out: options.out });
  if (!isGpu(ctx)) {
    const inputs = { x: hostFloats(x), gradient: hostFloats(gradient) };
    stepAgainstSign(inputs, hostFloats(y), step);
    return y;
  }
  if (x.size === 0) return y;
  const period = channels % LANES === 0
    ? channels
    : channels % 2 === 0
    ? 2 * channels
    : LANES * channels;
  const repeated = Float32Array.from({ length: period }, (_, i) => step[i % channels]!);
  dispatchFlat(ctx, {
    operation: kernel,
    kernel: KERNEL,
    buffers: [x, gradient, ctx.upload(repeated, [period], { label: "steps" }), y],
    count: x.size,
    params: { period },
    variant: options.variant,
  });
  return y;
}

/**
 * Floating-point operations of a step: a comparison and a difference per element.
 *
 * @param shape The shape of `x`.
 * @returns The number of operations.
 *
 * @example Six numbers
 * ```ts
 * import { signStepFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(signStepFlops([1, 1, 2, 3]), 12);
 * ```
 */
export function signStepFlops(shape: Shape): number {
  return 2 * sizeOf(shape);
}

/**
 * Bytes that a step must move: two reads and one write per element.
 *
 * @param shape The shape of `x`.
 * @returns The number of bytes.
 *
 * @example Six numbers
 * ```ts
 * import { signStepBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(signStepBytes([1, 1, 2, 3]), 72);
 * ```
 */
export function signStepBytes(shape: Shape): number {
  return 12 * sizeOf(shape);
}
