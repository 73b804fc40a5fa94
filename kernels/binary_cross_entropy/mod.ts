/**
 * Sigmoid, binary cross-entropy of many labels and its gradient in one kernel.
 *
 * @module
 */

import { type Context, isGpu, type Scalar, scalarValue, type Tensor } from "../../runtime/mod.ts";
import { hostFloats, outputTensor, requireMatrix, requireVector } from "../_arguments.ts";
import { dispatchElementRows } from "../_element_rows.ts";
import { pointwiseKernel } from "../_pointwise.ts";
import { requireRows, type RowOptions, type RowShape } from "../_rows.ts";
import source from "./binary_cross_entropy.wgsl" with { type: "text" };
import { binaryCrossEntropyReference } from "./reference.ts";

const KERNEL = /* @__PURE__ */ pointwiseKernel({
  name: "binary_cross_entropy",
  wgsl: source,
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: { rows: "u32", columns: "u32", factor: "f32" },
});

/** Tensors of {@linkcode binaryCrossEntropy}. */
export interface BinaryCrossEntropyInputs {
  /** f32 [N, M] with M >= 1. */
  readonly logits: Tensor;
  /** Which labels each row has, from 0 to 1; f32 [N, M]. */
  readonly targets: Tensor;
  /** Weight of a label's positive term, 1 by default; f32 [M]. */
  readonly weights?: Tensor | undefined;
}

/** Options of {@linkcode binaryCrossEntropy}. */
export interface BinaryCrossEntropyOptions extends RowOptions {
  /**
   * Multiplies the gradient, 1 / N by default: the gradient of the mean over all rows. Read again at
   * each replay where it is a `Scalar`.
   */
  readonly scale?: number | Scalar;
  /** Where the losses go. */
  readonly outLoss?: Tensor;
  /** Where the gradient of the logits goes. */
  readonly outGradient?: Tensor;
}

/** What {@linkcode binaryCrossEntropy} gives. */
export interface BinaryCrossEntropy {
  /** Mean over the labels of each row, f32 [N]; `rowMean` of its reshape to [1, N] is the mean. */
  readonly loss: Tensor;
  /** Gradient of the logits, f32 [N, M]. */
  readonly dLogits: Tensor;
}

/**
 * Binary cross-entropy between the sigmoid of logits and the targets of many labels, with its
 * gradient, in one kernel that never writes the probabilities.
 *
 * The mean over M labels of `(1 - t) log(1 + e^z) + w t log(1 + e^-z)`, where w is the label's weight.
 * f32; logits of any size are safe, and small gradients keep their digits. Two runs give the same
 * bits.
 *
 * @param ctx Where it runs.
 * @param inputs Logits, targets, and weights of the positive terms.
 * @param options The gradient's factor, where results go, and a forced variant.
 * @returns Losses and gradient of the logits.
 * @throws {ShapeError} When `logits` has not two axes or no column, or another tensor does not fit.
 * @throws {DTypeError} When a tensor does not hold f32.
 * @throws {RangeError} When a forced variant does not exist.
 *
 * @example Two labels, undecided
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { binaryCrossEntropy } from "@oodgpu/oodgpu/kernels";
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const logits = host.upload(new Float32Array([0, 0]), [1, 2]);
 * const targets = host.upload(new Float32Array([1, 0]), [1, 2]);
 * const { loss, dLogits } = binaryCrossEntropy(host, { logits, targets });
 * assertAlmostEquals(loss.data[0]!, Math.log(2), 1e-6);
 * assertEquals([...dLogits.data], [-0.25, 0.25]);
 * ```
 */
export function binaryCrossEntropy(
  ctx: Context,
  { logits, targets, weights }: BinaryCrossEntropyInputs,
  options: BinaryCrossEntropyOptions = {},
): BinaryCrossEntropy {
  const kernel = "binaryCrossEntropy";
  const { rows, columns } = requireRows(logits, { kernel, name: "logits" });
  requireMatrix(targets, { kernel, name: "targets", rows, columns });
  if (weights !== undefined) {
    requireVector(weights, { kernel, name: "weights", length: columns });
  }
  const { scale = 1 / Math.max(1, rows), outLoss, outGradient } = options;
  const loss = outputTensor(ctx, [rows], { kernel, name: "outLoss", out: outLoss });
  const dLogits = outputTensor(ctx, [rows, columns], {
    kernel,
    name: "outGradient",
    out: outGradient,
  });
  if (!isGpu(ctx)) {
    binaryCrossEntropyReference(
      {
        logits: hostFloats(logits),
        targets: hostFloats(targets),
        weights: weights && hostFloats(weights),
      },
      { loss: hostFloats(loss), dLogits: hostFloats(dLogits) },
      scalarValue(scale),
    );
    return { loss, dLogits };
  }
  dispatchElementRows(ctx, {
    operation: kernel,
    kernel: KERNEL,
    spec: { WEIGHTED: weights === undefined ? 0 : 1 },
    buffers: [logits, targets, weights ?? logits, loss, dLogits],
    rows,
    columns,
    params: { factor: scale },
    sweeps: 1,
    options,
  });
  return { loss, dLogits };
}

/**
 * Floating-point operations of a binary cross-entropy with its gradient, an exponential, a logarithm
 * and a division counted as one each: about twenty per logit.
 *
 * @param shape Rows and labels.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { binaryCrossEntropyFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(binaryCrossEntropyFlops({ rows: 2, columns: 8 }), 320);
 * ```
 */
export function binaryCrossEntropyFlops(shape: RowShape): number {
  return 20 * shape.rows * shape.columns;
}

/**
 * Bytes that a binary cross-entropy with its gradient must move: logits and targets read once, gradient
 * and losses written.
 *
 * @param shape Rows and labels.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { binaryCrossEntropyBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(binaryCrossEntropyBytes({ rows: 2, columns: 8 }), 200);
 * ```
 */
export function binaryCrossEntropyBytes(shape: RowShape): number {
  return 4 * shape.rows * (3 * shape.columns + 1);
}
