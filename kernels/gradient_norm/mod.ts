/**
 * The size of the gradient of a linear head's weight, in closed form.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  ShapeError,
  type Tensor,
} from "../../runtime/mod.ts";
import { hostFloats, requireMatrix } from "../_arguments.ts";
import { planRows, type RowOptions } from "../_rows.ts";
import mainSource from "./gradient_norm.wgsl" with { type: "text" };
import naiveSource from "./gradient_norm_naive.wgsl" with { type: "text" };
import { gradientNormOfRows, type GradientNormSize } from "./reference.ts";

export type { GradientNormSize } from "./reference.ts";

const PARAMS = { rows: "u32", channels: "u32", classes: "u32" } as const;

const NAIVE: Kernel = {
  name: "gradient_norm_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read_write"],
  params: PARAMS,
};

const MAIN: Kernel = {
  name: "gradient_norm",
  wgsl: mainSource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: PARAMS,
};

/** Loop turns for one column of features and three reads of one column of logits. */
const TURNS = { naive: 4, main: 7 };

/** What {@linkcode gradientNorm} takes. */
export interface GradientNormInputs {
  /** f32 [N, C]: what the head takes, C at least 1. */
  readonly features: Tensor;
  /** f32 [N, K]: what it gives, K at least 1. */
  readonly logits: Tensor;
}

/**
 * The sum of magnitudes of the gradient of `-sum(log(softmax(z)))` by the weight of the head
 * `z = W x + b`: `|x|_1 * sum(|K * softmax(z) - 1|)`.
 *
 * f32 [N, C] and [N, K] to f32 [N]. In closed form: there is no backward pass, and the head itself is
 * not needed. Two runs give the same bits. Source: Huang, Geng and Li, "On the importance of
 * gradients for detecting distributional shifts in the wild", 2021.
 *
 * @param ctx Where it runs.
 * @param inputs Features and logits of the same rows.
 * @param options A forced variant.
 * @returns The sums, f32 [N].
 * @throws {ShapeError} When an input has not two axes, or no column, or the rows differ.
 * @throws {DTypeError} When an input does not hold f32.
 *
 * @example Softmax 3/4 and 1/4
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { gradientNorm } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const features = host.upload(new Float32Array([2, -1]), [1, 2]);
 * const logits = host.upload(new Float32Array([Math.log(3), 0]), [1, 2]);
 * const [size] = gradientNorm(host, { features, logits }).data;
 * assertAlmostEquals(size!, 3 * (0.5 + 0.5), 1e-6);
 * ```
 */
export function gradientNorm(
  ctx: Context,
  inputs: GradientNormInputs,
  options: RowOptions = {},
): Tensor {
  const kernel = "gradientNorm";
  const { features, logits } = inputs;
  const [rows, channels] = requireMatrix(features, { kernel, name: "features" });
  const [, classes] = requireMatrix(logits, { kernel, name: "logits", rows });
  for (const [name, tensor] of Object.entries({ features, logits })) {
    if (tensor.shape[1]! >= 1) continue;
    throw new ShapeError(kernel, name, {
      expected: "[rows, columns] with at least one column",
      actual: tensor.shape,
    });
  }
  const size = { rows, channels, classes };
  if (isGpu(ctx)) return onGpu(ctx, inputs, { ...options, ...size });
  const values = gradientNormOfRows(hostFloats(features), hostFloats(logits), size);
  return ctx.upload(values, [rows], { label: kernel });
}

function onGpu(
  ctx: GpuContext,
  { features, logits }: GradientNormInputs,
  call: RowOptions & GradientNormSize,
): Tensor {
  const { rows, channels, classes } = call;
  const plan = planRows({ rows, columns: Math.max(channels, classes) }, {
    software: ctx.gpu.adapter.isSoftware,
    turns: TURNS,
    variant: call.variant ?? ctx.gpu.variants["gradientNorm"],
    lanes: call.lanes,
  });
  const y = ctx.empty([rows], "f32", { label: "gradientNorm" });
  const params = { rows, channels, classes };
  if (plan.variant === "naive") {
    ctx.dispatch(NAIVE, {
      buffers: [features, logits, y],
      params,
      workgroups: gridFor(rows, plan.workgroup),
    });
    return y;
  }
  ctx.dispatch(MAIN, {
    buffers: [features, features, logits, logits, y],
    params,
    workgroups: gridFor(rows, plan.workgroup / plan.lanes),
    overrides: {
      WORKGROUP: plan.workgroup,
      LANES: plan.lanes,
      VECTOR_X: channels % 4 === 0 ? 1 : 0,
      VECTOR_Z: classes % 4 === 0 ? 1 : 0,
    },
  });
  return y;
}

/**
 * Floating-point operations of {@linkcode gradientNorm}: one per feature; per logit a maximum, and
 * twice a difference, an exponential and a sum, then a product and a difference.
 *
 * @param size The lengths.
 * @returns The number of operations.
 *
 * @example Two rows of eight features and ten classes
 * ```ts
 * import { gradientNormFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(gradientNormFlops({ rows: 2, channels: 8, classes: 10 }), 196);
 * ```
 */
export function gradientNormFlops(size: GradientNormSize): number {
  return size.rows * (size.channels + 9 * size.classes);
}

/**
 * Bytes that {@linkcode gradientNorm} must move: one read of both matrices, one write per row.
 *
 * @param size The lengths.
 * @returns The number of bytes.
 *
 * @example Two rows of eight features and ten classes
 * ```ts
 * import { gradientNormBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(gradientNormBytes({ rows: 2, channels: 8, classes: 10 }), 152);
 * ```
 */
export function gradientNormBytes(size: GradientNormSize): number {
  return 4 * size.rows * (size.channels + size.classes + 1);
}
