import {
  raggedAttention,
  raggedAttentionBytes,
  raggedAttentionFlops,
  raggedAttentionGradient,
  raggedAttentionGradientBytes,
  raggedAttentionGradientFlops,
  type RaggedAttentionGradientInputs,
  type RaggedAttentionOptions,
  type RaggedAttentionShape,
  type RaggedAttentionVariant,
} from "../kernels/ragged_attention/mod.ts";
import type { GpuContext } from "../runtime/mod.ts";
import { benchKernel, type BenchShape, fill } from "./_support/mod.ts";

interface Inputs extends RaggedAttentionGradientInputs {
  readonly options: RaggedAttentionOptions;
}

interface Workload {
  readonly lists: number;
  readonly queries: number;
  readonly keys?: number;
  readonly heads: number;
  readonly dimension: number;
  readonly rate?: number;
  readonly slow?: boolean;
}

function sizes(
  { lists, queries, keys = queries, heads, dimension }: Workload,
): RaggedAttentionShape {
  const lengths = Array(lists).fill(queries);
  return { heads, dimension, lengths, keyLengths: Array(lists).fill(keys) };
}

function prepare(ctx: GpuContext, workload: Workload): Inputs {
  const { lists, queries, keys = queries, heads, dimension, rate = 0 } = workload;
  const width = heads * dimension;
  const offsets = (length: number) =>
    ctx.upload(Int32Array.from({ length: lists + 1 }, (_, n) => n * length), [lists + 1]);
  const inputs = {
    q: fill(ctx, [lists * queries, width]),
    k: fill(ctx, [lists * keys, width], { seed: 2 }),
    v: fill(ctx, [lists * keys, width], { seed: 3 }),
    offsets: offsets(queries),
    ...(keys === queries ? {} : { keyOffsets: offsets(keys) }),
  };
  const dropout = { rate, seed: 1, stream: 1 };
  const options = { heads, maxLength: queries, maxKeys: keys, dropout };
  const forward = raggedAttention(ctx, inputs, options);
  return { ...inputs, ...forward, dY: fill(ctx, [lists * queries, width], { seed: 4 }), options };
}

/** An encoder's self-attention wide and narrow, and queries that look at other tokens. */
const WORKLOADS: readonly Workload[] = [
  { lists: 16, queries: 146, heads: 8, dimension: 64 },
  { lists: 16, queries: 146, heads: 8, dimension: 64, rate: 0.1, slow: true },
  { lists: 32, queries: 64, heads: 8, dimension: 16 },
  { lists: 32, queries: 64, heads: 8, dimension: 8 },
  { lists: 32, queries: 60, keys: 64, heads: 1, dimension: 64, slow: true },
  { lists: 32, queries: 60, keys: 64, heads: 4, dimension: 16 },
  { lists: 1, queries: 1000, heads: 1, dimension: 64, slow: true },
];

function labelOf({ lists, queries, keys = queries, heads, dimension, rate }: Workload): string {
  const dropped = rate === undefined ? "" : ` dropout ${rate}`;
  return `${lists} lists ${queries}x${keys} ${heads} heads of ${dimension}${dropped}`;
}

const VARIANTS: readonly RaggedAttentionVariant[] = ["naive", "tiled", "register"];

function benchPass(
  name: string,
  costs: {
    flops: (of: RaggedAttentionShape) => number;
    bytes: (of: RaggedAttentionShape) => number;
  },
  run: (ctx: GpuContext, inputs: Inputs, options: RaggedAttentionOptions) => void,
): Promise<void> {
  return benchKernel<Inputs>(name, {
    shapes: WORKLOADS.map((workload): BenchShape<Inputs> => ({
      label: labelOf(workload),
      flops: costs.flops(sizes(workload)),
      bytes: costs.bytes(sizes(workload)),
      prepare: (ctx) => prepare(ctx, workload),
      slow: workload.slow ?? false,
    })),
    variants: Object.fromEntries(VARIANTS.map((variant) => [
      variant,
      (ctx: GpuContext, inputs: Inputs) => run(ctx, inputs, { ...inputs.options, variant }),
    ])),
  });
}

await benchPass(
  "raggedAttention",
  { flops: raggedAttentionFlops, bytes: raggedAttentionBytes },
  (ctx, inputs, options) => void raggedAttention(ctx, inputs, options),
);

await benchPass(
  "raggedAttentionGradient",
  { flops: raggedAttentionGradientFlops, bytes: raggedAttentionGradientBytes },
  (ctx, inputs, options) => void raggedAttentionGradient(ctx, inputs, options),
);
