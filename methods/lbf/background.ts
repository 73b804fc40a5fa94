/**
 * Where a classifier sees background, and how long its features are there: what δ selects, and a
 * margin μ that suits the network.
 *
 * @module
 */

import { backgroundMask, normHinge } from "../../kernels/mod.ts";
import { Tape, TrainingStep } from "../../nn/mod.ts";
import { importNetwork, type Inspection, type OnnxModel } from "../../onnx/mod.ts";
import type { Context, Tensor } from "../../runtime/mod.ts";
import { locations } from "./loss.ts";
import { requireLbfModel } from "./model.ts";
import { pixelSource } from "./source.ts";
import type { LbfImages } from "./tune.ts";

/** What is looked at. */
export interface BackgroundOptions {
  /** The classifier. */
  readonly model: OnnxModel;
  /** What was found in it. */
  readonly inspection: Inspection;
  /** Labelled images. */
  readonly images: LbfImages;
  /** Where to compute. */
  readonly ctx: Context;
  /** δ; one over the number of classes by default. */
  readonly delta?: number;
  /** Most images that are looked at, evenly spread; 1,000 by default. */
  readonly limit?: number;
  /** Images in one run, 64 by default. */
  readonly batch?: number;
  /** Told how many images are done. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops the work. */
  readonly signal?: AbortSignal;
}

/** Quantiles of norms. */
export interface NormQuantiles {
  /** Number of locations. */
  readonly count: number;
  /** Norms at {@linkcode NORM_QUANTILES}, NaN when there is no location. */
  readonly values: readonly number[];
}

/** Locations of one image. */
export interface ImageBackground {
  /** Index among the images. */
  readonly index: number;
  /** Its class. */
  readonly label: number;
  /** Probability of its class at each location, row by row. */
  readonly probabilities: Float32Array<ArrayBuffer>;
  /** ‖z‖₂ at each location. */
  readonly norms: Float32Array<ArrayBuffer>;
}

/** What was found. */
export interface Background {
  /** δ. */
  readonly delta: number;
  /** Rows and columns of the feature map. */
  readonly size: readonly [height: number, width: number];
  /** The images that were looked at. */
  readonly images: readonly ImageBackground[];
  /** Share of locations that are background. */
  readonly selected: number;
  /** Norms where it is background. */
  readonly background: NormQuantiles;
  /** Norms elsewhere. */
  readonly foreground: NormQuantiles;
  /** A margin μ for this network. */
  readonly margin: number;
}

/** Which quantiles {@linkcode NormQuantiles} has. */
export const NORM_QUANTILES: readonly number[] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

const DEFAULT_LIMIT = 1000;
const DEFAULT_BATCH = 64;

/**
 * Looks at the locations of the last feature map.
 *
 * @param options The classifier and labelled images.
 * @returns Shares, norms, and a suggestion for μ.
 * @throws {UserError} When the model cannot be tuned.
 *
 * @example One black image
 * ```ts
 * import { RowStore } from "@oodgpu/oodgpu/data";
 * import { findBackground } from "@oodgpu/oodgpu/methods";
 * import { inspect, loadSidecar, readModel } from "@oodgpu/oodgpu/onnx";
 * import { Gpu } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await Gpu.open();
 * const path = "models/cifar10-resnet20.onnx";
 * const model = await readModel(path);
 * const found = await findBackground({
 *   model,
 *   inspection: inspect(model, { sidecar: (await loadSidecar(path))! }),
 *   images: {
 *     pixels: {
 *       count: 1, height: 32, width: 32, rows: RowStore.open({ rows: 1, rowBytes: 3072 }),
 *       origin: new Uint32Array(1), skipped: [], [Symbol.dispose]: () => {},
 *     },
 *     labels: new Int32Array([3]),
 *     identity: "black",
 *   },
 *   ctx: gpu,
 * });
 * assertEquals([found.size, found.images.length], [[8, 8], 1]);
 * ```
 */
export async function findBackground(options: BackgroundOptions): Promise<Background> {
  const { ctx, images, limit = DEFAULT_LIMIT, onProgress, signal } = options;
  const model = requireLbfModel(options.model, options.inspection);
  const delta = options.delta ?? 1 / model.classes;
  const chosen = spread(images.pixels.count, limit);
  const batch = Math.min(options.batch ?? DEFAULT_BATCH, chosen.length);
  using network = importNetwork(ctx, options.model, options.inspection, { trainable: "none" });
  using input = pixelSource(images.pixels, model).open(ctx, batch);
  using labels = ctx.upload(new Int32Array(batch), [batch], { label: "labels" });
  const [height, width] = mapSize(options.inspection);
  const area = height * width;
  using probabilities = ctx.empty([batch, area], "f32", { label: "probabilities" });
  using norms = ctx.empty([batch, area], "f32", { label: "norms" });
  using step = new TrainingStep(ctx, (scope) => {
    const outputs = network.forward(new Tape(scope), input.record(scope));
    const features = locations(outputs.featureMap!.value);
    const { weight, bias } = outputs.head!;
    const found = backgroundMask(scope, {
      features,
      weight: weight.value,
      ...(bias === undefined ? {} : { bias: bias.value }),
      labels,
    }, { delta, probabilities: true });
    scope.copy(found.probabilities!, probabilities);
    scope.copy(normHinge(scope, { features, mask: found.mask }, { margin: 0 }).norms, norms);
  });
  const seen: ImageBackground[] = [];
  for (let begin = 0; begin < chosen.length; begin += batch) {
    signal?.throwIfAborted();
    // The last batch is filled up with its own first image, which is not counted again.
    const part = chosen.slice(begin, begin + batch);
    const indices = Uint32Array.from({ length: batch }, (_, i) => part[i] ?? part[0]!);
    input.write({ indices, draws: new Int32Array(3 * batch) });
    ctx.write(labels, Int32Array.from(indices, (index) => images.labels[index]!));
    step.run();
    const [p, n] = await readFloats(ctx, [probabilities, norms]);
    for (const [i, index] of part.entries()) {
      seen.push({
        index,
        label: images.labels[index]!,
        probabilities: p!.slice(i * area, (i + 1) * area),
        norms: n!.slice(i * area, (i + 1) * area),
      });
    }
    onProgress?.(seen.length, chosen.length);
  }
  return summarize(seen, { delta, size: [height, width] });
}

/**
 * A margin for a network, from the norms of its background features: their 1 % quantile with two
 * digits, so that the hinge pulls on almost all of them and leaves alone what is short already.
 * The paper's 1, 2 and 3 lie in that region of their networks' norms; a network with other scales
 * needs another number.
 *
 * @param background Norms at {@linkcode NORM_QUANTILES}.
 * @returns μ; 1 when there is no background.
 *
 * @example Short features
 * ```ts
 * import { suggestMargin } from "@oodgpu/oodgpu/methods";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(suggestMargin({ count: 100, values: [1.683, 3, 5, 8, 12, 19, 26] }), 1.7);
 * ```
 */
export function suggestMargin(background: NormQuantiles): number {
  const lowest = background.values[0];
  if (background.count === 0 || lowest === undefined || !(lowest > 0)) return 1;
  return Number(lowest.toPrecision(2));
}

function summarize(
  images: readonly ImageBackground[],
  how: { readonly delta: number; readonly size: readonly [number, number] },
): Background {
  const inside: number[] = [];
  const outside: number[] = [];
  for (const { probabilities, norms } of images) {
    probabilities.forEach((p, i) => (p < how.delta ? inside : outside).push(norms[i]!));
  }
  const background = quantilesOf(inside);
  return {
    ...how,
    images,
    selected: inside.length / Math.max(1, inside.length + outside.length),
    background,
    foreground: quantilesOf(outside),
    margin: suggestMargin(background),
  };
}

function quantilesOf(values: readonly number[]): NormQuantiles {
  const sorted = Float64Array.from(values).sort();
  const at = (q: number) => {
    const place = q * (sorted.length - 1);
    const low = Math.floor(place);
    const [a = NaN, b = a] = sorted.subarray(low, low + 2);
    return a + (b - a) * (place - low);
  };
  return { count: sorted.length, values: NORM_QUANTILES.map(at) };
}

/** Indices that are spread evenly over a set. */
function spread(count: number, limit: number): number[] {
  const taken = Math.min(count, limit);
  return Array.from({ length: taken }, (_, i) => Math.floor((i * count) / taken));
}

function mapSize({ featureMap }: Inspection): [height: number, width: number] {
  const [, , height, width] = featureMap!.shape!;
  return [Number(height), Number(width)];
}

async function readFloats(
  ctx: Context,
  tensors: readonly Tensor[],
): Promise<Float32Array<ArrayBuffer>[]> {
  return await ctx.read(...tensors) as Float32Array<ArrayBuffer>[];
}
