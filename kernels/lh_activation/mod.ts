/**
 * Rectifying activations that are extremely low or high.
 *
 * @module
 */

import { type Context, gridFor, isGpu, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, requireDType } from "../_arguments.ts";
import source from "./lh_activation.wgsl" with { type: "text" };
import { lhActivationReference, type LhBounds } from "./reference.ts";

export type { LhBounds } from "./reference.ts";

const KERNEL: Kernel = {
  name: "lh_activation",
  wgsl: source,
  bindings: ["read", "read", "read_write", "read_write"],
  params: { items: "u32", low: "f32", high: "f32" },
};

const WORKGROUP = 64;

/** How elements are read: one at a time, or four where their number is a multiple of four. */
export type LhActivationVariant = "naive" | "vector";

/** Options of {@linkcode lhActivation}. */
export interface LhActivationOptions extends LhBounds {
  /** Forces a variant; `vector` by default. */
  readonly variant?: LhActivationVariant;
}

/**
 * Raises low elements and bends high ones down: with `u = max(x, low)`, `u` below `high` and
 * `u / sqrt(1 + (u / high)^4) + low` from there on.
 *
 * f32 of any shape to f32 of the same shape. The bounds are taken as float32. The function jumps at
 * `high` unless `low` is `high (1 - 1 / sqrt(2))`. Source: Yuan et al., "LHAct: rectifying extremely
 * low and high activations for out-of-distribution detection", 2023.
 *
 * @param ctx Where it runs.
 * @param inputs The tensor `x`.
 * @param options The bounds, and a forced variant.
 * @returns The changed elements, f32 of the shape of `x`.
 * @throws {DTypeError} When `x` does not hold f32.
 * @throws {RangeError} When a bound is not finite, `high` not positive or not above `low`, or the
 * forced variant does not exist.
 *
 * @example A low, a middling and a high element
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { lhActivation } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([0, 1, 2]), [3]);
 * const y = lhActivation(host, { x }, { low: 0.5, high: 2 }).data;
 * assertAlmostEquals(y[0]!, 0.5);
 * assertAlmostEquals(y[1]!, 1);
 * assertAlmostEquals(y[2]!, 2 / Math.sqrt(2) + 0.5, 1e-6);
 * ```
 */
export function lhActivation(
  ctx: Context,
  { x }: { readonly x: Tensor },
  options: LhActivationOptions,
): Tensor {
  const kernel = "lhActivation";
  requireDType(x, "f32", { kernel, name: "x" });
  const [low, high] = [Math.fround(options.low), Math.fround(options.high)];
  if (!(Number.isFinite(low) && Number.isFinite(high) && high > 0 && high > low)) {
    throw new RangeError(
      `Cannot run ${kernel}: "high" must be positive and above "low": they are ${options.high} ` +
        `and ${options.low}`,
    );
  }
  const variant = options.variant ?? "vector";
  if (variant !== "vector" && variant !== "naive") {
    throw new RangeError(
      `Cannot run ${kernel}: there is no variant "${variant}", expected naive or vector`,
    );
  }
  if (!isGpu(ctx)) {
    return ctx.upload(lhActivationReference(hostFloats(x), { low, high }), x.shape, {
      label: kernel,
    });
  }
  const y = ctx.empty(x.shape, "f32", { label: kernel });
  if (x.size === 0) return y;
  const vector = variant === "vector" && x.size % 4 === 0;
  const items = vector ? x.size / 4 : x.size;
  using spare = ctx.empty([4], "f32", { label: "unused binding" });
  ctx.dispatch(KERNEL, {
    buffers: [x, x, ...(vector ? [spare, y] : [y, spare])],
    params: { items, low, high },
    workgroups: gridFor(items, WORKGROUP),
    overrides: { VECTOR: vector ? 1 : 0 },
  });
  return y;
}

/**
 * Floating-point operations of {@linkcode lhActivation}: a maximum, two quotients, three products,
 * two sums, a root and a comparison per element.
 *
 * @param count Number of elements.
 * @returns The number of operations.
 *
 * @example A thousand elements
 * ```ts
 * import { lhActivationFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(lhActivationFlops(1000), 10000);
 * ```
 */
export function lhActivationFlops(count: number): number {
  return 10 * count;
}

/**
 * Bytes that {@linkcode lhActivation} must move: one read and one write.
 *
 * @param count Number of elements.
 * @returns The number of bytes.
 *
 * @example A thousand elements
 * ```ts
 * import { lhActivationBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(lhActivationBytes(1000), 8000);
 * ```
 */
export function lhActivationBytes(count: number): number {
  return 8 * count;
}
