/**
 * The baseline: the scores as a matrix of queries, heads and keys, and one operation after the other
 * on it.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { LOOP_TURNS } from "../_products.ts";
import { merged, unrolled } from "../_unroll.ts";
import mixSource from "./ragged_attention_naive_mix.wgsl" with { type: "text" };
import productSource from "./ragged_attention_naive_product.wgsl" with { type: "text" };
import slopeSource from "./ragged_attention_naive_slope.wgsl" with { type: "text" };
import softmaxSource from "./ragged_attention_naive_softmax.wgsl" with { type: "text" };
import spreadSource from "./ragged_attention_naive_spread.wgsl" with { type: "text" };
import { dropoutParams, type Problem, type RaggedAttentionInputs } from "./_problem.ts";

const SIZES = { lists: "u32", rows: "u32", heads: "u32", stride: "u32" } as const;
const SLOPE_SIZES = {
  lists: "u32",
  rows: "u32",
  heads: "u32",
  dimension: "u32",
  stride: "u32",
} as const;
const FACTORED = {
  lists: "u32",
  rows: "u32",
  heads: "u32",
  dimension: "u32",
  stride: "u32",
  factor: "f32",
} as const;
const DROPOUT = {
  seed_low: "u32",
  seed_high: "u32",
  stream: "u32",
  rate: "f32",
  keep_factor: "f32",
} as const;

const PRODUCT: Kernel = {
  name: "ragged_attention_naive_product",
  wgsl: productSource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: FACTORED,
};

const MIX: Kernel = {
  name: "ragged_attention_naive_mix",
  wgsl: mixSource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: FACTORED,
};

const SPREAD: Kernel = {
  name: "ragged_attention_naive_spread",
  wgsl: spreadSource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: FACTORED,
};

const softmaxKernel = /* @__PURE__ */ unrolled({
  name: "ragged_attention_naive_softmax",
  wgsl: softmaxSource,
  bindings: ["read", "read", "read_write", "read_write"],
  params: /* @__PURE__ */ merged(SIZES, DROPOUT),
});

const slopeKernel = /* @__PURE__ */ unrolled({
  name: "ragged_attention_naive_slope",
  wgsl: slopeSource,
  bindings: ["read", "read", "read", "read", "read", "read_write", "read_write"],
  params: /* @__PURE__ */ merged(SLOPE_SIZES, DROPOUT),
});

const WORKGROUP = 64;

/** Results of the forward pass. */
export interface Forward {
  /** Mixed values. */
  readonly y: Tensor;
  /** Logarithm of the sum of exponentiated scores. */
  readonly logSumExp: Tensor;
}

/** What the gradient reads besides the inputs. */
export interface Backward extends Forward {
  /** Gradient that comes in. */
  readonly dY: Tensor;
}

/** Gradients. */
export interface Gradients {
  /** Of the queries. */
  readonly dQ: Tensor;
  /** Of the keys. */
  readonly dK: Tensor;
  /** Of the values. */
  readonly dV: Tensor;
}

/** Records the forward pass. */
export function attendNaively(
  ctx: GpuContext,
  inputs: RaggedAttentionInputs,
  { y, logSumExp, problem }: Forward & { readonly problem: Problem },
): void {
  const { lists, rows, heads, stride, scale, dropout } = problem;
  const ragged = raggedOf(inputs);
  using scope = ctx.scope();
  const s = scores(scope, problem);
  product(scope, [...ragged, inputs.q, inputs.k, s], { problem, factor: scale });
  scope.dispatch(softmaxKernel({ DROP: dropout ? 1 : 0 }), {
    buffers: [...ragged, s, logSumExp],
    params: { lists, rows, heads, stride, ...dropoutParams(dropout) },
    workgroups: gridFor(rows * heads, WORKGROUP),
  });
  mix(scope, [...ragged, s, inputs.v, y], { problem, factor: 1 });
}

/** Records the gradient. */
export function attendNaivelyGradient(
  ctx: GpuContext,
  inputs: RaggedAttentionInputs & Backward,
  { dQ, dK, dV, problem }: Gradients & { readonly problem: Problem },
): void {
  const { lists, rows, heads, dimension, stride, scale, dropout } = problem;
  const { q, k, v, y, dY, logSumExp } = inputs;
  const ragged = raggedOf(inputs);
  using scope = ctx.scope();
  const s = scores(scope, problem);
  const g = scores(scope, problem);
  product(scope, [...ragged, q, k, s], { problem, factor: scale });
  product(scope, [...ragged, dY, v, g], { problem, factor: 1 });
  scope.dispatch(slopeKernel({ DROP: dropout ? 1 : 0 }), {
    buffers: [...ragged, y, dY, logSumExp, s, g],
    params: { lists, rows, heads, dimension, stride, ...dropoutParams(dropout) },
    workgroups: gridFor(rows * heads * stride, WORKGROUP),
  });
  mix(scope, [...ragged, g, k, dQ], { problem, factor: scale });
  spread(scope, [...ragged, g, q, dK], { problem, factor: scale });
  spread(scope, [...ragged, s, dY, dV], { problem, factor: 1 });
}

interface Factored {
  readonly problem: Problem;
  readonly factor: number;
}

function product(ctx: GpuContext, buffers: readonly Tensor[], { problem, factor }: Factored): void {
  const { lists, rows, heads, dimension, stride } = problem;
  ctx.dispatch(PRODUCT, {
    buffers,
    params: { lists, rows, heads, dimension, stride, factor },
    workgroups: gridFor(rows * heads * stride, WORKGROUP),
  });
}

function mix(ctx: GpuContext, buffers: readonly Tensor[], { problem, factor }: Factored): void {
  const { lists, rows, heads, dimension, stride } = problem;
  ctx.dispatch(MIX, {
    buffers,
    params: { lists, rows, heads, dimension, stride, factor },
    workgroups: gridFor(rows * heads * dimension, WORKGROUP),
  });
}

function spread(ctx: GpuContext, buffers: readonly Tensor[], { problem, factor }: Factored): void {
  const { lists, keyRows, heads, dimension, stride } = problem;
  ctx.dispatch(SPREAD, {
    buffers,
    params: { lists, rows: keyRows, heads, dimension, stride, factor },
    workgroups: gridFor(keyRows * heads * dimension, WORKGROUP),
  });
}

function raggedOf({ offsets, keyOffsets = offsets }: RaggedAttentionInputs): [Tensor, Tensor] {
  return [offsets, keyOffsets];
}

/** The matrix; a software adapter must reach the end of its rows three times. */
function scores(ctx: GpuContext, problem: Problem): Tensor {
  const { rows, heads, stride, maxLength, dimension } = problem;
  const turns = Math.max(3 * stride, maxLength, dimension);
  if (ctx.gpu.adapter.isSoftware && turns > LOOP_TURNS) {
    throw new RangeError(
      `Cannot run raggedAttention: the naive variant takes ${turns} loop turns, and a software ` +
        `adapter stops before 65535`,
    );
  }
  return ctx.empty([rows, heads, stride], "f32", { label: "attention scores" });
}
