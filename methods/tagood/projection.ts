/**
 * The features of many images: a projection model run over object tokens, batch after batch.
 *
 * @module
 */

import { type ParameterSet, Tape, TrainingStep, Variable } from "../../nn/mod.ts";
import type { Context } from "../../runtime/mod.ts";
import { project, projectFeatures, type ProjectionSizes } from "./model.ts";
import { type ObjectSet, packObjects } from "./objects.ts";

/** What a projection model made of images. */
export interface Projected {
  /** p(z), f32 [N, W]. */
  readonly features: Float32Array<ArrayBuffer>;
  /** f32 [N, K]; none where the model has no classes. */
  readonly logits: Float32Array<ArrayBuffer>;
}

/** How images are projected. */
export interface ProjectOptions {
  /** The model's parameters. */
  readonly parameters: ParameterSet;
  /** Its sizes; without classes the classifier is left out. */
  readonly sizes: ProjectionSizes;
  /** Images in a batch. */
  readonly batch: number;
  /** Told how many images are done. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Stops between two batches. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Projects all images of a set, without dropout. Images without tokens give the feature of the class
 * token alone.
 *
 * @param ctx Where to compute.
 * @param objects The images' tokens.
 * @param options The model, and the size of a batch.
 * @returns Features and logits in the order of the set.
 */
export async function projectObjects(
  ctx: Context,
  objects: ObjectSet,
  options: ProjectOptions,
): Promise<Projected> {
  const { sizes, parameters, onProgress, signal } = options;
  const batch = Math.max(1, Math.min(options.batch, objects.count));
  const ranges = rangesOf(objects, batch);
  const capacity = Math.max(1, ...ranges.map(({ tokens }) => tokens));
  const features = new Float32Array(objects.count * sizes.width);
  const logits = new Float32Array(objects.count * sizes.classes);
  using scope = ctx.scope();
  const tokens = scope.upload(new Float32Array(capacity * sizes.inputs), [capacity, sizes.inputs]);
  const offsets = scope.upload(new Int32Array(batch + 1), [batch + 1]);
  const singles = scope.upload(Int32Array.from({ length: batch + 1 }, (_, n) => n), [batch + 1]);
  const found = {
    features: scope.empty([batch, sizes.width]),
    logits: scope.empty([batch, sizes.classes]),
  };
  using step = new TrainingStep(ctx, (inner) => {
    const input = { tokens: new Variable(tokens), offsets, singles };
    const tape = new Tape(inner);
    if (sizes.classes === 0) {
      inner.copy(projectFeatures(tape, input, parameters, { sizes }).value, found.features);
      return;
    }
    const outputs = project(tape, input, parameters, { sizes });
    inner.copy(outputs.features.value, found.features);
    inner.copy(outputs.logits.value, found.logits);
  });
  for (const { begin, end } of ranges) {
    signal?.throwIfAborted();
    const indices = Uint32Array.from({ length: end - begin }, (_, i) => begin + i);
    const packed = packObjects(objects, indices, { capacity, images: batch });
    ctx.write(tokens, packed.tokens);
    ctx.write(offsets, packed.offsets);
    step.run();
    const [rows, scores] = await ctx.read(found.features, found.logits);
    const kept = end - begin;
    features.set(rows!.subarray(0, kept * sizes.width), begin * sizes.width);
    logits.set(scores!.subarray(0, kept * sizes.classes), begin * sizes.classes);
    onProgress?.(end, objects.count);
  }
  return { features, logits };
}

/** Images of one batch. */
interface Range {
  readonly begin: number;
  readonly end: number;
  readonly tokens: number;
}

function rangesOf({ count, offsets }: ObjectSet, batch: number): Range[] {
  return Array.from({ length: Math.ceil(count / batch) }, (_, i) => {
    const [begin, end] = [i * batch, Math.min(count, (i + 1) * batch)];
    return { begin, end, tokens: offsets[end]! - offsets[begin]! };
  });
}
