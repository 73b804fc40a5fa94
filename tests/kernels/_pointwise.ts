/**
 * What the tests of operations on single elements and on maps share: the comparison of every
 * variant with the reference, and random arrays.
 *
 * @module
 */

import { Rng } from "../../kernels/random/mod.ts";
import type { PointwiseVariant } from "../../kernels/activation/mod.ts";
import { type Context, type Shape, sizeOf, type Tensor } from "../../runtime/mod.ts";
import type { GpuTestContext } from "../_support/gpu.ts";
import { assertClose, TOLERANCE, type Tolerance } from "../_support/tolerance.ts";

/** The seed of all tests of operations on single elements. */
export const SEED = 20_240_711;

/** Flat shapes: none, one, below and around groups of four, prime, several axes. */
export const FLAT_SHAPES: readonly Shape[] = [
  [0],
  [1],
  [3],
  [4],
  [7],
  [257],
  [0, 3, 3, 4],
  [2, 3, 5, 7],
  [3, 8, 8, 4],
];

/** Uniform numbers, -1 to 1 unless told. */
export function noise(
  size: number,
  { low = -1, high = 1, seed = SEED }: { low?: number; high?: number; seed?: number } = {},
): Float32Array<ArrayBuffer> {
  const rng = new Rng(seed);
  return Float32Array.from({ length: size }, () => low + (high - low) * rng.uniform());
}

/** Uniform numbers in float64. */
export function noise64(
  size: number,
  range: { low?: number; high?: number; seed?: number } = {},
): Float64Array<ArrayBuffer> {
  return Float64Array.from(noise(size, range));
}

/** Uploads uniform numbers. */
export function random(
  ctx: Context,
  shape: Shape,
  range: { low?: number; high?: number; seed?: number } = {},
): Tensor {
  return ctx.upload(noise(sizeOf(shape), range), shape);
}

/** One case: an operation on inputs of its own making. */
export interface PointwiseCase {
  /** What the case is, for messages. */
  readonly label: string;
  /** Runs the operation. */
  readonly run: (ctx: Context, how: { readonly variant?: PointwiseVariant }) => readonly Tensor[];
  /** How near the GPU must come, `kernel` by default. */
  readonly tolerance?: Tolerance;
}

/**
 * Runs every case twice in both variants, on the GPU and as the reference. Results must be near the
 * reference, and both runs equal bit by bit.
 */
export async function compareAll(
  { gpu, host }: GpuTestContext,
  cases: readonly PointwiseCase[],
): Promise<void> {
  for (const { label, run, tolerance = TOLERANCE.kernel } of cases) {
    using scope = gpu.scope();
    const expected = run(host, {});
    for (const variant of ["naive", "vector"] as const) {
      const first = run(scope, { variant });
      const second = run(scope, { variant });
      const results = await scope.read(...first, ...second);
      expected.forEach(({ data, shape }, i) => {
        const about = `${variant}, ${label}, result ${i} [${shape}]`;
        assertClose(results[i]!, data, tolerance, about);
        assertClose(results[i + first.length]!, results[i]!, TOLERANCE.exact, `again ${about}`);
      });
    }
  }
}
