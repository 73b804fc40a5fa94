/**
 * What the tests of operations on ragged rows share: lengths of lists, their offsets, and the
 * comparison of every variant with the reference.
 *
 * @module
 */

import { COLUMN_VARIANTS, type ColumnVariant } from "../../kernels/column_reduce/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";
import type { GpuTestContext } from "../_support/gpu.ts";
import { assertClose, TOLERANCE, type Tolerance } from "../_support/tolerance.ts";

/** Lists packed one behind the other. */
export interface RaggedCase {
  /** Length of each list. */
  readonly lengths: readonly number[];
  /** Rows behind the last list. */
  readonly padding: number;
  /** Columns. */
  readonly columns: number;
}

/** No list, empty ones at both ends and inside, one, many short ones, a long one, padding. */
export const RAGGED_CASES: readonly RaggedCase[] = [
  { lengths: [], padding: 0, columns: 4 },
  { lengths: [], padding: 3, columns: 3 },
  { lengths: [0, 0], padding: 0, columns: 8 },
  { lengths: [1], padding: 0, columns: 1 },
  { lengths: [0, 3, 0, 0, 5, 1, 0], padding: 4, columns: 5 },
  { lengths: [7, 2, 4], padding: 0, columns: 12 },
  { lengths: [130, 0, 17, 64], padding: 37, columns: 68 },
  { lengths: Array.from({ length: 131 }, (_, i) => i % 5), padding: 1, columns: 20 },
];

/** The offsets of lists. */
export function offsetsOf(lengths: readonly number[]): Int32Array<ArrayBuffer> {
  const offsets = new Int32Array(lengths.length + 1);
  lengths.forEach((length, n) => offsets[n + 1] = offsets[n]! + length);
  return offsets;
}

/** Uploads the offsets of lists. */
export function uploadOffsets(ctx: Context, lengths: readonly number[]): Tensor {
  return ctx.upload(offsetsOf(lengths), [lengths.length + 1]);
}

/** Rows of a case, padding included. */
export function rowsOf({ lengths, padding }: RaggedCase): number {
  return offsetsOf(lengths).at(-1)! + padding;
}

/** How a case is named in messages. */
export function nameOf({ lengths, padding, columns }: RaggedCase): string {
  return `${lengths.length} lists (${
    lengths.slice(0, 8)
  }), ${padding} rows behind, ${columns} wide`;
}

/** One case: an operation on inputs of its own making. */
export interface ListCase {
  /** What the case is, for messages. */
  readonly label: string;
  /** Runs the operation. */
  readonly run: (ctx: Context, how: { readonly variant?: ColumnVariant }) => readonly Tensor[];
}

/**
 * Runs every case twice in every variant, on the GPU and as the reference. Results must be near the
 * reference, and both runs equal bit by bit.
 */
export async function compareLists(
  { gpu, host }: GpuTestContext,
  cases: readonly ListCase[],
  tolerance: Tolerance = TOLERANCE.kernel,
): Promise<void> {
  for (const { label, run } of cases) {
    using scope = gpu.scope();
    const expected = run(host, {});
    const runs = COLUMN_VARIANTS.flatMap((variant) =>
      ["first", "second"].map((turn) => ({
        about: `${turn} run, ${variant}, ${label}`,
        made: run(scope, { variant }),
      }))
    );
    const results = await scope.read(...runs.flatMap(({ made }) => made));
    const count = expected.length;
    runs.forEach(({ about }, r) =>
      expected.forEach(({ data }, i) => {
        const found = results[r * count + i]!;
        assertClose(found, data, tolerance, `result ${i}, ${about}`);
        // The second run of a variant comes right behind the first.
        const first = results[(r - r % 2) * count + i]!;
        assertClose(found, first, TOLERANCE.exact, `again, result ${i}, ${about}`);
      })
    );
  }
}
