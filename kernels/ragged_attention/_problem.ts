/**
 * What forward pass and gradient of an attention have in common on the host: options, checks, sizes.
 *
 * @module
 */

import { type GpuContext, Scalar, scalarValue, type Tensor } from "../../runtime/mod.ts";
import { requireDType, requireMatrix, requireShape } from "../_arguments.ts";
import { PRODUCT_VARIANTS, type ProductVariant, productVariant } from "../_products.ts";
import type { RaggedAttentionTile } from "./_plan.ts";
import type { AttentionProblem } from "./reference.ts";

/**
 * How an attention is spread: `naive` writes the scores as a matrix; `register` keeps several rows per
 * invocation in registers, `tiled` one, with tiles of the other side in workgroup memory.
 */
export type RaggedAttentionVariant = ProductVariant;

/** All variants, the baseline first. */
export const ATTENTION_VARIANTS: readonly RaggedAttentionVariant[] = PRODUCT_VARIANTS;

/** Dropout of the weights that softmax gives. */
export interface RaggedAttentionDropout {
  /** Probability of making a weight 0, from 0 to below 1. */
  readonly rate: number;
  /**
   * A whole number from 0 to 2^53 - 1, or a `Scalar` that stays below 2^32 and is read again at each
   * replay.
   */
  readonly seed: number | Scalar;
  /** A whole number from 0 to 2^32 - 1; a `Scalar` gives each replay a choice of its own. */
  readonly stream: number | Scalar;
}

/** Options of {@linkcode raggedAttention} and its gradient. */
export interface RaggedAttentionOptions {
  /** Number of heads; it divides the width. */
  readonly heads: number;
  /** No list has more queries. */
  readonly maxLength: number;
  /** No list has more keys; `maxLength` by default, and required with `keyOffsets`. */
  readonly maxKeys?: number | undefined;
  /** Factor of the scores, `1 / sqrt(width / heads)` by default. */
  readonly scale?: number | undefined;
  /** Drops weights after softmax; nothing by default. */
  readonly dropout?: RaggedAttentionDropout | undefined;
  /** Forces a variant; `register` on software adapters and `tiled` elsewhere by default. */
  readonly variant?: RaggedAttentionVariant | undefined;
  /** Forces the tile of the `register` variant; by default the amount of work decides. */
  readonly tile?: RaggedAttentionTile | undefined;
}

/** Tensors of {@linkcode raggedAttention}. */
export interface RaggedAttentionInputs {
  /** Queries, f32 [Rq, W]. */
  readonly q: Tensor;
  /** Keys, f32 [Rk, W]. */
  readonly k: Tensor;
  /** Values, f32 [Rk, W]. */
  readonly v: Tensor;
  /** First query of each list, and the end of the last, i32 [N + 1]. */
  readonly offsets: Tensor;
  /** The same of the keys, `offsets` by default. */
  readonly keyOffsets?: Tensor | undefined;
}

/** Sizes and scalars of one call. */
export interface Problem extends Omit<AttentionProblem, "dropout"> {
  /** Number of lists. */
  readonly lists: number;
  /** Rows of queries, padding included. */
  readonly rows: number;
  /** Rows of keys, padding included. */
  readonly keyRows: number;
  /** Columns of all heads. */
  readonly width: number;
  /** No list has more queries. */
  readonly maxLength: number;
  /** No list has more keys. */
  readonly maxKeys: number;
  /** Dropout, where there is any. */
  readonly dropout: RaggedAttentionDropout | undefined;
}

const TWO_POW_32 = 4294967296;

/**
 * Checks tensors and options.
 *
 * @param kernel The operation's name.
 * @param inputs Queries, keys, values, offsets.
 * @param options As the caller gave them.
 * @returns Sizes and scalars.
 * @throws {ShapeError} When shapes do not fit.
 * @throws {DTypeError} When offsets do not hold i32, or another tensor does not hold f32.
 * @throws {RangeError} When a number is out of its range.
 * @throws {TypeError} When `keyOffsets` is given without `maxKeys`.
 */
export function problemOf(
  kernel: string,
  inputs: RaggedAttentionInputs,
  options: RaggedAttentionOptions,
): Problem {
  const { q, k, v, offsets, keyOffsets = offsets } = inputs;
  const { heads, maxLength, dropout } = options;
  const [rows, width] = requireMatrix(q, { kernel, name: "q" });
  const [keyRows] = requireMatrix(k, { kernel, name: "k", columns: width });
  requireMatrix(v, { kernel, name: "v", rows: keyRows, columns: width });
  requireDType(offsets, "i32", { kernel, name: "offsets" });
  const [ends] = requireShape(offsets, ["lists + 1"], { kernel, name: "offsets" });
  requireDType(keyOffsets, "i32", { kernel, name: "keyOffsets" });
  requireShape(keyOffsets, [ends!], { kernel, name: "keyOffsets" });
  requireWhole(kernel, "the number of offsets", { value: ends!, least: 1 });
  requireWhole(kernel, "heads", { value: heads, least: 1 });
  const dimension = width / heads;
  if (!(Number.isInteger(dimension) && dimension >= 1)) {
    throw new RangeError(
      `Cannot run ${kernel}: the width must be a positive multiple of the ${heads} heads: it is ` +
        `${width}`,
    );
  }
  if (inputs.keyOffsets !== undefined && options.maxKeys === undefined) {
    throw new TypeError(`Cannot run ${kernel}: "keyOffsets" needs "maxKeys" beside "maxLength"`);
  }
  const maxKeys = options.maxKeys ?? maxLength;
  requireWhole(kernel, "maxLength", { value: maxLength, least: 1 });
  requireWhole(kernel, "maxKeys", { value: maxKeys, least: 1 });
  const scale = options.scale ?? 1 / Math.sqrt(dimension);
  if (!Number.isFinite(scale)) {
    throw new RangeError(`Cannot run ${kernel}: scale must be a finite number: it is ${scale}`);
  }
  // A query's uniform numbers begin with a block of Philox.
  const stride = 4 * Math.ceil(maxKeys / 4);
  const size = { rows, keyRows, heads, stride };
  return {
    ...size,
    lists: ends! - 1,
    width,
    dimension,
    maxLength,
    maxKeys,
    scale,
    dropout: dropout && dropout.rate !== 0
      ? requireDropout(kernel, dropout, rows * heads * stride / 4)
      : undefined,
  };
}

function requireDropout(
  kernel: string,
  dropout: RaggedAttentionDropout,
  blocks: number,
): RaggedAttentionDropout {
  const { rate, seed, stream } = dropout;
  if (!(rate >= 0 && rate < 1)) {
    throw new RangeError(
      `Cannot run ${kernel}: the dropout's rate must be from 0 to below 1: it is ${rate}`,
    );
  }
  const most = seed instanceof Scalar ? TWO_POW_32 - 1 : Number.MAX_SAFE_INTEGER;
  requireWhole(kernel, "the dropout's seed", { value: scalarValue(seed), most });
  const last = TWO_POW_32 - 1;
  requireWhole(kernel, "the dropout's stream", { value: scalarValue(stream), most: last });
  requireWhole(kernel, "the blocks of the dropout's numbers", { value: blocks, most: TWO_POW_32 });
  return dropout;
}

function requireWhole(
  kernel: string,
  name: string,
  { value, least = 0, most = Number.MAX_SAFE_INTEGER }: {
    readonly value: number;
    readonly least?: number;
    readonly most?: number;
  },
): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw new RangeError(
    `Cannot run ${kernel}: ${name} must be a whole number from ${least} to ${most}: it is ${value}`,
  );
}

/**
 * The variant that an attention runs on a GPU.
 *
 * @param ctx The GPU.
 * @param operation The operation's name, under which a GPU may force a variant.
 * @param options What the caller forces.
 * @returns The variant.
 * @throws {RangeError} When a forced variant does not exist.
 */
export function attentionVariant(
  ctx: GpuContext,
  operation: string,
  { variant }: RaggedAttentionOptions,
): RaggedAttentionVariant {
  return productVariant(ctx, operation, variant === undefined ? {} : { variant });
}

/** The dropout as references take it. */
export function hostProblem(problem: Problem): AttentionProblem {
  const { dropout } = problem;
  return {
    ...problem,
    dropout: dropout && {
      rate: dropout.rate,
      seed: scalarValue(dropout.seed),
      stream: scalarValue(dropout.stream),
    },
  };
}

/** The dropout as kernels take it; what they read without one does not matter. */
export function dropoutParams(
  dropout: RaggedAttentionDropout | undefined,
): Readonly<Record<"seed_low" | "seed_high" | "stream" | "rate" | "keep_factor", number | Scalar>> {
  const { rate, seed, stream } = dropout ?? { rate: 0, seed: 0, stream: 0 };
  return {
    "seed_low": typeof seed === "number" ? seed % TWO_POW_32 : seed,
    "seed_high": typeof seed === "number" ? Math.floor(seed / TWO_POW_32) : 0,
    stream,
    rate,
    "keep_factor": 1 / (1 - rate),
  };
}
