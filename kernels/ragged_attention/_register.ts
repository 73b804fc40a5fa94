/**
 * Attention that streams over keys, and gradients that stream over keys or queries, with the rows of
 * the other side in registers: the scores are never written.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { packed, quadsOf } from "../_pack.ts";
import { LOOP_TURNS, REGISTER_LANES } from "../_products.ts";
import { type Spec, unrolled } from "../_unroll.ts";
import type { Backward, Forward, Gradients } from "./_naive.ts";
import { dropoutParams, type Problem, type RaggedAttentionInputs } from "./_problem.ts";
import keysSource from "./ragged_attention_keys_register.wgsl" with { type: "text" };
import queriesSource from "./ragged_attention_queries_register.wgsl" with { type: "text" };
import registerSource from "./ragged_attention_register.wgsl" with { type: "text" };
import statsSource from "./ragged_attention_stats.wgsl" with { type: "text" };

const PARAMS = {
  lists: "u32",
  rows: "u32",
  heads: "u32",
  quads: "u32",
  dimension: "u32",
  items: "u32",
  blocks: "u32",
  seed_low: "u32",
  seed_high: "u32",
  stream: "u32",
  rate: "f32",
  keep_factor: "f32",
  scale: "f32",
} as const;

const forwardKernel = /* @__PURE__ */ unrolled({
  name: "ragged_attention",
  wgsl: registerSource,
  bindings: ["read", "read", "read", "read", "read", "read_write", "read_write"],
  params: PARAMS,
});

const queriesKernel = /* @__PURE__ */ unrolled({
  name: "ragged_attention_queries",
  wgsl: queriesSource,
  bindings: ["read", "read", "read", "read", "read", "read", "read", "read_write"],
  params: PARAMS,
});

const keysKernel = /* @__PURE__ */ unrolled({
  name: "ragged_attention_keys",
  wgsl: keysSource,
  bindings: ["read", "read", "read", "read", "read", "read", "read", "read_write", "read_write"],
  params: PARAMS,
});

const STATS: Kernel = {
  name: "ragged_attention_stats",
  wgsl: statsSource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: { lists: "u32", rows: "u32", heads: "u32", quads: "u32" },
};

/** Vec4 that all rows of an invocation hold: above, compiling takes several seconds. */
const HELD = 64;

/** Rows of an invocation at most, a power of two. */
const MOST_ROWS = 16;

/** A tile of one invocation, by the names of the kernels' marked constants. */
interface Tile {
  /** Rows in registers. */
  readonly TM: number;
  /** Vec4 of a part of a head. */
  readonly QUADS: number;
  /** Parts of a head. */
  readonly PARTS: number;
}

/**
 * The tile for heads of a width.
 *
 * @param quads Vec4 of a head.
 * @returns The tile.
 */
export function attentionTile(quads: number): Tile {
  const parts = Math.ceil(quads / HELD);
  const part = Math.ceil(quads / parts);
  const rows = Math.min(MOST_ROWS, 2 ** Math.floor(Math.log2(HELD / part)));
  return { TM: rows, QUADS: part, PARTS: parts };
}

/** Records the forward pass. */
export function attendInRegisters(
  ctx: GpuContext,
  inputs: RaggedAttentionInputs,
  { y, logSumExp, problem }: Forward & { readonly problem: Problem },
): void {
  const { offsets, keyOffsets = offsets } = inputs;
  const tile = attentionTile(quadsOf(problem.dimension));
  using scope = ctx.scope();
  const [q, k, v] = operands(scope, problem, [inputs.q, inputs.k, inputs.v]);
  run(scope, (spec) => forwardKernel({ ...spec, TN: tile.QUADS <= 4 ? 4 : 1 }), {
    buffers: [offsets, keyOffsets, q!, k!, v!, y, logSumExp],
    rows: problem.rows,
    tile,
    problem,
  });
}

/** Records the gradient. */
export function attendInRegistersGradient(
  ctx: GpuContext,
  inputs: RaggedAttentionInputs & Backward,
  { dQ, dK, dV, problem }: Gradients & { readonly problem: Problem },
): void {
  const { offsets, keyOffsets = offsets, logSumExp } = inputs;
  const { lists, rows, keyRows, heads, dimension } = problem;
  const quads = quadsOf(dimension);
  const tile = attentionTile(quads);
  using scope = ctx.scope();
  const [q, k, v, y, dY] = operands(scope, problem, [
    inputs.q,
    inputs.k,
    inputs.v,
    inputs.y,
    inputs.dY,
  ]);
  const stats = scope.empty([rows, heads, 2], "f32", { label: "attention stats" });
  scope.dispatch(STATS, {
    buffers: [offsets, y!, dY!, logSumExp, stats],
    params: { lists, rows, heads, quads },
    workgroups: gridFor(rows * heads, REGISTER_LANES),
  });
  const inward = [offsets, keyOffsets, q!, k!, v!, dY!, stats];
  run(scope, queriesKernel, { buffers: [...inward, dQ], rows, tile, problem });
  run(scope, (spec) => keysKernel({ ...spec, BLOCKS: Math.ceil(tile.TM / 4) }), {
    buffers: [...inward, dK, dV],
    rows: keyRows,
    tile,
    problem,
  });
}

interface Run {
  readonly buffers: readonly Tensor[];
  /** Rows that tiles are made of. */
  readonly rows: number;
  readonly tile: Tile;
  readonly problem: Problem;
}

function run(ctx: GpuContext, kernel: (spec: Spec) => Kernel, call: Run): void {
  const { buffers, rows, tile, problem } = call;
  const { lists, heads, dimension, stride, scale, dropout } = problem;
  const items = (Math.floor(rows / tile.TM) + lists + 1) * heads * tile.PARTS;
  const [Elem, WIDTH] = dimension % 4 === 0 ? ["vec4<f32>", 4] : ["f32", 1];
  ctx.dispatch(kernel({ ...tile, DROP: dropout ? 1 : 0, Elem, WIDTH }), {
    buffers,
    params: {
      lists,
      rows,
      heads,
      quads: quadsOf(dimension),
      dimension,
      items,
      blocks: stride / 4,
      ...dropoutParams(dropout),
      scale,
    },
    workgroups: rows === 0 ? [0] : gridFor(items, REGISTER_LANES),
  });
}

/** Operands as rows of heads that are padded to whole vec4. */
function operands(ctx: GpuContext, { heads, dimension }: Problem, tensors: Tensor[]): Tensor[] {
  return tensors.map((tensor) => {
    const rows = tensor.shape[0]! * heads;
    return packed(ctx, tensor, { rows, k: dimension });
  });
}
