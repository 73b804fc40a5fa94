/**
 * How near candidates are to the in-distribution classes, and which of them are far enough.
 *
 * @module
 */

import { matmul } from "../../kernels/mod.ts";
import { between, ranksOf } from "../../kernels/percentile/reference.ts";
import { type Context, UserError } from "../../runtime/mod.ts";
import { valueAtPercentile } from "../_percentile.ts";
import type { LabelKind } from "./label_set.ts";

/** Rows of unit length. */
export interface UnitRows {
  /** The rows, [L, D]. */
  readonly text: Float32Array<ArrayBuffer>;
  /** D. */
  readonly width: number;
}

/** How near each candidate is to the classes. */
export interface Nearness {
  /** A quantile of its cosines to all classes. */
  readonly quantiles: Float64Array;
  /** Its largest cosine. */
  readonly largest: Float64Array;
}

/** How candidates are compared with classes. */
export interface CompareOptions {
  /**
   * The quantile, 0 to 1, with linear interpolation between cosines.
   *
   * @default {0.95}
   */
  readonly quantile?: number;
  /** Called after each part, with candidates. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops between parts. */
  readonly signal?: AbortSignal;
}

/** Cosines that are held at a time, 16 MB; the next ones are computed meanwhile. */
const PART_ELEMENTS = 4 * 1024 * 1024;

/**
 * Compares candidates with classes: a quantile of each candidate's cosines, and the largest. The
 * matrix of all cosines never lies in memory.
 *
 * @param context Where cosines are computed.
 * @param rows Features of unit length of the candidates and of the classes.
 * @param options The quantile and progress.
 * @returns Figures by candidate.
 * @throws {UserError} When the quantile is out of range, or the features differ in width.
 *
 * @example A candidate between two classes
 * ```ts
 * import { compareWithClasses } from "@oodgpu/oodgpu/methods";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const candidates = { text: new Float32Array([1, 0]), width: 2 };
 * const ids = { text: new Float32Array([1, 0, 0, 1]), width: 2 };
 * const { quantiles, largest } = await compareWithClasses(
 *   new Host(),
 *   { candidates, ids },
 *   { quantile: 0.75 },
 * );
 * assertEquals([quantiles[0], largest[0]], [0.75, 1]);
 * ```
 */
export async function compareWithClasses(
  context: Context,
  rows: { readonly candidates: UnitRows; readonly ids: UnitRows },
  options: CompareOptions = {},
): Promise<Nearness> {
  const { candidates, ids } = rows;
  const { onProgress, signal } = options;
  const quantile = requireQuantile(options.quantile ?? 0.95);
  const { width } = ids;
  if (candidates.width !== width) {
    throw new UserError(
      `Cannot compare labels: the features of the candidates are ${candidates.width} wide and ` +
        `those of the classes ${width}`,
    );
  }
  const count = candidates.text.length / width;
  const classes = ids.text.length / width;
  const found: Nearness = {
    quantiles: new Float64Array(count),
    largest: new Float64Array(count),
  };
  using scope = context.scope();
  const classRows = scope.upload(ids.text, [classes, width], { label: "classes" });
  const step = Math.max(1, Math.floor(PART_ELEMENTS / Math.max(classes, width)));
  const cosinesFrom = async (at: number): Promise<Float32Array> => {
    using part = context.scope();
    const size = Math.min(step, count - at);
    const text = candidates.text.subarray(at * width, (at + size) * width);
    const a = part.upload(text, [size, width], { label: "candidates" });
    const [cosines] = await part.read(matmul(part, { a, b: classRows }, { transposeB: true }));
    return cosines as Float32Array;
  };
  let next = count > 0 ? cosinesFrom(0) : undefined;
  for (let at = 0; next !== undefined; at += step) {
    const cosines = await next;
    const following = at + step;
    // The GPU works on the following part while this one is looked through.
    next = following < count && !signal?.aborted ? cosinesFrom(following) : undefined;
    summarise(cosines, found, { at, classes, quantile });
    onProgress?.(Math.min(following, count), count);
  }
  signal?.throwIfAborted();
  return found;
}

function summarise(
  cosines: Float32Array,
  { quantiles, largest }: Nearness,
  { at, classes, quantile }: { at: number; classes: number; quantile: number },
): void {
  const { low, fraction } = ranksOf(classes, 100 * quantile);
  for (let row = 0; row * classes < cosines.length; row++) {
    const values = cosines.subarray(row * classes, (row + 1) * classes);
    // Brings the values into an order in which those after `low` are the larger ones.
    const lower = valueAtPercentile(values, 100 * quantile);
    let upper = Infinity;
    let most = lower;
    for (let i = low + 1; i < classes; i++) {
      upper = Math.min(upper, values[i]!);
      most = Math.max(most, values[i]!);
    }
    quantiles[at + row] = between(lower, Math.min(upper, most), fraction);
    largest[at + row] = most;
  }
}

/**
 * Refuses what is no quantile.
 *
 * @param quantile The quantile.
 * @returns The same.
 * @throws {UserError} When it does not lie between 0 and 1.
 */
export function requireQuantile(quantile: number): number {
  if (quantile >= 0 && quantile <= 1) return quantile;
  throw new UserError(`Cannot mine labels: the quantile must be from 0 to 1 and is ${quantile}`);
}

/** How many candidates become negative labels. */
export interface ChooseOptions {
  /**
   * The share of each kind, rounded down, at least one.
   *
   * @default {0.15}
   */
  readonly share?: number;
  /** How many in all, shared among the kinds as their candidates are; in place of `share`. */
  readonly count?: number;
}

/**
 * Chooses the candidates that are farthest from the classes, of each kind for itself.
 *
 * @param nearness How near each candidate is, lower for farther.
 * @param kinds Kinds of the candidates.
 * @param options The share or the number.
 * @returns Indices of candidates, the farthest first; of equally far ones the earlier.
 * @throws {UserError} When the share is not above 0 and at most 1, or the number is no whole number
 * from 1 on.
 *
 * @example Half of the nouns and half of the adjectives
 * ```ts
 * import { chooseFarthest } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const kinds = ["noun", "noun", "adjective", "adjective"] as const;
 * const nearness = new Float64Array([0.3, 0.2, 0.9, 0.8]);
 * assertEquals(chooseFarthest(nearness, kinds, { share: 0.5 }), [1, 3]);
 * ```
 */
export function chooseFarthest(
  nearness: Float64Array,
  kinds: readonly LabelKind[],
  options: ChooseOptions = {},
): number[] {
  const byKind = new Map<LabelKind, number[]>();
  for (const [i, kind] of kinds.entries()) {
    const indices = byKind.get(kind) ?? [];
    byKind.set(kind, indices);
    indices.push(i);
  }
  const groups = [...byKind.values()];
  const order = (a: number, b: number) => nearness[a]! - nearness[b]! || a - b;
  const wanted = shares(groups.map(({ length }) => length), requireChoice(options));
  return groups.flatMap((group, g) => group.sort(order).slice(0, wanted[g])).sort(order);
}

/**
 * Refuses shares and numbers that make no sense.
 *
 * @param options The share or the number.
 * @returns The same.
 * @throws {UserError} When one is out of its range.
 */
export function requireChoice(options: ChooseOptions): ChooseOptions {
  const { share = 0.15, count } = options;
  if (!(share > 0 && share <= 1)) {
    throw new UserError(
      `Cannot mine labels: the share must be above 0 and at most 1 and is ${share}`,
    );
  }
  if (count !== undefined && !(Number.isSafeInteger(count) && count >= 1)) {
    throw new UserError(
      `Cannot mine labels: their number must be a whole number from 1 and is ${count}`,
    );
  }
  return options;
}

/** How many of each group are taken. */
function shares(sizes: readonly number[], { share = 0.15, count }: ChooseOptions): number[] {
  // The sum is not above the exact one by more than rounding: 0.29 of 100 are 29.
  if (count === undefined) return sizes.map((n) => Math.max(1, Math.floor(share * n + 1e-9)));
  const total = sizes.reduce((sum, n) => sum + n, 0);
  const exact = sizes.map((n) => Math.min(count, total) * n / Math.max(total, 1));
  const whole = exact.map(Math.floor);
  // Largest remainders first; a share is never above its group, so neither is the next whole number.
  const left = Math.min(count, total) - whole.reduce((sum, n) => sum + n, 0);
  const byRemainder = exact.map((n, g) => ({ g, remainder: n - whole[g]! }))
    .sort((a, b) => b.remainder - a.remainder || a.g - b.g);
  for (const { g } of byRemainder.slice(0, left)) whole[g]!++;
  return whole;
}
