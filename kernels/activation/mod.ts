/**
 * Activations and their gradients.
 *
 * @module
 */

import {
  type Context,
  isGpu,
  type Kernel,
  type Shape,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import { dispatchFlat, pointwiseKernel, type PointwiseOptions } from "../_pointwise.ts";
import forwardSource from "./activation.wgsl" with { type: "text" };
import gradientSource from "./activation_gradient.wgsl" with { type: "text" };
import { activate, activateGradient, type Activation } from "./reference.ts";

export type { PointwiseOptions, PointwiseVariant } from "../_pointwise.ts";
export type { Activation, ActivationKind } from "./reference.ts";

const PARAMS = { begin: "u32", end: "u32", low: "f32", high: "f32" } as const;

const FORWARD = /* @__PURE__ */ pointwiseKernel({
  name: "activation",
  wgsl: forwardSource,
  bindings: ["read", "read_write"],
  params: PARAMS,
});

const GRADIENT = /* @__PURE__ */ pointwiseKernel(
  {
    name: "activation_gradient",
    wgsl: gradientSource,
    bindings: ["read", "read", "read_write"],
    params: PARAMS,
  } satisfies Kernel,
);

const LARGEST = 3.4028234e38;

/** Options of {@linkcode activation} and {@linkcode activationGradient}. */
export interface ActivationOptions extends Activation, PointwiseOptions {}

/** What {@linkcode activationGradient} takes: `x`, or for some kinds `y`, and `dY`. */
export interface ActivationGradientInputs {
  /** The activation's input; needed by `gelu` and `silu`. */
  readonly x?: Tensor;
  /** The activation's result; enough for `relu`, `clip` and `sigmoid`, and then taken. */
  readonly y?: Tensor;
  /** Gradient of the result, f32 of the same shape. */
  readonly dY: Tensor;
}

/**
 * An activation of every element.
 *
 * f32 of any shape to f32 of that shape. `gelu` is exact but for 7.5e-8 of x, the error of its
 * approximation of the normal distribution function. Infinities are unspecified.
 *
 * @param ctx Where it runs.
 * @param inputs The numbers `x`.
 * @param options Which activation with which parameters, where the result goes, and a forced variant.
 * @returns The results, f32 of the shape of `x`.
 * @throws {DTypeError} When `x` or `out` does not hold f32.
 * @throws {ShapeError} When `out` has another shape.
 * @throws {RangeError} When the kind does not exist, `min` is not below `max`, or a forced variant
 * does not exist.
 *
 * @example ReLU6
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { activation } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([-1, 2, 7]), [3]);
 * const y = activation(host, { x }, { kind: "clip", min: 0, max: 6 });
 * assertEquals([...y.data], [0, 2, 6]);
 * ```
 */
export function activation(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: ActivationOptions,
): Tensor {
  const kernel = "activation";
  requireDType(x, "f32", { kernel, name: "x" });
  const kind = requireKind(options, kernel);
  const y = outputTensor(ctx, x.shape, { kernel, out: options.out });
  if (!isGpu(ctx)) {
    activate(hostFloats(x), hostFloats(y), options);
    return y;
  }
  dispatchFlat(ctx, {
    operation: kernel,
    kernel: FORWARD,
    spec: { KIND: kind },
    buffers: [x, y],
    count: x.size,
    params: bounds(options),
    variant: options.variant,
  });
  return y;
}

/**
 * The gradient of {@linkcode activation}, `dX = dY f'(x)`.
 *
 * `relu` and `clip` take `x` or `y`, and their gradient is 0 at the kinks; `sigmoid` takes `y`, or
 * `x` for one exponential more; `gelu` and `silu` take `x`.
 *
 * @param ctx Where it runs.
 * @param inputs The activation's input or result, and the gradient of its result.
 * @param options As for the activation; `out` takes the gradient.
 * @returns The gradient of `x`, f32 of its shape.
 * @throws {TypeError} When the tensor that the kind needs is missing.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When the shapes differ.
 * @throws {RangeError} As for the activation.
 *
 * @example ReLU passes what was positive
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { activationGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const y = host.upload(new Float32Array([0, 2]), [2]);
 * const dY = host.upload(new Float32Array([5, 7]), [2]);
 * assertEquals([...activationGradient(host, { y, dY }, { kind: "relu" }).data], [0, 7]);
 * ```
 */
export function activationGradient(
  ctx: Context,
  inputs: ActivationGradientInputs,
  options: ActivationOptions,
): Tensor {
  const kernel = "activationGradient";
  const kind = requireKind(options, kernel);
  const { v, fromOutput } = sourceOf(inputs, options);
  const { dY } = inputs;
  requireDType(v, "f32", { kernel, name: fromOutput ? "y" : "x" });
  requireDType(dY, "f32", { kernel, name: "dY" });
  requireShape(dY, v.shape, { kernel, name: "dY" });
  const dX = outputTensor(ctx, v.shape, { kernel, out: options.out });
  if (!isGpu(ctx)) {
    activateGradient({ v: hostFloats(v), dY: hostFloats(dY) }, hostFloats(dX), {
      ...options,
      fromOutput,
    });
    return dX;
  }
  dispatchFlat(ctx, {
    operation: kernel,
    kernel: GRADIENT,
    spec: { KIND: kind, FROM_OUTPUT: fromOutput ? 1 : 0 },
    buffers: [v, dY, dX],
    count: v.size,
    params: bounds(options),
    variant: options.variant,
  });
  return dX;
}

/**
 * Floating-point operations of an activation, an exponential and a division counted as one: 1 for
 * `relu`, 2 for `clip`, and up to 20 for `gelu`; the gradient takes about as many.
 *
 * @param shape The shape of `x`.
 * @param kind Which activation.
 * @returns The number of operations.
 *
 * @example Six numbers
 * ```ts
 * import { activationFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(activationFlops([2, 3], "relu"), 6);
 * ```
 */
export function activationFlops(shape: Shape, kind: Activation["kind"]): number {
  return sizeOf(shape) * { relu: 1, clip: 2, sigmoid: 4, silu: 5, gelu: 20 }[kind];
}

/**
 * Bytes that an activation must move: one read and one write. Its gradient moves half as much again.
 *
 * @param shape The shape of `x`.
 * @returns The number of bytes.
 *
 * @example Six numbers
 * ```ts
 * import { activationBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(activationBytes([2, 3]), 48);
 * ```
 */
export function activationBytes(shape: Shape): number {
  return 8 * sizeOf(shape);
}

const KINDS = { relu: 0, gelu: 1, sigmoid: 3, silu: 4, clip: 5 } as const;
const GELU_TANH = 2;

/** The kernels' number of an activation, after a check of its parameters. */
function requireKind(options: Activation, kernel: string): number {
  const { kind, approximate = "none", min = -LARGEST, max = LARGEST } = options;
  if (!Object.hasOwn(KINDS, kind)) {
    throw new RangeError(
      `Cannot run ${kernel}: kind must be one of ${Object.keys(KINDS).join(", ")}: it is "${kind}"`,
    );
  }
  if (approximate !== "none" && approximate !== "tanh") {
    throw new RangeError(
      `Cannot run ${kernel}: approximate must be none or tanh: it is "${approximate}"`,
    );
  }
  if (!(min < max)) {
    throw new RangeError(`Cannot run ${kernel}: min must be below max: they are ${min} and ${max}`);
  }
  return kind === "gelu" && approximate === "tanh" ? GELU_TANH : KINDS[kind];
}

/** The bounds as finite numbers: WGSL need not know infinities. */
function bounds({ min = -LARGEST, max = LARGEST }: Activation): { low: number; high: number } {
  return { low: Math.max(min, -LARGEST), high: Math.min(max, LARGEST) };
}

/** The tensor that a slope comes from. */
function sourceOf(
  { x, y }: ActivationGradientInputs,
  { kind }: Activation,
): { v: Tensor; fromOutput: boolean } {
  const needsInput = kind === "gelu" || kind === "silu";
  if (!needsInput && y !== undefined) return { v: y, fromOutput: true };
  if (x !== undefined) return { v: x, fromOutput: false };
  throw new TypeError(
    `Cannot run activationGradient: ${kind} needs ${needsInput ? '"x"' : '"x" or "y"'}`,
  );
}
