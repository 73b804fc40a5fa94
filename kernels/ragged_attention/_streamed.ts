/**
 * Attention that streams over keys, and gradients that stream over keys or queries: the scores are
 * never written.
 *
 * @module
 */

import { type GpuContext, gridFor, type Kernel, type Tensor } from "../../runtime/mod.ts";
import { packed, quadsOf } from "../_pack.ts";
import { LOOP_TURNS } from "../_products.ts";
import { merged, unrolled } from "../_unroll.ts";
import type { Backward, Forward, Gradients } from "./_naive.ts";
import {
  layoutOf,
  type Pass,
  type RaggedAttentionTile,
  type StreamedVariant,
  tileFor,
} from "./_plan.ts";
import { dropoutParams, type Problem, type RaggedAttentionInputs } from "./_problem.ts";
import keysRegisterSource from "./ragged_attention_keys_register.wgsl" with { type: "text" };
import keysTiledSource from "./ragged_attention_keys_tiled.wgsl" with { type: "text" };
import queriesRegisterSource from "./ragged_attention_queries_register.wgsl" with { type: "text" };
import queriesTiledSource from "./ragged_attention_queries_tiled.wgsl" with { type: "text" };
import registerSource from "./ragged_attention_register.wgsl" with { type: "text" };
import statsSource from "./ragged_attention_stats.wgsl" with { type: "text" };
import tiledSource from "./ragged_attention_tiled.wgsl" with { type: "text" };

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

const FORWARD: Omit<Kernel, "wgsl"> = {
  name: "ragged_attention",
  bindings: ["read", "read", "read", "read", "read", "read_write", "read_write"],
  params: PARAMS,
};

const QUERIES: Omit<Kernel, "wgsl"> = {
  name: "ragged_attention_queries",
  bindings: ["read", "read", "read", "read", "read", "read", "read", "read_write"],
  params: PARAMS,
};

const KEYS: Omit<Kernel, "wgsl"> = {
  name: "ragged_attention_keys",
  bindings: ["read", "read", "read", "read", "read", "read", "read", "read_write", "read_write"],
  params: PARAMS,
};

const STATS: Kernel = {
  name: "ragged_attention_stats",
  wgsl: statsSource,
  bindings: ["read", "read", "read", "read", "read_write"],
  params: { lists: "u32", rows: "u32", heads: "u32", quads: "u32" },
};

const forwardRegister = /* @__PURE__ */ unrolled(
  /* @__PURE__ */ merged(FORWARD, { wgsl: registerSource }),
);
const forwardTiled = /* @__PURE__ */ unrolled(
  /* @__PURE__ */ merged(FORWARD, { wgsl: tiledSource }),
);
const queriesRegister = /* @__PURE__ */ unrolled(
  /* @__PURE__ */ merged(QUERIES, { wgsl: queriesRegisterSource }),
);
const queriesTiled = /* @__PURE__ */ unrolled(
  /* @__PURE__ */ merged(QUERIES, { wgsl: queriesTiledSource }),
);
const keysRegister = /* @__PURE__ */ unrolled(
  /* @__PURE__ */ merged(KEYS, { wgsl: keysRegisterSource }),
);
const keysTiled = /* @__PURE__ */ unrolled(/* @__PURE__ */ merged(KEYS, { wgsl: keysTiledSource }));

const KERNELS = {
  forward: { register: forwardRegister, tiled: forwardTiled },
  queries: { register: queriesRegister, tiled: queriesTiled },
  keys: { register: keysRegister, tiled: keysTiled },
} as const;

/** Turns that an invocation takes for more than its rows: bisection, and a first block of numbers. */
const SPARE_TURNS = 300;

const SOFTWARE_WORKGROUP = 8;
const GPU_WORKGROUP = 64;

/** Sizes and layout of one call. */
export interface StreamedCall {
  /** Sizes and scalars. */
  readonly problem: Problem;
  /** Which kernels. */
  readonly variant: StreamedVariant;
  /** What the caller forces. */
  readonly tile: RaggedAttentionTile | undefined;
}

/**
 * Records the forward pass.
 *
 * @throws {RangeError} When lists are too long for a software adapter.
 */
export function streamForward(
  ctx: GpuContext,
  inputs: RaggedAttentionInputs,
  { y, logSumExp, ...call }: Forward & StreamedCall,
): void {
  const { offsets, keyOffsets = offsets } = inputs;
  using scope = ctx.scope();
  const operands = [inputs.q, inputs.k, inputs.v].map((x) => byHead(scope, x, call.problem));
  run(scope, [offsets, keyOffsets, ...operands, y, logSumExp], { ...call, pass: "forward" });
}

/**
 * Records the gradient.
 *
 * @throws {RangeError} When lists are too long for a software adapter.
 */
export function streamGradient(
  ctx: GpuContext,
  inputs: RaggedAttentionInputs & Backward,
  { dQ, dK, dV, ...call }: Gradients & StreamedCall,
): void {
  const { offsets, keyOffsets = offsets, q, k, v, logSumExp } = inputs;
  const { lists, rows, heads, dimension } = call.problem;
  using scope = ctx.scope();
  const stats = scope.empty([rows, heads, 2], "f32", { label: "attention stats" });
  const operands = [q, k, v, inputs.dY].map((x) => byHead(scope, x, call.problem));
  const [y, dY] = [byHead(scope, inputs.y, call.problem), operands[3]!];
  const workgroup = ctx.gpu.adapter.isSoftware ? SOFTWARE_WORKGROUP : GPU_WORKGROUP;
  scope.dispatch(STATS, {
    buffers: [offsets, y, dY, logSumExp, stats],
    params: { lists, rows, heads, quads: quadsOf(dimension) },
    workgroups: gridFor(rows * heads, workgroup),
    overrides: { WORKGROUP: workgroup },
  });
  const read = [offsets, keyOffsets, ...operands, stats];
  run(scope, [...read, dQ], { ...call, pass: "queries" });
  run(scope, [...read, dK, dV], { ...call, pass: "keys" });
}

function run(
  ctx: GpuContext,
  buffers: readonly Tensor[],
  { pass, problem, variant, tile }: StreamedCall & { readonly pass: Pass },
): void {
  const { lists, heads, dimension, stride, scale, dropout, maxLength, maxKeys } = problem;
  const quads = quadsOf(dimension);
  const work = 4 * problem.rows * maxKeys * heads * dimension;
  const layout = layoutOf(pass, quads, { variant, tile: tileFor(work, tile) });
  const streamed = pass === "keys" ? maxLength : maxKeys;
  requireTurns(ctx, streamed * (layout.parts === 1 ? 1 : layout.parts + 3) + SPARE_TURNS);
  const rows = pass === "keys" ? problem.keyRows : problem.rows;
  const items = (Math.floor(rows / layout.rows) + lists + 1) * heads * layout.parts;
  const [Elem, WIDTH] = dimension % 4 === 0 ? ["vec4<f32>", 4] : ["f32", 1];
  const DROP = dropout === undefined ? 0 : 1;
  ctx.dispatch(KERNELS[pass][variant]({ ...layout.spec, DROP, Elem, WIDTH }), {
    buffers,
    params: {
      lists,
      rows,
      heads,
      quads,
      dimension,
      items,
      blocks: stride / 4,
      ...dropoutParams(dropout),
      scale,
    },
    workgroups: rows === 0 ? [0] : gridFor(items, layout.perWorkgroup),
  });
}

/** Each head's columns padded to whole vec4. */
function byHead(ctx: GpuContext, x: Tensor, { heads, dimension }: Problem): Tensor {
  return packed(ctx, x, { rows: x.shape[0]! * heads, k: dimension });
}

function requireTurns(ctx: GpuContext, turns: number): void {
  if (!ctx.gpu.adapter.isSoftware || turns <= LOOP_TURNS) return;
  throw new RangeError(
    `Cannot run raggedAttention: the longest list takes ${turns} loop turns, and a software adapter ` +
      `stops before 65535`,
  );
}
