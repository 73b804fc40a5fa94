/**
 * Rows of many numbers as points in the plane, for pictures: t-SNE (van der Maaten and Hinton,
 * JMLR 2008), which keeps neighbours together. Distances between groups and their sizes mean
 * nothing in it.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import { affinities, Descent, pairDistances, startingPoints } from "./_tsne.ts";

/** How rows are embedded. */
export interface EmbeddingOptions {
  /** D, how many numbers a row has. */
  readonly dims: number;
  /**
   * Seed of the starting points.
   *
   * @default {0}
   */
  readonly seed?: number;
  /**
   * How many neighbours a row counts, more or less; a third of the rows at most.
   *
   * @default {30}
   */
  readonly perplexity?: number;
  /**
   * Steps of gradient descent, the first quarter of them with neighbours pulled together harder.
   *
   * @default {750}
   */
  readonly iterations?: number;
  /** Called after each step. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** All pairs of this many rows fit memory and patience. */
const MOST_ROWS = 5000;
const EXAGGERATION = 12;

/**
 * Embeds rows in the plane by t-SNE: all pairs exactly, started from the rows' two principal axes.
 * The same rows, options and seed give the same points. 2,000 rows take some seconds; take a sample
 * of more.
 *
 * @param rows N times D finite numbers, row-major.
 * @param options D, the seed, and how hard to try.
 * @returns N pairs of coordinates around 0.
 * @throws {RangeError} When the numbers are no whole rows, or an option is out of its range.
 * @throws {UserError} When there are more than 5,000 rows, or a number is not finite.
 *
 * @example Two groups stay apart
 * ```ts
 * import { embed2d } from "@oodgpu/oodgpu/eval";
 * import { assert } from "@std/assert";
 *
 * const rows = Float32Array.from({ length: 60 }, (_, i) => Math.sin(i) + (i < 30 ? 0 : 50));
 * const points = embed2d(rows, { dims: 3, iterations: 200 });
 * const distance = (i: number, j: number) =>
 *   Math.hypot(points[2 * i]! - points[2 * j]!, points[2 * i + 1]! - points[2 * j + 1]!);
 * assert(distance(0, 1) < distance(0, 19));
 * ```
 */
export function embed2d(
  rows: ArrayLike<number>,
  options: EmbeddingOptions,
): Float32Array<ArrayBuffer> {
  const { dims, seed = 0, perplexity = 30, iterations = 750, onProgress } = options;
  const whole = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  if (!whole(dims, 1) || rows.length % dims !== 0) {
    throw new RangeError(`Cannot embed ${rows.length} numbers: they are no rows of ${dims}`);
  }
  if (!whole(iterations, 1) || !whole(seed, 0) || !(perplexity >= 1)) {
    throw new RangeError(
      `Cannot embed with ${iterations} iterations, seed ${seed} and perplexity ${perplexity}`,
    );
  }
  const count = rows.length / dims;
  if (count > MOST_ROWS) {
    throw new UserError(`Cannot embed ${count} rows: at most ${MOST_ROWS}; take a sample of them`);
  }
  for (let k = 0; k < rows.length; k++) {
    if (!Number.isFinite(rows[k])) {
      throw new UserError(`Cannot embed row ${Math.floor(k / dims)}: it has a ${rows[k]}`);
    }
  }
  if (count < 2) return new Float32Array(2 * count);
  const matrix = { data: rows, rows: count, dims };
  const joint = affinities(pairDistances(matrix), {
    rows: count,
    perplexity: Math.max(1, Math.min(perplexity, (count - 1) / 3)),
  });
  const descent = new Descent(startingPoints(matrix, seed), joint);
  const rate = Math.max(50, count / EXAGGERATION / 4);
  const early = Math.floor(iterations / 4);
  for (let step = 0; step < iterations; step++) {
    descent.step({
      exaggeration: step < early ? EXAGGERATION : 1,
      momentum: step < early ? 0.5 : 0.8,
      rate,
    });
    onProgress?.(step + 1, iterations);
  }
  return centred(descent.points);
}

function centred(points: Float64Array): Float32Array<ArrayBuffer> {
  const means = [0, 0];
  for (let c = 0; c < points.length; c++) means[c % 2]! += 2 * points[c]! / points.length;
  return Float32Array.from(points, (value, c) => value - means[c % 2]!);
}
