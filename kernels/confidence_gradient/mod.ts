/**
 * The direction in which logits lose confidence: what ODIN's backward pass begins with.
 *
 * @module
 */

import { type Context, isGpu, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor } from "../_arguments.ts";
import { dispatchElementRows } from "../_element_rows.ts";
import { pointwiseKernel } from "../_pointwise.ts";
import { requirePositive, requireRows, type RowShape, type TemperatureOptions } from "../_rows.ts";
import source from "./confidence_gradient.wgsl" with { type: "text" };
import { confidenceGradientRows } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "confidence_gradient",
  wgsl: source,
  bindings: ["read", "read_write"],
  params: { rows: "u32", columns: "u32", temperature: "f32" },
});

/** Options of {@linkcode confidenceGradient}. */
export interface ConfidenceGradientOptions extends TemperatureOptions {
  /** Where the result goes, instead of a new tensor; must not be the input. */
  readonly out?: Tensor;
}

/**
 * The gradient of the cross-entropy between softmax(z / T) and each row's own largest logit, but for
 * a positive factor: -1 at the first of the largest logits, and elsewhere the softmax of the others.
 *
 * The gradient itself is (1 - p) / T times this, with p the largest softmax; in f32 it would be lost
 * where p is close to one. Signs and directions are the same. Two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs The logits, f32 [N, K].
 * @param options The temperature, where the result goes, and a forced variant.
 * @returns The direction, f32 [N, K].
 * @throws {ShapeError} When `logits` has not two axes or no column, or `out` has another shape.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When the temperature is not positive, or a forced variant does not exist.
 *
 * @example A row that is certain of itself
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { confidenceGradient } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const logits = host.upload(new Float32Array([1, 900, 1]), [1, 3]);
 * assertEquals([...confidenceGradient(host, { logits }).data], [0.5, -1, 0.5]);
 * ```
 */
export function confidenceGradient(
  ctx: Context,
  { logits }: { readonly logits: Tensor },
  options: ConfidenceGradientOptions = {},
): Tensor {
  const kernel = "confidenceGradient";
  const { rows, columns } = requireRows(logits, { kernel, name: "logits" });
  const temperature = requirePositive(options.temperature ?? 1, { kernel, name: "temperature" });
  const direction = outputTensor(ctx, [rows, columns], { kernel, out: options.out });
  if (!isGpu(ctx)) {
    const how = { classes: columns, temperature };
    confidenceGradientRows(hostFloats(logits), hostFloats(direction), how);
    return direction;
  }
  dispatchElementRows(ctx, {
    operation: kernel,
    kernel: KERNEL,
    buffers: [logits, direction],
    rows,
    columns,
    params: { temperature },
    sweeps: 3,
    options,
  });
  return direction;
}

/**
 * Floating-point operations of the direction, an exponential counted as one: about twelve per logit.
 *
 * @param shape Rows and classes.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { confidenceGradientFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(confidenceGradientFlops({ rows: 2, columns: 8 }), 192);
 * ```
 */
export function confidenceGradientFlops(shape: RowShape): number {
  return 12 * shape.rows * shape.columns;
}

/**
 * Bytes that the direction must move: logits read once and written once.
 *
 * @param shape Rows and classes.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { confidenceGradientBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(confidenceGradientBytes({ rows: 2, columns: 8 }), 128);
 * ```
 */
export function confidenceGradientBytes(shape: RowShape): number {
  return 8 * shape.rows * shape.columns;
}
