/**
 * The passes of group normalisation on a GPU.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { addGrid, type ColumnVariant, columnVariant } from "../_columns.ts";
import { spatialSum } from "../_spatial_sum.ts";
import { merged, unrolled } from "../_unroll.ts";
import {
  type GroupedMaps,
  type GroupNormPlan,
  planGroupNorm,
  planMerge,
  type Slices,
} from "./_plan.ts";
import applySource from "./group_norm_apply.wgsl" with { type: "text" };
import gradientApplySource from "./group_norm_gradient_apply.wgsl" with { type: "text" };
import gradientFoldSource from "./group_norm_gradient_fold.wgsl" with { type: "text" };
import gradientNaiveSource from "./group_norm_gradient_naive.wgsl" with { type: "text" };
import parametersSource from "./group_norm_gradient_parameters.wgsl" with { type: "text" };
import gradientSumsSource from "./group_norm_gradient_sums.wgsl" with { type: "text" };
import mergeSource from "./group_norm_merge.wgsl" with { type: "text" };
import naiveSource from "./group_norm_naive.wgsl" with { type: "text" };
import statisticsSource from "./group_norm_statistics.wgsl" with { type: "text" };

const PASS = {
  invocations: "u32",
  channels: "u32",
  positions: "u32",
  slices: "u32",
  slice_rows: "u32",
  phases: "u32",
} as const;
const APPLYING = /* @__PURE__ */ merged(PASS, { block: "u32" } as const);
const SUMMING = /* @__PURE__ */ merged(PASS, { groups: "u32", group_width: "u32" } as const);

const STATISTICS = /* @__PURE__ */ unrolled({
  name: "group_norm_statistics",
  wgsl: statisticsSource,
  bindings: ["read", "read_write"],
  params: PASS,
});

const MERGE: Kernel = {
  name: "group_norm_merge",
  wgsl: mergeSource,
  bindings: ["read", "read", "read", "read", "read_write", "read_write", "read_write"],
  params: {
    items: "u32",
    positions: "u32",
    channels: "u32",
    groups: "u32",
    parts: "u32",
    full: "u32",
    last: "u32",
    rest: "u32",
    more: "u32",
    epsilon: "f32",
  },
};

const APPLY = /* @__PURE__ */ unrolled({
  name: "group_norm_apply",
  wgsl: applySource,
  bindings: ["read", "read", "read_write"],
  params: APPLYING,
});

const GRADIENT_SUMS = /* @__PURE__ */ unrolled({
  name: "group_norm_gradient_sums",
  wgsl: gradientSumsSource,
  bindings: ["read", "read", "read", "read", "read", "read", "read_write"],
  params: SUMMING,
});

const GRADIENT_FOLD: Kernel = {
  name: "group_norm_gradient_fold",
  wgsl: gradientFoldSource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: { items: "u32", channels: "u32", groups: "u32", share: "f32" },
};

const PARAMETERS: Kernel = {
  name: "group_norm_gradient_parameters",
  wgsl: parametersSource,
  bindings: ["read", "read_write", "read_write"],
  params: { maps: "u32", channels: "u32" },
};

const GRADIENT_APPLY = /* @__PURE__ */ unrolled({
  name: "group_norm_gradient_apply",
  wgsl: gradientApplySource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: APPLYING,
});

const NAIVE: Kernel = {
  name: "group_norm_naive",
  wgsl: naiveSource,
  bindings: ["read", "read", "read", "read_write", "read_write", "read_write"],
  params: {
    items: "u32",
    positions: "u32",
    channels: "u32",
    groups: "u32",
    epsilon: "f32",
  },
};

const GRADIENT_NAIVE: Kernel = {
  name: "group_norm_gradient_naive",
  wgsl: gradientNaiveSource,
  bindings: ["read", "read", "read", "read", "read", "read", "read_write", "read_write"],
  params: { items: "u32", positions: "u32", channels: "u32", groups: "u32" },
};

const OPERATION = "groupNorm";
const NAIVE_WORKGROUP = 64;

/** Turns that a software adapter finishes in one invocation of the baseline, which has three loops. */
const NAIVE_TURNS = 20_000;

function requireNaive(ctx: GpuContext, kernel: string, maps: GroupedMaps): void {
  const { positions, channels, groups } = maps;
  const elements = positions * channels / groups;
  if (!ctx.gpu.adapter.isSoftware || elements <= NAIVE_TURNS) return;
  throw new RangeError(
    `Cannot run ${kernel}: the variant "naive" takes at most ${NAIVE_TURNS} elements of a group on ` +
      `a software adapter: there are ${elements}`,
  );
}

/** How a normalisation or its gradient runs. */
export interface GroupNormCall {
  /** The maps and their groups. */
  readonly maps: GroupedMaps;
  /** Whether the activation is fused. */
  readonly silu: boolean;
  /** A forced variant. */
  readonly variant: ColumnVariant | undefined;
}

/** Tensors of a normalisation. */
export interface GroupNormTensors {
  /** Input. */
  readonly x: Tensor;
  /** Factor of each channel. */
  readonly weight: Tensor;
  /** Summand of each channel. */
  readonly bias: Tensor;
  /** Output. */
  readonly y: Tensor;
  /** Written with the mean of each group. */
  readonly mean: Tensor;
  /** Written with 1 / sqrt(variance + epsilon). */
  readonly inverse: Tensor;
}

/** Records a normalisation. */
export function groupNormOnGpu(
  ctx: GpuContext,
  tensors: GroupNormTensors,
  call: GroupNormCall & { readonly epsilon: number },
): void {
  const { x, weight, bias, y, mean, inverse } = tensors;
  const { maps, epsilon, silu } = call;
  const { n, positions, channels, groups } = maps;
  const items = n * groups;
  const variant = columnVariant(ctx, OPERATION, call.variant);
  if (variant === "naive") {
    requireNaive(ctx, OPERATION, maps);
    ctx.dispatch(NAIVE, {
      buffers: [x, weight, bias, mean, inverse, y],
      params: { items, positions, channels, groups, epsilon },
      workgroups: gridFor(items, NAIVE_WORKGROUP),
      overrides: { SILU: silu ? 1 : 0 },
    });
    return;
  }
  const plan = planGroupNorm(maps, variant);
  const { parts } = plan;
  using partial = ctx.empty([2, n, parts, channels], "f32", { label: "parts" });
  using table = ctx.empty([4, n, channels], "f32", { label: "table" });
  ctx.dispatch(STATISTICS(specOf(plan)), {
    buffers: [x, partial],
    ...passOf(maps, plan, plan.reduce),
  });
  const { lanes, workgroup } = planMerge(parts * channels / groups, variant);
  ctx.dispatch(MERGE, {
    buffers: [x, partial, weight, bias, mean, inverse, table],
    params: { items, positions, channels, groups, parts, ...lengthsOf(maps, plan), epsilon },
    workgroups: gridFor(items, workgroup / lanes),
    overrides: { LANES: lanes, WORKGROUP: workgroup },
  });
  ctx.dispatch(APPLY({ ...specOf(plan), SILU: silu ? 1 : 0 }), {
    buffers: [x, table, y],
    ...passOf(maps, plan, plan.map, { block: n * channels / plan.width }),
  });
}

/** How many positions the parts of a map have: alike but in the last slice. */
function lengthsOf({ positions }: GroupedMaps, { phases, reduce, parts }: GroupNormPlan) {
  const { slices, sliceRows } = reduce;
  const rest = positions - (slices - 1) * sliceRows;
  return {
    full: sliceRows / phases,
    last: parts - phases,
    rest: Math.floor(rest / phases),
    more: rest % phases,
  };
}

function specOf({ width, owned }: GroupNormPlan): Record<string, string | number> {
  return { Elem: width === 4 ? "vec4<f32>" : "f32", OWNED: owned };
}

/** Everything of a pass but its tensors. */
function passOf(
  { positions, channels }: GroupedMaps,
  { width, phases, workgroup }: GroupNormPlan,
  { slices, sliceRows, invocations }: Slices,
  more: Readonly<Record<string, number>> = {},
) {
  return {
    params: {
      invocations,
      channels: channels / width,
      positions,
      slices,
      slice_rows: sliceRows,
      phases,
      ...more,
    },
    workgroups: gridFor(invocations, workgroup),
    overrides: { WORKGROUP: workgroup },
  };
}

/** Tensors of the gradients. */
export interface GroupNormGradientTensors extends Omit<GroupNormTensors, "y"> {
  /** Gradient of the output. */
  readonly dY: Tensor;
  /** Written with the gradient of the input. */
  readonly dX: Tensor;
  /** Written with the gradient of the weight. */
  readonly dWeight: Tensor;
  /** Written with the gradient of the bias. */
  readonly dBias: Tensor;
}

/** Records all three gradients. */
export function groupNormGradientOnGpu(
  ctx: GpuContext,
  tensors: GroupNormGradientTensors,
  call: GroupNormCall,
): void {
  const { maps } = call;
  const { n, channels } = maps;
  const variant = columnVariant(ctx, OPERATION, call.variant);
  using sums = ctx.empty([2, n, channels], "f32", { label: "sums" });
  if (variant === "naive") gradientNaive(ctx, { ...tensors, sums }, call);
  else gradientPasses(ctx, { ...tensors, sums }, { ...call, variant });
  const { dWeight, dBias } = tensors;
  ctx.dispatch(PARAMETERS, {
    buffers: [sums, dWeight, dBias],
    params: { maps: n, channels },
    ...addGrid({ rows: n, columns: channels }, variant),
  });
}

type WithSums = GroupNormGradientTensors & { readonly sums: Tensor };

function gradientPasses(
  ctx: GpuContext,
  tensors: WithSums,
  { maps, silu, variant }: GroupNormCall & { readonly variant: ColumnVariant },
): void {
  const { x, dY, weight, bias, mean, inverse, sums, dX } = tensors;
  const { n, positions, channels, groups } = maps;
  const plan = planGroupNorm(maps, variant);
  const { width, parts } = plan;
  const spec = { ...specOf(plan), SILU: silu ? 1 : 0 };
  using partial = ctx.empty([2, n, parts, channels], "f32", { label: "parts" });
  ctx.dispatch(GRADIENT_SUMS({ ...spec, WIDTH: width }), {
    buffers: [x, dY, mean, inverse, weight, bias, parts === 1 ? sums : partial],
    ...passOf(maps, plan, plan.reduce, { groups, group_width: channels / groups }),
  });
  if (parts > 1) {
    const added = { maps: 2 * n, rows: parts, channels, a: partial, output: sums };
    spatialSum(ctx, { ...added, operation: "columnSums" });
  }
  using table = ctx.empty([4, n, channels], "f32", { label: "table" });
  const { lanes, workgroup } = planMerge(channels / groups, variant);
  ctx.dispatch(GRADIENT_FOLD, {
    buffers: [sums, mean, inverse, weight, table],
    params: { items: n * groups, channels, groups, share: groups / (positions * channels) },
    workgroups: gridFor(n * groups, workgroup / lanes),
    overrides: { LANES: lanes, WORKGROUP: workgroup },
  });
  ctx.dispatch(GRADIENT_APPLY(spec), {
    buffers: [x, dY, table, bias, dX],
    ...passOf(maps, plan, plan.map, { block: n * channels / width }),
  });
}

function gradientNaive(ctx: GpuContext, tensors: WithSums, { maps, silu }: GroupNormCall): void {
  const { x, dY, weight, bias, mean, inverse, sums, dX } = tensors;
  const { n, positions, channels, groups } = maps;
  requireNaive(ctx, "groupNormGradient", maps);
  const items = n * groups;
  ctx.dispatch(GRADIENT_NAIVE, {
    buffers: [x, dY, weight, bias, mean, inverse, sums, dX],
    params: { items, positions, channels, groups },
    workgroups: gridFor(items, NAIVE_WORKGROUP),
    overrides: { SILU: silu ? 1 : 0 },
  });
}
