/**
 * What the tests of operations on rows share: shapes, layouts, and the sweep over both.
 *
 * @module
 */

import type { RowOptions } from "../../kernels/row_reduce/mod.ts";
import { Rng } from "../../kernels/random/mod.ts";
import type { Context, Tensor, TypedArray } from "../../runtime/mod.ts";
import type { GpuTestContext } from "../_support/gpu.ts";
import { assertClose, TOLERANCE, type Tolerance } from "../_support/tolerance.ts";

/** Every variant, the tree also as GPUs lay it out for short, middling and long rows. */
export const LAYOUTS: readonly RowOptions[] = [
  { variant: "naive" },
  { variant: "serial" },
  { variant: "tree" },
  { variant: "tree", lanes: 2 },
  { variant: "tree", lanes: 64 },
  { variant: "tree", lanes: 256 },
];

/** Rows and columns: none, one, odd, prime, multiples of four and their neighbours, long, many. */
export const SHAPES: readonly (readonly [rows: number, columns: number])[] = [
  [0, 4],
  [1, 1],
  [2, 3],
  [5, 4],
  [7, 17],
  [9, 10],
  [16, 16],
  [63, 31],
  [64, 64],
  [65, 255],
  [3, 1000],
  [33, 1001],
  [2, 4100],
];

/** More rows than a grid has workgroups along one axis, also with a workgroup per row. */
export const MANY_ROWS: readonly [rows: number, columns: number] = [65_537, 3];

/** The seed of all tests of operations on rows. */
export const SEED = 20_240_607;

/** Uniform numbers of a matrix, -1 to 1 unless told. */
export function uniform(
  [rows, columns]: readonly [number, number],
  { low = -1, high = 1, seed = SEED }: { low?: number; high?: number; seed?: number } = {},
): Float32Array<ArrayBuffer> {
  const rng = new Rng(seed);
  return Float32Array.from({ length: rows * columns }, () => low + (high - low) * rng.uniform());
}

/** What to sweep. */
export interface Sweep {
  /** The operation under test. */
  readonly op: (ctx: Context, x: Tensor, options: RowOptions) => Tensor;
  /** Shapes, {@linkcode SHAPES} by default. */
  readonly shapes?: readonly (readonly [rows: number, columns: number])[];
  /** Layouts, {@linkcode LAYOUTS} by default. */
  readonly layouts?: readonly RowOptions[];
  /** Elements of a matrix, {@linkcode uniform} by default. */
  readonly fill?: (shape: readonly [number, number]) => Float32Array<ArrayBuffer>;
  /** How near the GPU must come to the reference. */
  readonly tolerance?: Tolerance;
}

/**
 * Runs an operation twice in every layout on every shape, on the GPU and as the reference. Results
 * must be near the reference, and both runs equal bit by bit.
 */
export async function sweepRows({ gpu, host }: GpuTestContext, sweep: Sweep): Promise<void> {
  const { shapes = SHAPES, layouts = LAYOUTS, fill = uniform } = sweep;
  const pending: { label: string; expected: TypedArray; runs: [Tensor, Tensor] }[] = [];
  using scope = gpu.scope();
  for (const shape of shapes) {
    const data = fill(shape);
    const { data: expected } = sweep.op(host, host.upload(data, shape), {});
    const x = scope.upload(data, shape);
    for (const layout of layouts) {
      const label = `${JSON.stringify(layout)} on [${shape}] (seed ${SEED})`;
      const run = () => sweep.op(scope, x, layout);
      pending.push({ label, expected, runs: [run(), run()] });
    }
  }
  const results = await scope.read(...pending.flatMap(({ runs }) => runs));
  pending.forEach(({ label, expected }, i) => {
    const [first, second] = [results[2 * i]!, results[2 * i + 1]!];
    assertClose(first, expected, sweep.tolerance ?? TOLERANCE.kernel, label);
    assertClose(second, first, TOLERANCE.exact, `the second run of ${label}`);
  });
}
