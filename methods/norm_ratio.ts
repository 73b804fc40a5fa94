/**
 * NormRatio: which block of a network FeatureNorm should look at.
 *
 * @module
 */

import { DecodePool, type ImageSet, type SkippedImage } from "../data/mod.ts";
import { channelNorms, type PreprocessSpec, Rng, rowMean } from "../kernels/mod.ts";
import {
  completePreprocessing,
  type Dimension,
  exposeMaps,
  type HostArray,
  inspect,
  type Inspection,
  type NetworkBlock,
  type OnnxModel,
  openSession,
  type Sidecar,
} from "../onnx/mod.ts";
import { type Context, type Gpu, Host, Tensor, UserError } from "../runtime/mod.ts";
import { chooseExecutor, type Device } from "./executor.ts";
import { jigsaw, jigsawOrder, TILES } from "./_jigsaw.ts";

/** How far {@linkcode normRatios} has come. */
export interface NormRatioProgress {
  /** Images done, those that could not be read included. */
  readonly done: number;
  /** Images in all. */
  readonly total: number;
}

/** How {@linkcode normRatios} compares blocks. */
export interface NormRatioOptions {
  /** What is known of the model; found by reading its graph when absent. */
  readonly inspection?: Inspection;
  /** The model's sidecar. */
  readonly sidecar?: Sidecar;
  /** Preprocessing; goes before what the inspection says. */
  readonly preprocessing?: PreprocessSpec;
  /** Where the model runs; `auto` by default. */
  readonly device?: Exclude<Device, "reference">;
  /** A GPU of yours; without it one is opened when it is needed. */
  readonly gpu?: Gpu;
  /** How many images to take of the set, drawn at random; 256 by default. */
  readonly count?: number;
  /** Seed of the draw and of the tiles' orders; 0 by default. */
  readonly seed?: number;
  /** Decode workers; one less than the cores by default. */
  readonly workers?: number;
  /** Called after each batch. */
  readonly onProgress?: (progress: NormRatioProgress) => void;
  /** Told about every image that cannot be read; it is left out. */
  readonly onSkip?: (image: SkippedImage) => void;
  /** Stops between batches, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How much better a block knows images than their jigsaws. */
export interface BlockRatio {
  /** Name of the value that ends the block. */
  readonly block: string;
  /** Its shape, [N, C, H, W]. */
  readonly shape: readonly Dimension[];
  /** Mean over images of the image's norm over its jigsaw's; 0 where all jigsaws have norm 0. */
  readonly ratio: number;
}

const DEFAULT_COUNT = 256;
/** Bytes of all blocks' maps in one run. */
const BATCH_BYTES = 1 << 28;
const MAX_BATCH = 32;
/** The tiles of image i come from the stream FIRST_ORDER + i, whatever else is drawn. */
const SAMPLE_STREAM = 0;
const FIRST_ORDER = 1;

/**
 * NormRatio of every block of a network: the mean over training images x of norm(x) / norm(x̃),
 * where norm is FeatureNorm's mean_c |ReLU(F_c)|_2 on the block's map F, and x̃ is x cut into 3 x 3
 * tiles in another order. FeatureNorm works best on the block with the largest ratio.
 *
 * Both x and x̃ are preprocessed as in extraction. Tiles are floor(H / 3) by floor(W / 3) pixels of
 * the model's input; up to two rows and columns that remain at the lower and the right edge stay
 * where they are. The order of an image's tiles is drawn by the seed and the image's place in the
 * set and is never the one they had, so that results do not depend on batches. All blocks come from
 * one session, and no more maps are held at once than one batch has.
 *
 * Source: Yu et al. 2023, arXiv 2212.10765.
 *
 * @param model The model.
 * @param images Training images; labels are not needed.
 * @param options Where the model runs, how many images, and the seed.
 * @returns The blocks in the order of the graph.
 * @throws {UserError} When no block ends in a map, the model does not take the images, or none of
 * them can be read.
 *
 * @example The nine blocks of a ResNet-20
 * ```ts
 * import { bestBlock, normRatios } from "@oodgpu/oodgpu/methods";
 * import { openImages, encodePng, syntheticSet } from "@oodgpu/oodgpu/data";
 * import { readModel } from "@oodgpu/oodgpu/onnx";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const folder = await Deno.makeTempDir();
 * const drawn = syntheticSet(2, { width: 32, height: 32, seed: 1 });
 * for (const i of [0, 1]) {
 *   await Deno.writeFile(`${folder}/${i}.png`, await encodePng(drawn.item(i).image));
 * }
 * const model = await readModel("models/cifar10-resnet20.onnx");
 * const images = await openImages(folder);
 * const blocks = await normRatios(model, images, { device: "wasm", workers: 0 });
 * assertEquals(blocks.length, 9);
 * assert(blocks.every(({ ratio }) => ratio <= bestBlock(blocks).ratio));
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function normRatios(
  model: OnnxModel,
  images: ImageSet,
  options: NormRatioOptions = {},
): Promise<BlockRatio[]> {
  const { count = DEFAULT_COUNT, seed = 0, sidecar, device = "auto", gpu } = options;
  if (!Number.isInteger(count) || count < 1) {
    throw new UserError(`Cannot take ${count} images: a whole number from 1 was expected`);
  }
  const inspection = options.inspection ?? inspect(model, sidecar === undefined ? {} : { sidecar });
  const { blocks, name } = inspection;
  if (blocks.length === 0) {
    throw new UserError(`Cannot compare the blocks of "${name}": none of them ends in a map`);
  }
  const { spec, size } = completePreprocessing(inspection, options);
  if (Math.min(size.height, size.width) < TILES) {
    throw new UserError(
      `Cannot compare the blocks of "${name}": images of ${size.width} x ${size.height} pixels ` +
        `have no ${TILES} x ${TILES} tiles`,
    );
  }
  using executor = await chooseExecutor(device, gpu === undefined ? {} : { gpu });
  const onGpu = executor.kind === "webgpu";
  const exposed = exposeMaps(model, blocks.map(({ value }) => value));
  await using session = await openSession(exposed.model, {
    device: onGpu ? "webgpu" : "wasm",
    name,
    ...(onGpu ? { gpu: executor.context as Gpu } : {}),
  });
  const context = onGpu ? executor.context : new Host();
  const totals = new RatioSums(blocks, name);
  const sample = drawSample(images.count, { count, seed });
  const batch = batchSize(blocks, size);
  for await (const pairs of jigsawPairs(images, { ...options, sample, seed, spec, size, batch })) {
    const outputs = await session.run({ [inspection.image!.name]: pairs });
    const maps = exposed.names.map((output) => outputs[output]!);
    totals.add(await normsOf(maps, context));
  }
  return totals.ratios();
}

/**
 * The block with the largest NormRatio, the first of equals.
 *
 * @param blocks From {@linkcode normRatios}, at least one.
 * @returns That block.
 * @throws {RangeError} When there is none.
 *
 * @example Of two
 * ```ts
 * import { bestBlock } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * const shape = ["N", 8, 4, 4];
 * const blocks = [{ block: "a", shape, ratio: 1.1 }, { block: "b", shape, ratio: 1.3 }];
 * assertEquals(bestBlock(blocks).block, "b");
 * ```
 */
export function bestBlock(blocks: readonly BlockRatio[]): BlockRatio {
  const [first] = blocks;
  if (first === undefined) throw new RangeError("Cannot choose a block: there is none");
  return blocks.reduce((best, block) => block.ratio > best.ratio ? block : best, first);
}

/** Places of some images of a set, all different, in order. */
function drawSample(total: number, { count, seed }: { count: number; seed: number }): number[] {
  const places = Array.from({ length: total }, (_, i) => i);
  if (count >= total) return places;
  const rng = new Rng(seed, SAMPLE_STREAM);
  return rng.shuffle(places).slice(0, count).sort((a, b) => a - b);
}

interface PairPlan extends NormRatioOptions {
  readonly sample: readonly number[];
  readonly seed: number;
  readonly spec: PreprocessSpec;
  readonly size: { readonly width: number; readonly height: number };
  readonly batch: number;
}

/** Batches of preprocessed images, in each first the images and then their jigsaws. */
async function* jigsawPairs(images: ImageSet, plan: PairPlan): AsyncGenerator<HostArray> {
  const { sample, seed, spec, size, batch, signal, onProgress, onSkip } = plan;
  using pool = new DecodePool(plan.workers === undefined ? {} : { workers: plan.workers });
  const items = async function* () {
    for (const index of sample) yield await images.item(index);
  };
  let originals: Float32Array[] = [];
  let jigsaws: Float32Array[] = [];
  let read = 0;
  for await (const result of pool.map(items(), { preprocess: spec })) {
    signal?.throwIfAborted();
    const index = sample[result.index]!;
    if (result.error === undefined) {
      const pixels = result.pixels!;
      originals.push(pixels);
      jigsaws.push(jigsaw(pixels, size, jigsawOrder(new Rng(seed, FIRST_ORDER + index))));
      read++;
    } else {
      onSkip?.({ index, name: result.name, reason: result.error.reason });
    }
    const done = result.index + 1;
    const last = done === sample.length;
    if (originals.length < batch && !last) continue;
    if (originals.length > 0) yield stack([...originals, ...jigsaws], size);
    originals = [];
    jigsaws = [];
    onProgress?.({ done, total: sample.length });
  }
  if (read > 0) return;
  throw new UserError(
    `Cannot compare blocks: none of the ${sample.length} images of "${images.path}" can be read`,
  );
}

function stack(
  planes: readonly Float32Array[],
  { height, width }: { readonly height: number; readonly width: number },
): HostArray {
  const data = new Float32Array(planes.length * 3 * height * width);
  planes.forEach((plane, i) => data.set(plane, i * plane.length));
  return { data, shape: [planes.length, 3, height, width] };
}

/** Pairs in one run: as many as have maps that fit the memory set aside. */
function batchSize(
  blocks: readonly NetworkBlock[],
  size: { readonly width: number; readonly height: number },
): number {
  // An open height or width is no more than the image's.
  const open = Math.max(size.height, size.width);
  const elements = blocks.map(({ shape }) =>
    shape.slice(1).reduce<number>(
      (product, length) => product * (typeof length === "number" ? length : open),
      1,
    )
  );
  const pairBytes = 2 * Float32Array.BYTES_PER_ELEMENT * elements.reduce((a, b) => a + b, 0);
  return Math.max(1, Math.min(MAX_BATCH, Math.floor(BATCH_BYTES / pairBytes)));
}

/** FeatureNorm of every image on every map; the maps are released one by one. */
async function normsOf(
  maps: readonly (Tensor | HostArray)[],
  context: Context,
): Promise<Float32Array[]> {
  using batch = context.scope();
  const norms = maps.map((output) => {
    using scope = batch.scope();
    const map = output instanceof Tensor ? output : scope.upload(output.data, output.shape);
    const norm = scope.keep(rowMean(scope, { x: channelNorms(scope, { map }) }));
    // What is recorded may still read it: its buffer is given back after the next submit.
    if (output instanceof Tensor) output.dispose();
    return norm;
  });
  return await batch.read(...norms) as Float32Array[];
}

/** Sums of ratios, block by block. */
class RatioSums {
  readonly #blocks: readonly NetworkBlock[];
  readonly #name: string;
  readonly #sums: { sum: number; count: number }[];

  /**
   * @param blocks The blocks.
   * @param name What errors call the model.
   */
  constructor(blocks: readonly NetworkBlock[], name: string) {
    this.#blocks = blocks;
    this.#name = name;
    this.#sums = blocks.map(() => ({ sum: 0, count: 0 }));
  }

  /** Adds a batch: for each block the norms of the images, then those of their jigsaws. */
  add(norms: readonly Float32Array[]): void {
    norms.forEach((values, b) => {
      const total = this.#sums[b]!;
      const half = values.length / 2;
      for (let i = 0; i < half; i++) {
        const [original, shuffled] = [values[i]!, values[half + i]!];
        if (!Number.isFinite(original + shuffled)) {
          throw new UserError(
            `Cannot compare the blocks of "${this.#name}": the norm of ` +
              `"${this.#blocks[b]!.value}" comes out as ${original + shuffled}`,
          );
        }
        // A block that does not respond to the jigsaw has no ratio for this image.
        if (shuffled === 0) continue;
        total.sum += original / shuffled;
        total.count++;
      }
    });
  }

  /** The means. */
  ratios(): BlockRatio[] {
    return this.#blocks.map(({ value, shape }, b) => {
      const { sum, count } = this.#sums[b]!;
      return { block: value, shape, ratio: count === 0 ? 0 : sum / count };
    });
  }
}
