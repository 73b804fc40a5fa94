/**
 * The passes of batch normalisation on a GPU.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { addGrid, type ColumnVariant, columnVariant } from "../_columns.ts";
import type { RowShape } from "../_rows.ts";
import { unrolled } from "../_unroll.ts";
import { type BatchNormPlan, type Pass, planBatchNorm } from "./_plan.ts";
import applySource from "./batch_norm_apply.wgsl" with { type: "text" };
import foldSource from "./batch_norm_fold.wgsl" with { type: "text" };
import gradientApplySource from "./batch_norm_gradient_apply.wgsl" with { type: "text" };
import gradientMergeSource from "./batch_norm_gradient_merge.wgsl" with { type: "text" };
import gradientNaiveSource from "./batch_norm_gradient_naive.wgsl" with { type: "text" };
import gradientSumsSource from "./batch_norm_gradient_sums.wgsl" with { type: "text" };
import mergeSource from "./batch_norm_merge.wgsl" with { type: "text" };
import naiveSource from "./batch_norm_naive.wgsl" with { type: "text" };
import statisticsSource from "./batch_norm_statistics.wgsl" with { type: "text" };

const PASS = { count: "u32", block: "u32", chunk: "u32", invocations: "u32" } as const;

const STATISTICS = /* @__PURE__ */ unrolled({
  name: "batch_norm_statistics",
  wgsl: statisticsSource,
  bindings: ["read", "read_write"],
  params: PASS,
});

const MERGE: Kernel = {
  name: "batch_norm_merge",
  wgsl: mergeSource,
  bindings: [
    "read",
    "read",
    "read_write",
    "read_write",
    "read_write",
    "read_write",
    "read_write",
  ],
  params: {
    rows: "u32",
    columns: "u32",
    phases: "u32",
    chunk_rows: "u32",
    parts: "u32",
    epsilon: "f32",
    momentum: "f32",
  },
};

const FOLD: Kernel = {
  name: "batch_norm_fold",
  wgsl: foldSource,
  bindings: ["read", "read", "read", "read", "read", "read_write"],
  params: { columns: "u32", count: "u32", epsilon: "f32" },
};

const APPLY = /* @__PURE__ */ unrolled({
  name: "batch_norm_apply",
  wgsl: applySource,
  bindings: ["read", "read", "read_write"],
  params: PASS,
});

const GRADIENT_SUMS = /* @__PURE__ */ unrolled({
  name: "batch_norm_gradient_sums",
  wgsl: gradientSumsSource,
  bindings: ["read", "read", "read", "read_write"],
  params: PASS,
});

const GRADIENT_MERGE: Kernel = {
  name: "batch_norm_gradient_merge",
  wgsl: gradientMergeSource,
  bindings: ["read", "read", "read", "read", "read", "read_write", "read_write", "read_write"],
  params: { rows: "u32", columns: "u32", phases: "u32", parts: "u32", epsilon: "f32" },
};

const GRADIENT_APPLY = /* @__PURE__ */ unrolled({
  name: "batch_norm_gradient_apply",
  wgsl: gradientApplySource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: PASS,
});

const NAIVE: Kernel = {
  name: "batch_norm_naive",
  wgsl: naiveSource,
  bindings: [
    "read",
    "read",
    "read",
    "read_write",
    "read_write",
    "read_write",
    "read_write",
    "read_write",
  ],
  params: { rows: "u32", columns: "u32", epsilon: "f32", momentum: "f32" },
};

const GRADIENT_NAIVE: Kernel = {
  name: "batch_norm_gradient_naive",
  wgsl: gradientNaiveSource,
  bindings: ["read", "read", "read", "read", "read", "read_write", "read_write", "read_write"],
  params: { rows: "u32", columns: "u32" },
};

/** Rows whose three reads a software adapter finishes in one invocation. */
const NAIVE_ROWS = 20_000;

function requireNaive(ctx: GpuContext, kernel: string, { rows }: RowShape): void {
  if (!ctx.gpu.adapter.isSoftware || rows <= NAIVE_ROWS) return;
  throw new RangeError(
    `Cannot run ${kernel}: the variant "naive" takes at most ${NAIVE_ROWS} rows on a software ` +
      `adapter: there are ${rows}`,
  );
}

/** Tensors of a normalisation with a batch's own statistics. */
export interface TrainTensors {
  /** Input. */
  readonly x: Tensor;
  /** Factor of each column. */
  readonly weight: Tensor;
  /** Summand of each column. */
  readonly bias: Tensor;
  /** Moved in place. */
  readonly runningMean: Tensor;
  /** Moved in place. */
  readonly runningVariance: Tensor;
  /** Output. */
  readonly y: Tensor;
  /** Written with the batch's means. */
  readonly mean: Tensor;
  /** Written with 1 / sqrt(variance + epsilon). */
  readonly inverse: Tensor;
}

/** How a batch is normalised. */
export interface TrainCall extends FrozenCall {
  /** Fraction by which running statistics move. */
  readonly momentum: number;
  /** Whether the result is cut off at 0. */
  readonly relu: boolean;
}

/** Records a normalisation with the statistics of the batch. */
export function trainOnGpu(
  ctx: GpuContext,
  tensors: TrainTensors,
  call: TrainCall,
): void {
  const { x, weight, bias, runningMean, runningVariance, y, mean, inverse } = tensors;
  const { shape, epsilon, momentum, relu } = call;
  const { rows, columns } = shape;
  const variant = columnVariant(ctx, "batchNorm", call.variant);
  if (variant === "naive") {
    requireNaive(ctx, "batchNormTrain", shape);
    ctx.dispatch(NAIVE, {
      buffers: [x, weight, bias, runningMean, runningVariance, mean, inverse, y],
      params: { rows, columns, epsilon, momentum },
      workgroups: gridFor(columns, 64),
      overrides: { RELU: relu ? 1 : 0 },
    });
    return;
  }
  const plan = planBatchNorm(shape, variant);
  const { phases, chunkRows, parts } = plan;
  using partial = ctx.empty([2, parts, columns], "f32", { label: "parts" });
  using centre = ctx.empty([columns], "f32", { label: "centre" });
  ctx.dispatch(STATISTICS(specOf(plan)), {
    buffers: [x, partial],
    ...passOf(plan, plan.reduce),
  });
  ctx.dispatch(MERGE, {
    buffers: [x, partial, runningMean, runningVariance, mean, inverse, centre],
    params: { rows, columns, phases, chunk_rows: chunkRows, parts, epsilon, momentum },
    ...addGrid({ rows: parts, columns }, variant),
  });
  const fold = { plan, columns, epsilon, frozen: false };
  using table = foldOnGpu(ctx, { x, centre, spread: inverse, weight, bias }, fold);
  applyOnGpu(ctx, { x, table, y }, { plan, relu });
}

function specOf(plan: BatchNormPlan): Record<string, string | number> {
  return { Group: plan.width === 4 ? "vec4<f32>" : "f32", GROUPS: plan.groups };
}

/** Everything of a pass but its tensors. */
function passOf(
  { workgroup }: BatchNormPlan,
  pass: Pass,
  overrides: Readonly<Record<string, boolean>> = {},
) {
  const flags = Object.entries(overrides).map(([name, flag]) => [name, flag ? 1 : 0]);
  return {
    params: { ...pass },
    workgroups: gridFor(pass.invocations, workgroup),
    overrides: { WORKGROUP: workgroup, ...Object.fromEntries(flags) },
  };
}

/** Makes the table of a normalisation; the caller disposes it. */
function foldOnGpu(
  ctx: GpuContext,
  tensors: { x: Tensor; centre: Tensor; spread: Tensor; weight: Tensor; bias: Tensor },
  how: { plan: BatchNormPlan; columns: number; epsilon: number; frozen: boolean },
): Tensor {
  const { x, centre, spread, weight, bias } = tensors;
  const { columns, epsilon, frozen } = how;
  const { phases, workgroup } = how.plan;
  const count = phases * columns;
  const table = ctx.empty([4, count], "f32", { label: "table" });
  ctx.dispatch(FOLD, {
    buffers: [x, centre, spread, weight, bias, table],
    params: { columns, count, epsilon },
    workgroups: gridFor(count, workgroup),
    overrides: { WORKGROUP: workgroup, FROZEN: frozen ? 1 : 0 },
  });
  return table;
}

function applyOnGpu(
  ctx: GpuContext,
  { x, table, y }: { x: Tensor; table: Tensor; y: Tensor },
  { plan, relu }: { plan: BatchNormPlan; relu: boolean },
): void {
  ctx.dispatch(APPLY(specOf(plan)), {
    buffers: [x, table, y],
    ...passOf(plan, plan.map, { RELU: relu }),
  });
}

/** How a normalisation with given statistics, or its gradient, runs. */
export interface FrozenCall {
  /** The matrix. */
  readonly shape: RowShape;
  /** Added to the variance. */
  readonly epsilon: number;
  /** A forced variant. */
  readonly variant: ColumnVariant | undefined;
}

/** Records a normalisation with given statistics. */
export function inferOnGpu(
  ctx: GpuContext,
  tensors: { x: Tensor; mean: Tensor; variance: Tensor; weight: Tensor; bias: Tensor; y: Tensor },
  call: FrozenCall & { readonly relu: boolean },
): void {
  const { x, mean, variance, weight, bias, y } = tensors;
  const { shape, epsilon, relu } = call;
  const plan = planBatchNorm(shape, columnVariant(ctx, "batchNorm", call.variant));
  const fold = { plan, columns: shape.columns, epsilon, frozen: true };
  using table = foldOnGpu(ctx, { x, centre: mean, spread: variance, weight, bias }, fold);
  applyOnGpu(ctx, { x, table, y }, { plan, relu });
}

/** Records the gradient of the input alone, with given statistics. */
export function inputGradientOnGpu(
  ctx: GpuContext,
  tensors: { dY: Tensor; y: Tensor | undefined; variance: Tensor; weight: Tensor; dX: Tensor },
  call: FrozenCall,
): void {
  const { dY, y, variance, weight, dX } = tensors;
  const { shape, epsilon } = call;
  const plan = planBatchNorm(shape, columnVariant(ctx, "batchNorm", call.variant));
  const fold = { plan, columns: shape.columns, epsilon, frozen: true };
  // Only the table's scales are read.
  const given = { x: dY, centre: weight, spread: variance, weight, bias: weight };
  using table = foldOnGpu(ctx, given, fold);
  gradientApply(ctx, { x: dY, dY, y, table, dX }, { plan, frozen: true });
}

/** Tensors of the gradients. */
export interface GradientTensors {
  /** Written with the gradient of the input. */
  readonly dX: Tensor;
  /** Written with the gradient of the weight. */
  readonly dWeight: Tensor;
  /** Written with the gradient of the bias. */
  readonly dBias: Tensor;
  /** Input. */
  readonly x: Tensor;
  /** Gradient of the output. */
  readonly dY: Tensor;
  /** Output after a fused ReLU. */
  readonly y: Tensor | undefined;
  /** Factor of each column. */
  readonly weight: Tensor;
  /** Mean of each column. */
  readonly mean: Tensor;
  /** Variance of each column, or its inverse root. */
  readonly spread: Tensor;
}

/** Records all three gradients; `spread` is the variance when frozen, else its inverse root. */
export function gradientOnGpu(
  ctx: GpuContext,
  tensors: GradientTensors,
  call: FrozenCall & { readonly kernel: string; readonly frozen: boolean },
): void {
  const { x, dY, y, weight, mean, spread, dX, dWeight, dBias } = tensors;
  const { epsilon, frozen } = call;
  const variant = columnVariant(ctx, "batchNorm", call.variant);
  if (variant === "naive" && !frozen) {
    gradientNaive(ctx, tensors, call);
    return;
  }
  const { rows, columns } = call.shape;
  const plan = planBatchNorm(call.shape, variant);
  const { phases, parts } = plan;
  using partial = ctx.empty([2, parts, columns], "f32", { label: "parts" });
  using table = ctx.empty([4, phases * columns], "f32", { label: "table" });
  ctx.dispatch(GRADIENT_SUMS(specOf(plan)), {
    buffers: [x, dY, y ?? dY, partial],
    ...passOf(plan, plan.reduce, { MASKED: y !== undefined }),
  });
  const { workgroups, overrides } = addGrid({ rows: parts, columns }, variant);
  ctx.dispatch(GRADIENT_MERGE, {
    buffers: [x, partial, mean, spread, weight, dWeight, dBias, table],
    params: { rows, columns, phases, parts, epsilon },
    workgroups,
    overrides: { ...overrides, FROZEN: frozen ? 1 : 0 },
  });
  gradientApply(ctx, { x, dY, y, table, dX }, { plan, frozen });
}

function gradientApply(
  ctx: GpuContext,
  tensors: { x: Tensor; dY: Tensor; y: Tensor | undefined; table: Tensor; dX: Tensor },
  { plan, frozen }: { plan: BatchNormPlan; frozen: boolean },
): void {
  const { x, dY, y, table, dX } = tensors;
  ctx.dispatch(GRADIENT_APPLY(specOf(plan)), {
    buffers: [x, dY, y ?? dY, table, dX],
    ...passOf(plan, plan.map, { FROZEN: frozen, MASKED: y !== undefined }),
  });
}

function gradientNaive(
  ctx: GpuContext,
  tensors: GradientTensors,
  { shape, kernel }: { shape: RowShape; kernel: string },
): void {
  const { x, dY, y, weight, mean, spread, dX, dWeight, dBias } = tensors;
  requireNaive(ctx, kernel, shape);
  if (y !== undefined) {
    throw new RangeError(`Cannot run ${kernel}: the variant "naive" takes no fused activation`);
  }
  ctx.dispatch(GRADIENT_NAIVE, {
    buffers: [x, dY, weight, mean, spread, dX, dWeight, dBias],
    params: { rows: shape.rows, columns: shape.columns },
    workgroups: gridFor(shape.columns, 64),
  });
}
