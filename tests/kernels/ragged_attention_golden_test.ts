import { ATTENTION_VARIANTS } from "../../kernels/ragged_attention/_problem.ts";
import {
  raggedAttention,
  raggedAttentionGradient,
  type RaggedAttentionVariant,
} from "../../kernels/ragged_attention/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";
import golden from "../golden/attention.json" with { type: "json" };
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

const { width, heads } = golden;
type Case = typeof golden.self;

/** i32 [lists + 1] of lists of these lengths. */
function offsetsOf(ctx: Context, lengths: readonly number[]): Tensor {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, n) => offsets[n + 1] = offsets[n]! + length);
  return ctx.upload(offsets, [offsets.length]);
}

/** The rows of a case, with rows of padding behind them. */
function rowsOf(ctx: Context, values: readonly number[], padding: number): Tensor {
  const data = new Float32Array(values.length + padding * width).fill(3);
  data.set(values);
  return ctx.upload(data, [data.length / width, width]);
}

/** What a kernel must have written: the golden rows, and zeros in the padding. */
function padded(values: readonly number[], padding: number): Float32Array {
  const data = new Float32Array(values.length + padding * width);
  data.set(values);
  return data;
}

interface Way {
  readonly cross: boolean;
  readonly padding: number;
  readonly variant?: RaggedAttentionVariant;
}

async function compare(ctx: Context, of: Case, how: Way): Promise<void> {
  const { cross, padding, variant } = how;
  const inputs = {
    q: rowsOf(ctx, of.q, padding),
    k: rowsOf(ctx, of.k, padding),
    v: rowsOf(ctx, of.v, padding),
    offsets: offsetsOf(ctx, of.lengths),
    ...(cross ? { keyOffsets: offsetsOf(ctx, of.key_lengths) } : {}),
  };
  const options = {
    heads,
    ...(variant === undefined ? {} : { variant }),
    maxLength: Math.max(...of.lengths),
    ...(cross ? { maxKeys: Math.max(...of.key_lengths) } : {}),
  };
  const { y, logSumExp } = raggedAttention(ctx, inputs, options);
  const dY = rowsOf(ctx, of.d_y, padding);
  const gradients = raggedAttentionGradient(ctx, { ...inputs, y, logSumExp, dY }, options);
  const { dQ, dK, dV } = gradients;
  const found = await ctx.read(y, dQ, dK, dV, logSumExp);
  const label = `${ctx.kind} ${variant}, ${cross ? "cross" : "self"}, padding ${padding}`;
  for (const [i, name] of (["y", "d_q", "d_k", "d_v"] as const).entries()) {
    assertClose(found[i]!, padded(of[name], padding), TOLERANCE.kernel, `${name} on ${label}`);
  }
  const known = of.log_sum_exp.flatMap((value, at) => value === null ? [] : [{ value, at }]);
  assertClose(
    known.map(({ at }) => found[4]![at]!),
    known.map(({ value }) => value),
    TOLERANCE.kernel,
    `logSumExp on ${label}`,
  );
}

gpuTest("raggedAttention() and its gradient are PyTorch's", async ({ gpu, host }) => {
  for (const padding of [0, 5]) {
    await compare(host, golden.self, { cross: false, padding });
    await compare(host, golden.cross as Case, { cross: true, padding });
    for (const variant of ATTENTION_VARIANTS) {
      await compare(gpu, golden.self, { cross: false, padding, variant });
      await compare(gpu, golden.cross as Case, { cross: true, padding, variant });
    }
  }
});
