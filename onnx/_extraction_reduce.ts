/** A batch's way through a reducer: what the model gave, in place, to what is stored of it. */

import type { HostArray } from "../data/feature_set.ts";
import { rowSum } from "../kernels/row_reduce/mod.ts";
import { type Context, Tensor } from "../runtime/mod.ts";
import type { BatchImages, BatchReducer } from "./extraction_options.ts";
import type { SidecarOutputs } from "./sidecar.ts";

/** One batch of a model's outputs. */
export interface ModelOutputs {
  /** The outputs by name. */
  readonly outputs: Readonly<Record<string, Tensor | HostArray>>;
  /** Their names by key. */
  readonly names: SidecarOutputs;
}

/** The outputs of a model that a reducer reads, where they are. */
export function reducedOutputs(
  reducer: BatchReducer,
  { outputs, names }: ModelOutputs,
): (Tensor | HostArray)[] {
  return reducer.keys.map((key) => outputs[names[key]!]!);
}

/**
 * Reduces one batch; work is recorded and reads begin before this returns. Tensors that the reducer
 * reads are disposed when it is done.
 *
 * @throws What `refuse` makes of a value that has a number that is none, and its image.
 */
export async function reduceBatch(
  ctx: Context,
  reducer: BatchReducer,
  batch: ModelOutputs & {
    readonly images: BatchImages;
    readonly refuse: (key: string, image: number) => Error;
  },
): Promise<Readonly<Record<string, HostArray>>> {
  using scope = ctx.scope();
  const given = reducedOutputs(reducer, batch);
  try {
    const values = given.map((output) =>
      output instanceof Tensor ? output : scope.upload(output.data, output.shape)
    );
    const sums = values.map((value) => imageSums(scope, value));
    const named = Object.fromEntries(reducer.keys.map((key, i) => [key, values[i]!]));
    const reduced = (async () => await reducer.run(scope, named, batch.images))();
    // Neither may go on in a scope that the failure of the other has ended.
    const [arrays, read] = await Promise.allSettled([reduced, scope.read(...sums)]);
    if (read.status === "rejected") throw read.reason;
    for (const [i, key] of reducer.keys.entries()) {
      const image = read.value[i]!.findIndex((sum) => !Number.isFinite(sum));
      if (image >= 0) throw batch.refuse(key, image);
    }
    if (arrays.status === "rejected") throw arrays.reason;
    requireStored(reducer, arrays.value);
    return arrays.value;
  } finally {
    for (const output of given) if (output instanceof Tensor) output.dispose();
  }
}

/** The sum of each image's numbers, which is no number where one of them is none: f32 [N]. */
function imageSums(ctx: Context, value: Tensor): Tensor {
  const [images = 0, ...rest] = value.shape;
  const rows = rest.slice(0, -1).reduce((product, size) => product * size, images);
  const sums = rowSum(ctx, { x: value.reshape([rows, rest.at(-1) ?? 1]) });
  return rows === images ? sums : rowSum(ctx, { x: sums.reshape([images, rows / images]) });
}

/** A reducer that gives other arrays than it announced is a mistake in the program. */
function requireStored(
  { stored }: BatchReducer,
  arrays: Readonly<Record<string, HostArray>>,
): void {
  const expected = [...stored].sort().join(", ");
  const actual = Object.keys(arrays).sort().join(", ");
  if (actual === expected) return;
  throw new TypeError(
    `Cannot store what was reduced: it gives ${actual} and announced ${expected}`,
  );
}
