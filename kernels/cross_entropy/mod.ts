/**
 * Softmax, cross-entropy and its gradient in one kernel.
 *
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { crossEntropy, rowMean } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const logits = host.upload(new Float32Array([0, 0, 5, 5]), [2, 2]);
 * const labels = host.upload(new Int32Array([0, 1]), [2]);
 * const { loss } = crossEntropy(host, { logits, labels });
 * const [mean] = rowMean(host, { x: loss.reshape([1, 2]) }).data;
 * assertAlmostEquals(mean!, Math.log(2), 1e-6);
 * ```
 *
 * @module
 */

import { type Context, isGpu, type Scalar, scalarValue, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireDType, requireShape } from "../_arguments.ts";
import { dispatchElementRows } from "../_element_rows.ts";
import { pointwiseKernel } from "../_pointwise.ts";
import { requireRows, type RowOptions, type RowShape } from "../_rows.ts";
import source from "./cross_entropy.wgsl" with { type: "text" };
import { crossEntropyRows } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "cross_entropy",
  wgsl: source,
  bindings: ["read", "read", "read_write", "read_write", "read_write"],
  params: { rows: "u32", columns: "u32", ignored: "i32", smoothing: "f32", factor: "f32" },
});

/** No row has this label unless it is meant. */
const NOBODY = -100;

/** Tensors of {@linkcode crossEntropy}. */
export interface CrossEntropyInputs {
  /** f32 [N, K] with K >= 1. */
  readonly logits: Tensor;
  /** i32 [N]; rows whose label is not from 0 to K - 1 do not count. */
  readonly labels: Tensor;
}

/** Options of {@linkcode crossEntropy}. */
export interface CrossEntropyOptions extends RowOptions {
  /** Share of the target that is spread over all classes, from 0 to 1; 0 by default. */
  readonly labelSmoothing?: number;
  /** A label whose rows do not count either; -100 by default. */
  readonly ignoreIndex?: number;
  /**
   * Multiplies the gradient, 1 / N by default: the gradient of the mean over all rows, also over those
   * that do not count. Read again at each replay where it is a `Scalar`.
   */
  readonly scale?: number | Scalar;
  /** Where the losses go. */
  readonly outLoss?: Tensor;
  /** Where the gradient of the logits goes. */
  readonly outGradient?: Tensor;
  /** Where the hits go. */
  readonly outCorrect?: Tensor;
}

/** What {@linkcode crossEntropy} gives. */
export interface CrossEntropy {
  /** Loss of each row, f32 [N]; `rowMean` of its reshape to [1, N] is the mean. */
  readonly loss: Tensor;
  /** Gradient of the logits, f32 [N, K]. */
  readonly dLogits: Tensor;
  /** 1 where the largest logit is the label's, the first one where several are as large; f32 [N]. */
  readonly correct: Tensor;
}

/**
 * Cross-entropy between softmax of logits and labels, with its gradient and the hits, in one kernel
 * that never writes the probabilities.
 *
 * f32, shifted by each row's maximum, so that logits of any size are safe. A row that does not count
 * has loss, gradient and hit 0. Two runs give the same bits.
 *
 * @param ctx Where it runs.
 * @param inputs Logits and labels.
 * @param options Smoothing, what does not count, the gradient's factor, where results go, and a forced
 * variant.
 * @returns Losses, gradient of the logits, and hits.
 * @throws {ShapeError} When `logits` has not two axes or no column, or another tensor does not fit.
 * @throws {DTypeError} When `labels` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When the smoothing is not from 0 to 1, or a forced variant does not exist.
 *
 * @example Two classes, undecided
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { crossEntropy } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const logits = host.upload(new Float32Array([3, 3]), [1, 2]);
 * const labels = host.upload(new Int32Array([1]), [1]);
 * const { dLogits, correct } = crossEntropy(host, { logits, labels });
 * assertEquals([...dLogits.data], [0.5, -0.5]);
 * assertEquals([...correct.data], [0]);
 * ```
 */
export function crossEntropy(
  ctx: Context,
  { logits, labels }: CrossEntropyInputs,
  options: CrossEntropyOptions = {},
): CrossEntropy {
  const kernel = "crossEntropy";
  const { rows, columns } = requireRows(logits, { kernel, name: "logits" });
  requireDType(labels, "i32", { kernel, name: "labels" });
  requireShape(labels, [rows], { kernel, name: "labels" });
  const { labelSmoothing = 0, ignoreIndex = NOBODY, scale = 1 / Math.max(1, rows) } = options;
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new RangeError(
      `Cannot run ${kernel}: labelSmoothing must be from 0 to 1: it is ${labelSmoothing}`,
    );
  }
  const { outLoss, outGradient, outCorrect } = options;
  const loss = outputTensor(ctx, [rows], { kernel, name: "outLoss", out: outLoss });
  const dLogits = outputTensor(ctx, [rows, columns], {
    kernel,
    name: "outGradient",
    out: outGradient,
  });
  const correct = outputTensor(ctx, [rows], { kernel, name: "outCorrect", out: outCorrect });
  if (!isGpu(ctx)) {
    crossEntropyRows(
      { logits: hostFloats(logits), labels: labels.data as Int32Array },
      { loss: hostFloats(loss), dLogits: hostFloats(dLogits), correct: hostFloats(correct) },
      {
        classes: columns,
        smoothing: labelSmoothing,
        ignored: ignoreIndex,
        scale: scalarValue(scale),
      },
    );
    return { loss, dLogits, correct };
  }
  dispatchElementRows(ctx, {
    operation: kernel,
    kernel: KERNEL,
    buffers: [logits, labels, loss, correct, dLogits],
    rows,
    columns,
    params: { ignored: ignoreIndex, smoothing: labelSmoothing, factor: scale },
    sweeps: 3,
    options,
  });
  return { loss, dLogits, correct };
}

/**
 * Floating-point operations of a cross-entropy with its gradient, an exponential counted as one: about
 * nine per logit.
 *
 * @param shape Rows and classes.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { crossEntropyFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(crossEntropyFlops({ rows: 2, columns: 8 }), 144);
 * ```
 */
export function crossEntropyFlops(shape: RowShape): number {
  return 9 * shape.rows * shape.columns;
}

/**
 * Bytes that a cross-entropy with its gradient must move: logits and labels read once, gradient, loss
 * and hits written.
 *
 * @param shape Rows and classes.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { crossEntropyBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(crossEntropyBytes({ rows: 2, columns: 8 }), 152);
 * ```
 */
export function crossEntropyBytes(shape: RowShape): number {
  return 4 * shape.rows * (2 * shape.columns + 3);
}
