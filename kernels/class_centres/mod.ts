/**
 * Centres of classes that follow the features of a training run, and the loss that pulls features to
 * them.
 *
 * @module
 */

import {
  type Context,
  type GpuContext,
  gridFor,
  isGpu,
  type Kernel,
  type Scalar,
  scalarValue,
  type Tensor,
} from "../../runtime/mod.ts";
import {
  hostFloats,
  outputTensor,
  requireDType,
  requireMatrix,
  requireShape,
} from "../_arguments.ts";
import { type ColumnVariant, columnVariant } from "../_columns.ts";
import { dispatchElementRows } from "../_element_rows.ts";
import { pointwiseKernel } from "../_pointwise.ts";
import { groupsOf, LIST_WORKGROUP, widthOf } from "../_ragged.ts";
import { LINKED_SAMPLES, rowLinks } from "../_row_links.ts";
import { requirePositive, requireRows, type RowOptions, type RowShape } from "../_rows.ts";
import lossSource from "./centre_loss.wgsl" with { type: "text" };
import { centreLossReference, updateCentresReference } from "./reference.ts";
import updateSource from "./update_centres.wgsl" with { type: "text" };
import updateNaiveSource from "./update_centres_naive.wgsl" with { type: "text" };

const UPDATE_NAIVE: Kernel = {
  name: "update_centres_naive",
  wgsl: updateNaiveSource,
  bindings: ["read", "read", "read_write"],
  params: { begin: "u32", end: "u32", columns: "u32", classes: "u32", rate: "f32" },
};

const UPDATE = /* @__PURE__ */ pointwiseKernel({
  name: "update_centres",
  wgsl: updateSource,
  bindings: ["read", "read", "read", "read_write"],
  params: { begin: "u32", end: "u32", columns: "u32", rate: "f32" },
});

const LOSS = /* @__PURE__ */ pointwiseKernel({
  name: "centre_loss",
  wgsl: lossSource,
  bindings: ["read", "read", "read", "read_write", "read_write"],
  params: { rows: "u32", columns: "u32", classes: "u32", share: "f32", factor: "f32" },
});

/** Tensors of {@linkcode updateCentres} and {@linkcode centreLoss}. */
export interface ClassCentresInputs {
  /** f32 [K, W]. */
  readonly centres: Tensor;
  /** f32 [N, W] with W >= 1. */
  readonly features: Tensor;
  /** Class of each row, i32 [N]; what is not from 0 to K - 1 is passed over. */
  readonly labels: Tensor;
}

/** Options of {@linkcode updateCentres}. */
export interface UpdateCentresOptions {
  /** Share of a sample in its new centre; read again at each replay where it is a `Scalar`. */
  readonly rate: number | Scalar;
  /** Forces a variant. */
  readonly variant?: ColumnVariant;
}

/** Options of {@linkcode centreLoss}. */
export interface CentreLossOptions extends RowOptions {
  /** Factor of the mean: so many means over parts of a row, added; 1 by default. */
  readonly groups?: number;
  /**
   * Multiplies the gradient, 1 / N by default: the gradient of the mean over all rows, also over those
   * that are passed over. Read again at each replay where it is a `Scalar`.
   */
  readonly scale?: number | Scalar;
  /** Where the losses go. */
  readonly outLoss?: Tensor;
  /** Where the gradient of the features goes. */
  readonly outGradient?: Tensor;
}

/** What {@linkcode centreLoss} gives. */
export interface CentreLoss {
  /** Loss of each row, f32 [N]; `rowMean` of its reshape to [1, N] is the mean. */
  readonly loss: Tensor;
  /** Gradient of the features, f32 [N, W]. */
  readonly dFeatures: Tensor;
}

/**
 * Moves the centre of each class towards the samples of a batch, in place:
 * `centre = (1 - rate) centre + rate feature`, sample by sample in the order of the batch.
 *
 * f32. A class without a sample keeps its centre. Two runs give the same bits.
 *
 * Source: TagOOD, equation 5.
 *
 * @param ctx Where it runs.
 * @param inputs Centres, features and labels.
 * @param options The rate, and a forced variant.
 * @returns The centres.
 * @throws {ShapeError} When `features` has not two axes or no column, or another tensor does not fit.
 * @throws {DTypeError} When `labels` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When the forced variant does not exist.
 *
 * @example Twice half way
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { updateCentres } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const centres = host.upload(new Float32Array([0, 5]), [2, 1]);
 * const features = host.upload(new Float32Array([8, 2]), [2, 1]);
 * const labels = host.upload(new Int32Array([0, 0]), [2]);
 * updateCentres(host, { centres, features, labels }, { rate: 0.5 });
 * assertEquals([...centres.data], [3, 5]);
 * ```
 */
export function updateCentres(
  ctx: Context,
  inputs: ClassCentresInputs,
  options: UpdateCentresOptions,
): Tensor {
  const kernel = "updateCentres";
  const { columns } = requireCentres(kernel, inputs);
  const { centres, features, labels } = inputs;
  const { rate } = options;
  if (isGpu(ctx)) {
    onGpu(ctx, inputs, options);
  } else {
    updateCentresReference({
      centres: hostFloats(centres),
      features: hostFloats(features),
      labels: labels.data as Int32Array,
    }, { columns, rate: scalarValue(rate) });
  }
  return centres;
}

function onGpu(
  ctx: GpuContext,
  { centres, features, labels }: ClassCentresInputs,
  { rate, variant: forced }: UpdateCentresOptions,
): void {
  const variant = columnVariant(ctx, "updateCentres", forced);
  const [samples, width] = features.shape as [number, number];
  const classes = centres.shape[0]!;
  const elements = widthOf(width, variant);
  const columns = width / elements;
  const groups = variant === "serial" ? groupsOf(columns) : 1;
  const workgroup = LIST_WORKGROUP[variant];
  for (let begin = 0; begin < samples; begin += LINKED_SAMPLES) {
    const end = Math.min(samples, begin + LINKED_SAMPLES);
    if (variant === "naive") {
      ctx.dispatch(UPDATE_NAIVE, {
        buffers: [features, labels, centres],
        params: { begin, end, columns, classes, rate },
        workgroups: gridFor(classes * columns, workgroup),
      });
      continue;
    }
    using links = rowLinks(ctx, labels, { begin, end, classes, workgroup });
    ctx.dispatch(UPDATE(elements, { GROUPS: groups }), {
      buffers: [features, labels, links, centres],
      params: { begin, end, columns, rate },
      workgroups: gridFor((end - begin) * columns / groups, workgroup),
      overrides: { WORKGROUP: workgroup },
    });
  }
}

/**
 * Mean squared distance of each row to the centre of its class, with its gradient, in one kernel.
 *
 * f32. A row whose label is no class has loss and gradient 0. Two runs give the same bits.
 *
 * Source: TagOOD, equation 4.
 *
 * @param ctx Where it runs.
 * @param inputs Centres, features and labels.
 * @param options Factors of loss and gradient, where results go, and a forced variant.
 * @returns Losses and gradient of the features.
 * @throws {ShapeError} When `features` has not two axes or no column, or another tensor does not fit.
 * @throws {DTypeError} When `labels` does not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When `groups` is not positive, or the forced variant does not exist.
 *
 * @example Three and four away
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { centreLoss } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const centres = host.upload(new Float32Array([0, 0, 1, 1]), [2, 2]);
 * const features = host.upload(new Float32Array([4, 5]), [1, 2]);
 * const labels = host.upload(new Int32Array([1]), [1]);
 * const { loss, dFeatures } = centreLoss(host, { centres, features, labels });
 * assertEquals([...loss.data], [12.5]);
 * assertEquals([...dFeatures.data], [3, 4]);
 * ```
 */
export function centreLoss(
  ctx: Context,
  inputs: ClassCentresInputs,
  options: CentreLossOptions = {},
): CentreLoss {
  const kernel = "centreLoss";
  const { rows, columns } = requireCentres(kernel, inputs);
  const { centres, features, labels } = inputs;
  const { groups = 1, scale = 1 / Math.max(1, rows), outLoss, outGradient } = options;
  requirePositive(groups, { kernel, name: "groups" });
  const loss = outputTensor(ctx, [rows], { kernel, name: "outLoss", out: outLoss });
  const dFeatures = outputTensor(ctx, [rows, columns], {
    kernel,
    name: "outGradient",
    out: outGradient,
  });
  if (!isGpu(ctx)) {
    centreLossReference(
      {
        centres: hostFloats(centres),
        features: hostFloats(features),
        labels: labels.data as Int32Array,
      },
      { loss: hostFloats(loss), dFeatures: hostFloats(dFeatures) },
      { groups, scale: scalarValue(scale) },
    );
    return { loss, dFeatures };
  }
  dispatchElementRows(ctx, {
    operation: kernel,
    kernel: LOSS,
    buffers: [features, centres, labels, loss, dFeatures],
    rows,
    columns,
    params: { classes: centres.shape[0]!, share: groups / columns, factor: scale },
    sweeps: 1,
    options,
  });
  return { loss, dFeatures };
}

function requireCentres(kernel: string, inputs: ClassCentresInputs): RowShape {
  const { centres, features, labels } = inputs;
  const { rows, columns } = requireRows(features, { kernel, name: "features" });
  requireMatrix(centres, { kernel, name: "centres", columns });
  requireDType(labels, "i32", { kernel, name: "labels" });
  requireShape(labels, [rows], { kernel, name: "labels" });
  return { rows, columns };
}

/**
 * Floating-point operations of {@linkcode updateCentres}, three per element of the features, and of
 * {@linkcode centreLoss} with its gradient, four.
 *
 * @param shape The features.
 * @param operation Which of both.
 * @returns The number of operations.
 *
 * @example Two rows of eight
 * ```ts
 * import { classCentresFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(classCentresFlops({ rows: 2, columns: 8 }, "update"), 48);
 * assertEquals(classCentresFlops({ rows: 2, columns: 8 }, "loss"), 64);
 * ```
 */
export function classCentresFlops(shape: RowShape, operation: "update" | "loss"): number {
  return (operation === "update" ? 3 : 4) * shape.rows * shape.columns;
}

/**
 * Bytes that {@linkcode updateCentres} must move, one read of the features and a read and a write of
 * as many centres when no class repeats, and {@linkcode centreLoss} with its gradient: one read of
 * features and centres, one write of gradient and losses.
 *
 * @param shape The features.
 * @param operation Which of both.
 * @returns The number of bytes.
 *
 * @example Two rows of eight
 * ```ts
 * import { classCentresBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(classCentresBytes({ rows: 2, columns: 8 }, "update"), 200);
 * assertEquals(classCentresBytes({ rows: 2, columns: 8 }, "loss"), 208);
 * ```
 */
export function classCentresBytes(shape: RowShape, operation: "update" | "loss"): number {
  return 4 * shape.rows * (3 * shape.columns + (operation === "update" ? 1 : 2));
}
