/**
 * Sums of arrays, also in place, and multiples.
 *
 * The gradient of a sum is the gradient that comes in, for both summands: no kernel is needed. Behind
 * the sum's positive part, `activationGradient` of `relu` with the sum's result makes it.
 *
 * @module
 */

import {
  type Context,
  isGpu,
  type Kernel,
  type Scalar,
  scalarValue,
  type Shape,
  sizeOf,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import {
  dispatchFlat,
  pointwiseKernel,
  type PointwiseOptions,
  type PointwiseVariant,
} from "../_pointwise.ts";
import addSource from "./add.wgsl" with { type: "text" };
import addIntoSource from "./add_into.wgsl" with { type: "text" };
import { addArrays, scaleArray } from "./reference.ts";
import scaleSource from "./scale.wgsl" with { type: "text" };

const ADD = /* @__PURE__ */ pointwiseKernel({
  name: "add",
  wgsl: addSource,
  bindings: ["read", "read", "read_write"],
  params: { begin: "u32", end: "u32" },
});

const MULTIPLE: Omit<Kernel, "name" | "wgsl"> = {
  bindings: ["read", "read_write"],
  params: { begin: "u32", end: "u32", factor: "f32" },
};
const ADD_INTO = /* @__PURE__ */ pointwiseKernel({
  ...MULTIPLE,
  name: "add_into",
  wgsl: addIntoSource,
});
const SCALE = /* @__PURE__ */ pointwiseKernel({ ...MULTIPLE, name: "scale", wgsl: scaleSource });

/** Tensors of {@linkcode add}. */
export interface AddInputs {
  /** f32 of any shape. */
  readonly a: Tensor;
  /** f32 of the same shape. */
  readonly b: Tensor;
}

/** Options of {@linkcode add}. */
export interface AddOptions extends PointwiseOptions {
  /** What follows the sum, `none` by default. */
  readonly activation?: "none" | "relu";
}

/** Tensors of {@linkcode addInto}. */
export interface AddIntoInputs {
  /** What is added to, f32 of any shape. */
  readonly target: Tensor;
  /** What is added, f32 of the same shape; another buffer than that of `target`. */
  readonly x: Tensor;
}

/** Options of {@linkcode addInto}. */
export interface AddIntoOptions {
  /** Factor of `x`, 1 by default; read again at each replay where it is a `Scalar`. */
  readonly scale?: number | Scalar;
  /** Forces a variant; `vector` by default. */
  readonly variant?: PointwiseVariant;
}

/** Options of {@linkcode scale}. */
export interface ScaleOptions extends PointwiseOptions {
  /** The factor; read again at each replay where it is a `Scalar`. */
  readonly factor: number | Scalar;
}

/**
 * The sum of two tensors of one shape, `a + b`, and with `activation: "relu"` its positive part.
 *
 * @param ctx Where it runs.
 * @param inputs The summands.
 * @param options What follows, where the result goes, and a forced variant.
 * @returns The sum, f32 of the shape of `a`.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When the shapes differ.
 * @throws {RangeError} When the activation or the forced variant does not exist.
 *
 * @example The end of a residual block
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { add } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const a = host.upload(new Float32Array([1, -5]), [2]);
 * const b = host.upload(new Float32Array([2, 3]), [2]);
 * assertEquals([...add(host, { a, b }, { activation: "relu" }).data], [3, 0]);
 * ```
 */
export function add(ctx: Context, { a, b }: AddInputs, options: AddOptions = {}): Tensor {
  const kernel = "add";
  const { activation = "none" } = options;
  requireDType(a, "f32", { kernel, name: "a" });
  requireDType(b, "f32", { kernel, name: "b" });
  requireShape(b, a.shape, { kernel, name: "b" });
  if (activation !== "none" && activation !== "relu") {
    throw new RangeError(
      `Cannot run ${kernel}: activation must be none or relu: it is "${activation}"`,
    );
  }
  const y = outputTensor(ctx, a.shape, { kernel, out: options.out });
  const relu = activation === "relu";
  if (!isGpu(ctx)) {
    addArrays({ a: hostFloats(a), b: hostFloats(b) }, hostFloats(y), { factor: 1, relu });
    return y;
  }
  dispatchFlat(ctx, {
    operation: kernel,
    kernel: ADD,
    spec: { RELU: relu ? 1 : 0 },
    buffers: [a, b, y],
    count: a.size,
    variant: options.variant,
  });
  return y;
}

/**
 * Adds a multiple of a tensor to another one in place: `target += scale * x`.
 *
 * @param ctx Where it runs.
 * @param inputs What is added, and to what.
 * @param options The factor, and a forced variant.
 * @returns The target.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When the shapes differ.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example A step downhill
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { addInto } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const target = host.upload(new Float32Array([1, 2]), [2]);
 * const x = host.upload(new Float32Array([4, 8]), [2]);
 * addInto(host, { target, x }, { scale: -0.25 });
 * assertEquals([...target.data], [0, 0]);
 * ```
 */
export function addInto(
  ctx: Context,
  { target, x }: AddIntoInputs,
  options: AddIntoOptions = {},
): Tensor {
  const kernel = "addInto";
  const { scale: factor = 1 } = options;
  requireDType(target, "f32", { kernel, name: "target" });
  requireDType(x, "f32", { kernel, name: "x" });
  requireShape(x, target.shape, { kernel, name: "x" });
  if (!isGpu(ctx)) {
    const a = hostFloats(target);
    addArrays({ a, b: hostFloats(x) }, a, { factor: scalarValue(factor), relu: false });
    return target;
  }
  dispatchFlat(ctx, {
    operation: kernel,
    kernel: ADD_INTO,
    buffers: [x, target],
    count: x.size,
    params: { factor },
    variant: options.variant,
  });
  return target;
}

/**
 * A multiple of a tensor, `factor * x`.
 *
 * @param ctx Where it runs.
 * @param inputs The tensor `x`, f32 of any shape.
 * @param options The factor, where the result goes, and a forced variant.
 * @returns The multiple, f32 of the shape of `x`.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When `out` has another shape.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Half
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { scale } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([4, 8]), [2]);
 * assertEquals([...scale(host, { x }, { factor: 0.5 }).data], [2, 4]);
 * ```
 */
export function scale(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: ScaleOptions,
): Tensor {
  const kernel = "scale";
  const { factor } = options;
  requireDType(x, "f32", { kernel, name: "x" });
  const y = outputTensor(ctx, x.shape, { kernel, out: options.out });
  if (!isGpu(ctx)) {
    scaleArray(hostFloats(x), hostFloats(y), scalarValue(factor));
    return y;
  }
  dispatchFlat(ctx, {
    operation: kernel,
    kernel: SCALE,
    buffers: [x, y],
    count: x.size,
    params: { factor },
    variant: options.variant,
  });
  return y;
}

/**
 * Floating-point operations of a sum: one per element.
 *
 * @param shape The shape of `a`.
 * @returns The number of operations.
 *
 * @example Six numbers
 * ```ts
 * import { addFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(addFlops([2, 3]), 6);
 * ```
 */
export function addFlops(shape: Shape): number {
  return sizeOf(shape);
}

/**
 * Bytes that a sum must move: two reads and one write, in place or not.
 *
 * @param shape The shape of `a`.
 * @returns The number of bytes.
 *
 * @example Six numbers
 * ```ts
 * import { addBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(addBytes([2, 3]), 72);
 * ```
 */
export function addBytes(shape: Shape): number {
  return 12 * sizeOf(shape);
}
