/**
 * What a tuning reads at each step: images that are moved and normalised on the GPU, or what a
 * frozen trunk made of them once.
 *
 * @module
 */

import type { PixelSet, RowStore } from "../../data/mod.ts";
import { augment } from "../../kernels/mod.ts";
import type { PreprocessSpec } from "../../kernels/preprocess/spec.ts";
import { type Batch, Variable } from "../../nn/mod.ts";
import { type Context, sizeOf, type Tensor } from "../../runtime/mod.ts";

/** Inputs of a network, batch after batch. */
export interface TrainingSource {
  /** Number of samples. */
  readonly samples: number;
  /** Makes the tensors of a batch. */
  open(ctx: Context, batch: number): OpenSource;
}

/** The tensors of one batch. */
export interface OpenSource extends Disposable {
  /** Writes a batch over the tensors, before the step that reads them. */
  write(batch: Batch): void;
  /** Records the way from the tensors to the network's inputs. */
  record(ctx: Context): ReadonlyMap<string, Variable>;
}

/**
 * Images as bytes; they are moved and normalised in the step.
 *
 * @param pixels The images.
 * @param input Name of the network's input, and what is done to an image before it.
 * @returns The source.
 */
export function pixelSource(
  pixels: PixelSet,
  input: { readonly name: string; readonly spec: PreprocessSpec },
): TrainingSource {
  const { width, height, count: samples } = pixels;
  return {
    samples,
    open(ctx, batch) {
      const bytes = batch * pixels.rows.rowBytes;
      const words = new Uint32Array(Math.ceil(bytes / 4));
      const staging = new Uint8Array(words.buffer);
      const images = ctx.upload(words, [words.length], { label: "batch of pixels" });
      const draws = ctx.upload(new Int32Array(3 * batch), [batch, 3], { label: "moves" });
      return {
        write({ indices, draws: moves }) {
          pixels.rows.gather(indices, staging);
          ctx.write(images, words);
          ctx.write(draws, moves);
        },
        record(scope) {
          const x = augment(scope, { pixels: images, draws }, { height, width, spec: input.spec });
          return new Map([[input.name, new Variable(x)]]);
        },
        [Symbol.dispose]() {
          images.dispose();
          draws.dispose();
        },
      };
    },
  };
}

/**
 * Batches evenly spread over all samples, not moved, each sample at most once.
 *
 * @param samples Number of samples.
 * @param batch Samples in a batch.
 * @param most How many batches at most.
 * @returns As many batches as there are samples for, one at least.
 */
export function spreadBatches(samples: number, batch: number, most: number): Batch[] {
  const count = Math.max(1, Math.min(most, Math.floor(samples / batch)));
  return Array.from({ length: count }, (_, b) => ({
    indices: Uint32Array.from(
      { length: batch },
      (_, i) => Math.floor((b * batch + i) * samples / (count * batch)),
    ),
    draws: new Int32Array(3 * batch),
  }));
}

/** One value that a trunk gives for every image. */
export interface CachedInput {
  /** The network's input. */
  readonly name: string;
  /** Shape of one sample, channels last. */
  readonly shape: readonly number[];
  /** f32 rows. */
  readonly rows: RowStore;
}

/**
 * What a frozen trunk made of the images.
 *
 * @param inputs One store for each value.
 * @param samples Number of images.
 * @returns The source.
 */
export function cachedSource(inputs: readonly CachedInput[], samples: number): TrainingSource {
  return {
    samples,
    open(ctx, batch) {
      const open = inputs.map((input) => openCached(ctx, batch, input));
      return {
        write: ({ indices }) => open.forEach(({ write }) => write(indices)),
        record: () => new Map(open.map(({ name, tensor }) => [name, new Variable(tensor)])),
        [Symbol.dispose]: () => open.forEach(({ tensor }) => tensor.dispose()),
      };
    },
  };
}

function openCached(
  ctx: Context,
  batch: number,
  { name, shape, rows }: CachedInput,
): { name: string; tensor: Tensor; write: (indices: Uint32Array<ArrayBuffer>) => void } {
  const values = new Float32Array(batch * sizeOf(shape));
  const bytes = new Uint8Array(values.buffer);
  const tensor = ctx.upload(values, [batch, ...shape], { label: `batch of ${name}` });
  return {
    name,
    tensor,
    write(indices) {
      rows.gather(indices, bytes);
      ctx.write(tensor, values);
    },
  };
}
