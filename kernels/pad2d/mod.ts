/**
 * Borders around maps, and the gradient, which cuts them off.
 *
 * @module
 */

import { type Context, isGpu, type Shape, sizeOf, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor } from "../_arguments.ts";
import { dispatchMaps, requireMaps } from "../_maps.ts";
import { pointwiseKernel, type PointwiseOptions } from "../_pointwise.ts";
import source from "./pad2d.wgsl" with { type: "text" };
import { type Frame, frameMaps } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "pad2d",
  wgsl: source,
  bindings: ["read", "read_write"],
  params: {
    items: "u32",
    channels: "u32",
    height: "u32",
    width: "u32",
    out_height: "u32",
    out_width: "u32",
    top: "i32",
    left: "i32",
    value: "f32",
  },
});

/** Rows and columns on the four sides. */
export type Sides = readonly [top: number, left: number, bottom: number, right: number];

/** Options of {@linkcode pad2dGradient}. */
export interface Pad2dGradientOptions extends PointwiseOptions {
  /** Rows and columns of the border, each 0 or more. */
  readonly padding: Sides;
}

/** Options of {@linkcode pad2d}. */
export interface Pad2dOptions extends Pad2dGradientOptions {
  /** What the border holds, 0 by default. */
  readonly value?: number;
}

/**
 * Maps with a border of one value.
 *
 * f32 [N, H, W, C] to f32 [N, top + H + bottom, left + W + right, C].
 *
 * @param ctx Where it runs.
 * @param inputs The maps `x`.
 * @param options The border, where the result goes, and a forced variant.
 * @returns The maps with their border.
 * @throws {DTypeError} When `x` or `out` does not hold f32.
 * @throws {ShapeError} When `x` has not four axes, or `out` has another shape.
 * @throws {RangeError} When a side is no whole number of at least 0, the value is not finite, or the
 * forced variant does not exist.
 *
 * @example A column of zeros on the right
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { pad2d } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2]), [1, 2, 1, 1]);
 * assertEquals([...pad2d(host, { x }, { padding: [0, 0, 0, 1] }).data], [1, 0, 2, 0]);
 * ```
 */
export function pad2d(ctx: Context, { x }: { readonly x: Tensor }, options: Pad2dOptions): Tensor {
  const operation = "pad2d";
  const maps = requireMaps(x, { kernel: operation, name: "x" });
  const [top, left, bottom, right] = requireSides(options.padding, operation);
  const { value = 0 } = options;
  if (!Number.isFinite(value)) {
    throw new RangeError(`Cannot run ${operation}: value must be a finite number: it is ${value}`);
  }
  const size = [top + maps.height + bottom, left + maps.width + right] as const;
  const frame = { ...maps, size, origin: [top, left] as const };
  return shift(ctx, x, { operation, frame, value, options });
}

/**
 * The gradient of {@linkcode pad2d}: the gradient that comes in without its border.
 *
 * @param ctx Where it runs.
 * @param inputs Gradient of the maps with their border, f32 [N, top + H + bottom, left + W + right, C].
 * @param options The border, where the gradient goes, and a forced variant.
 * @returns The gradient of `x`, f32 [N, H, W, C].
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {ShapeError} When `dY` has not four axes, or `out` has another shape.
 * @throws {RangeError} When a side is no whole number of at least 0, the border is larger than `dY`, or
 * the forced variant does not exist.
 *
 * @example Without the column on the right
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { pad2dGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const dY = host.upload(new Float32Array([1, 9, 2, 9]), [1, 2, 2, 1]);
 * assertEquals([...pad2dGradient(host, { dY }, { padding: [0, 0, 0, 1] }).data], [1, 2]);
 * ```
 */
export function pad2dGradient(
  ctx: Context,
  { dY }: { readonly dY: Tensor },
  options: Pad2dGradientOptions,
): Tensor {
  const operation = "pad2dGradient";
  const maps = requireMaps(dY, { kernel: operation, name: "dY" });
  const [top, left, bottom, right] = requireSides(options.padding, operation);
  const size = [maps.height - top - bottom, maps.width - left - right] as const;
  if (Math.min(...size) < 0) {
    throw new RangeError(
      `Cannot run ${operation}: a border of ${options.padding} is larger than ` +
        `${maps.height} x ${maps.width}`,
    );
  }
  const frame = { ...maps, size, origin: [-top, -left] as const };
  return shift(ctx, dY, { operation, frame, value: 0, options });
}

/**
 * Floating-point operations of a border: none, it only copies.
 *
 * @returns 0.
 *
 * @example None
 * ```ts
 * import { pad2dFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(pad2dFlops(), 0);
 * ```
 */
export function pad2dFlops(): number {
  return 0;
}

/**
 * Bytes that a border must move: the maps read, the maps with their border written.
 *
 * @param shape Shape of the maps.
 * @param padding The border.
 * @returns The number of bytes.
 *
 * @example One position and eight around it
 * ```ts
 * import { pad2dBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(pad2dBytes([1, 1, 1, 1], [1, 1, 1, 1]), 40);
 * ```
 */
export function pad2dBytes(shape: Shape, padding: Sides): number {
  const [n, height, width, channels] = shape as [number, number, number, number];
  const [top, left, bottom, right] = padding;
  return 4 * (sizeOf(shape) + n * (top + height + bottom) * (left + width + right) * channels);
}

function requireSides(sides: Sides, kernel: string): Sides {
  if (sides.length === 4 && sides.every((side) => Number.isInteger(side) && side >= 0)) {
    return sides;
  }
  throw new RangeError(
    `Cannot run ${kernel}: padding must be four whole numbers of at least 0: it is ${sides}`,
  );
}

interface Shift {
  readonly operation: string;
  readonly frame: Frame;
  readonly value: number;
  readonly options: PointwiseOptions;
}

function shift(ctx: Context, x: Tensor, { operation, frame, value, options }: Shift): Tensor {
  const { n, height, width, channels, size, origin } = frame;
  const shape = [n, ...size, channels];
  const y = outputTensor(ctx, shape, { kernel: operation, out: options.out });
  if (!isGpu(ctx)) {
    frameMaps(hostFloats(x), hostFloats(y), { ...frame, value });
    return y;
  }
  dispatchMaps(ctx, {
    operation,
    kernel: KERNEL,
    buffers: [x, y],
    channels,
    params: {
      height,
      width,
      out_height: size[0],
      out_width: size[1],
      top: origin[0],
      left: origin[1],
      value,
    },
    variant: options.variant,
  });
  return y;
}
