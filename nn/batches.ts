/**
 * Which samples a step sees, and how they are moved: pure functions of seed, epoch and sample, so
 * that a resumed training sees what the uninterrupted one would have seen.
 *
 * @module
 */

import { Rng } from "../kernels/mod.ts";

/** How images are moved before the network sees them. */
export interface AugmentOptions {
  /** Pixels by which a crop may be off, each way; 0 for none. */
  readonly shift: number;
  /** Whether half of the images are mirrored. */
  readonly flip: boolean;
}

/** How samples become batches. */
export interface BatchOptions {
  /** Number of samples. */
  readonly samples: number;
  /** Samples in a batch; what is left over at an epoch's end waits for a later epoch's shuffle. */
  readonly batch: number;
  /** Seed of the shuffle and of the moves. */
  readonly seed: number;
  /** Moves; none by default. */
  readonly augment?: AugmentOptions;
}

/** One batch. */
export interface Batch {
  /** Indices of its samples. */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** i32 [batch, 3]: rows and columns by which each image is shifted, and 1 where it is mirrored. */
  readonly draws: Int32Array<ArrayBuffer>;
}

const SHUFFLE_STREAM = 0;
const AUGMENT_STREAM = 1;

/**
 * Seeded batches: a new permutation each epoch, whole batches only.
 *
 * @example Two epochs
 * ```ts
 * import { Batches } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const batches = new Batches({ samples: 10, batch: 4, seed: 1 });
 * assertEquals(batches.stepsPerEpoch, 2);
 * assertEquals(batches.at(3), batches.at(3));
 * ```
 */
export class Batches {
  /** Batches in an epoch. */
  readonly stepsPerEpoch: number;
  readonly #options: BatchOptions;
  #epoch = -1;
  #order: Uint32Array<ArrayBuffer> = new Uint32Array(0);

  /**
   * Plans the batches.
   *
   * @param options Samples, batch, seed, moves.
   * @throws {RangeError} When there are fewer samples than a batch takes, or a number makes no
   * sense.
   */
  constructor(options: BatchOptions) {
    const { samples, batch } = options;
    if (!(Number.isInteger(batch) && batch >= 1 && samples >= batch)) {
      throw new RangeError(
        `Cannot make batches of ${batch} from ${samples} samples: a batch takes at least 1 and at ` +
          `most all of them`,
      );
    }
    this.#options = options;
    this.stepsPerEpoch = Math.floor(samples / batch);
  }

  /**
   * The batch of a step.
   *
   * @param step Counted from 0 over all epochs.
   * @returns The batch.
   */
  at(step: number): Batch {
    const { batch, augment } = this.#options;
    const epoch = Math.floor(step / this.stepsPerEpoch);
    const begin = (step % this.stepsPerEpoch) * batch;
    const indices = this.#orderOf(epoch).slice(begin, begin + batch);
    return { indices, draws: this.#drawsOf(step, { count: batch, augment }) };
  }

  #orderOf(epoch: number): Uint32Array<ArrayBuffer> {
    if (epoch !== this.#epoch) {
      const { samples, seed } = this.#options;
      const identity = Array.from({ length: samples }, (_, i) => i);
      this.#order = Uint32Array.from(
        new Rng(seed, streamOf(SHUFFLE_STREAM, epoch)).shuffle(identity),
      );
      this.#epoch = epoch;
    }
    return this.#order;
  }

  #drawsOf(
    step: number,
    { count, augment }: { count: number; augment: AugmentOptions | undefined },
  ): Int32Array<ArrayBuffer> {
    const draws = new Int32Array(3 * count);
    if (augment === undefined) return draws;
    const rng = new Rng(this.#options.seed, streamOf(AUGMENT_STREAM, step));
    const choices = 2 * augment.shift + 1;
    for (let i = 0; i < count; i++) {
      draws[3 * i] = rng.integer(choices) - augment.shift;
      draws[3 * i + 1] = rng.integer(choices) - augment.shift;
      draws[3 * i + 2] = augment.flip ? rng.integer(2) : 0;
    }
    return draws;
  }
}

/** Streams of one purpose must never meet those of another. */
function streamOf(purpose: number, index: number): number {
  return index * 4 + purpose;
}
