/**
 * Training of the projection behind the image encoder (section 3.4) on pairs of in-distribution and
 * synthetic images.
 *
 * @module
 */

import {
  Adam,
  Batches,
  type History,
  ParameterSet,
  type ParameterSpec,
  type StepRow,
  Tape,
  TrainingStep,
  Variable,
} from "../../nn/mod.ts";
import { l2Normalize } from "../../kernels/mod.ts";
import type { Context, KernelTime, Tensor } from "../../runtime/mod.ts";
import { type Assignment, assignNegatives } from "./assign.ts";
import { gatherImages, type ImageFeatures } from "./images.ts";
import type { LabelSet } from "./label_set.ts";
import { type FrozenLabels, frozenLabels, imageToText } from "./loss.ts";
import { delta, deltaParameters, type Projection, PROJECTION_ARRAYS } from "./model.ts";
import { chooseLabels, type ChosenLabels, type ImagePairs, requirePairs } from "./_pairs.ts";
import {
  type ImageLength,
  type ProjectionSettings,
  requireProjectionSettings,
} from "./settings.ts";
import {
  readParameters,
  runTraining,
  scheduleOf,
  type SynoodBatches,
  type SynoodRun,
} from "./_trainer.ts";

/** What is trained, and how. */
export interface ProjectionTrainOptions extends SynoodRun, ImagePairs {
  /** The labels. */
  readonly labels: LabelSet;
  /** The settings. */
  readonly settings: ProjectionSettings;
  /** The negative label of each synthetic image; the nearest one by default. */
  readonly assignment?: Assignment;
}

/** What came of a training. */
export interface ProjectionTrained {
  /** The projection. */
  readonly projection: Projection;
  /** The negative labels of the synthetic images. */
  readonly assignment: Assignment;
  /** Loss and accuracy of every step of this run. */
  readonly rows: readonly StepRow[];
  /** Times by kernel, when they were asked for. */
  readonly kernels?: readonly KernelTime[];
}

const PURPOSE = "train the projection";

/**
 * Trains a projection: Adam on the cross-entropy of both images of every pair over the labels. Image
 * and text encoder stay as they are.
 *
 * What is left over at an epoch's end, fewer images than a batch, waits for a later epoch's shuffle.
 *
 * @param options What, on which images, and how.
 * @returns The projection.
 * @throws {UserError} When a setting makes no sense, images and labels do not fit, numbers of pairs
 * differ, a label is missing or out of range, or there are fewer images than a batch takes.
 * @throws {DivergedError} When a loss is no longer a number.
 *
 * @example Two pairs, one step an epoch
 * ```ts
 * import { loadImageFeatures, PROJECTION_DEFAULTS, trainProjection } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const images = (values: number[]) =>
 *   loadImageFeatures(memoryFeatures({
 *     "image_embed": { data: Float32Array.from(values), shape: [2, 2] },
 *     labels: { data: new Int32Array(2), shape: [2] },
 *   }));
 * using id = await images([1, 0.1, 1, -0.1]);
 * using synthetic = await images([1, 2, 1, -2]);
 * const { rows, assignment } = await trainProjection({
 *   id, synthetic, identity: "two", ctx: host,
 *   labels: {
 *     ids: ["cat"], negatives: ["sea", "sky"], kinds: ["noun", "noun"], mining: "given",
 *     text: new Float32Array([1, 0, 0, -1, 0, 1]), width: 2, logitScale: 10, model: "m",
 *   },
 *   settings: { ...PROJECTION_DEFAULTS, batch: 4 },
 * });
 * assertEquals([...assignment.labels], [1, 0]);
 * assertEquals(rows.length, 3);
 * ```
 */
export async function trainProjection(
  options: ProjectionTrainOptions,
): Promise<ProjectionTrained> {
  const { settings, labels, synthetic, ctx, signal } = options;
  requireProjectionSettings(settings);
  requirePairs(options, labels, { purpose: PURPOSE, batch: settings.batch });
  const assignment = options.assignment ??
    await assignNegatives(ctx, synthetic, labels, { signal });
  const chosen = chooseLabels(labels, assignment, settings.labelSet);
  using training = new ProjectionTraining(options, chosen);
  return { ...await training.run(), assignment };
}

class ProjectionTraining implements Disposable {
  readonly #options: ProjectionTrainOptions;
  readonly #chosen: ChosenLabels;
  readonly #owned: Context;
  readonly #parameters: ParameterSet;
  readonly #adam: Adam;
  readonly #batches: SynoodBatches;
  readonly #images: Tensor;
  readonly #targets: Tensor;
  readonly #labels: FrozenLabels;

  constructor(options: ProjectionTrainOptions, chosen: ChosenLabels) {
    const { ctx, labels, settings, start } = options;
    const { batch, seed } = settings;
    const { width } = labels;
    this.#options = options;
    this.#chosen = chosen;
    this.#owned = ctx.scope();
    this.#parameters = new ParameterSet(ctx, deltaParameters(width, seed));
    if (start !== undefined) this.#parameters.write(start);
    this.#adam = adamOf(ctx, this.#parameters, settings);
    this.#batches = options.batches ?? new Batches({ samples: this.#samples, batch, seed });
    this.#images = this.#owned.upload(new Float32Array(batch * width), [batch, width]);
    this.#targets = this.#owned.upload(new Int32Array(batch), [batch]);
    // The scale of cosines is that of the labels' rows, so that it costs nothing in a step.
    const scale = settings.logitScale ?? labels.logitScale;
    const rows = chosen.rows.map((value) => scale * value);
    const placed = this.#owned.upload(rows, [chosen.count, width]);
    this.#labels = frozenLabels(this.#owned, placed, { images: batch });
  }

  async run(): Promise<Omit<ProjectionTrained, "assignment">> {
    const { settings, labels } = this.#options;
    const { epochs, images, epsilon, learningRate } = settings;
    const { stepsPerEpoch } = this.#batches;
    const { width } = labels;
    const report = await runTraining({
      run: this.#options,
      groups: {
        projection: {
          parameters: this.#parameters,
          optimizer: this.#adam,
          learningRate,
          schedule: scheduleOf(settings, { epochs, stepsPerEpoch }),
        },
      },
      metrics: ["loss", "accuracy"],
      record: (ctx, history) => this.#record(ctx, history),
      prepare: (step) => this.#prepare(step),
      stepsPerEpoch,
      epochs,
      labels: this.#chosen.count,
      settings: { training: "projection", ...settings, width },
    });
    const parameters = await readParameters(this.#parameters);
    return { projection: { width, images, epsilon, parameters }, ...report };
  }

  [Symbol.dispose](): void {
    this.#adam[Symbol.dispose]();
    this.#parameters[Symbol.dispose]();
    this.#owned[Symbol.dispose]();
  }

  /** In-distribution images first, where they have a label; then the synthetic ones. */
  get #samples(): number {
    return this.#known + this.#options.synthetic.count;
  }

  get #known(): number {
    return this.#chosen.ids === 0 ? 0 : this.#options.id.count;
  }

  #record(ctx: Context, history: History): void {
    const { settings: { images, epsilon } } = this.#options;
    const tape = new Tape(ctx);
    const features = new Variable(lengthened(ctx, this.#images, images));
    const projected = delta(tape, features, this.#parameters, { epsilon });
    const how = { labels: this.#labels, targets: this.#targets };
    const { loss, accuracy, seed } = imageToText(tape, projected, how);
    history.record(ctx, "loss", loss);
    history.record(ctx, "accuracy", accuracy);
    tape.backward([seed]);
  }

  #prepare(step: number): void {
    const { ctx, id, synthetic } = this.#options;
    const { indices } = this.#batches.at(step);
    const known = this.#known;
    const width = id.width;
    const images = new Float32Array(indices.length * width);
    const targets = new Int32Array(indices.length);
    indices.forEach((index, i) => {
      const row = images.subarray(i * width, (i + 1) * width);
      if (index < known) {
        gatherImages(id, [index], row);
        targets[i] = id.labels[index]!;
      } else {
        gatherImages(synthetic, [index - known], row);
        targets[i] = this.#chosen.synthetic[index - known]!;
      }
    });
    ctx.write(this.#images, images);
    ctx.write(this.#targets, targets);
  }
}

/** The projection's optimiser. The settings' epsilon is the normalisation's, not Adam's. */
export function adamOf(
  ctx: Context,
  parameters: ParameterSet,
  { learningRate, weightDecay }: ProjectionSettings,
): Adam {
  return new Adam(ctx, parameters, { learningRate, weightDecay });
}

/** Rows of the length that a projection takes. */
export function lengthened(ctx: Context, images: Tensor, length: ImageLength): Tensor {
  return length === "unit" ? l2Normalize(ctx, { x: images }) : images;
}

/** How images are projected. */
export interface ProjectImagesOptions {
  /** Images at a time; 256 by default. */
  readonly batch?: number;
  /** Told how many images are done. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops between two batches. */
  readonly signal?: AbortSignal | undefined;
}

const PROJECT_BATCH = 256;

/**
 * Projects image features.
 *
 * @param ctx Where to compute.
 * @param images The features.
 * @param projection A trained projection.
 * @param options The size of a batch.
 * @returns f32 [N, D], rows of length one.
 *
 * @example A projection before its training
 * ```ts
 * import { deltaParameters, loadImageFeatures, projectImages } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * using host = new Host();
 * const set = memoryFeatures({ "image_embed": { data: new Float32Array([3, 4]), shape: [1, 2] } });
 * using images = await loadImageFeatures(set);
 * const parameters = new Map(deltaParameters(2, 1).map(({ name, data }) => [name, data]));
 * const projection = { width: 2, images: "unit", epsilon: 1e-5, parameters } as const;
 * const [a, b] = await projectImages(host, images, projection);
 * assertAlmostEquals(a! ** 2 + b! ** 2, 1, 1e-6);
 * ```
 */
export async function projectImages(
  ctx: Context,
  images: ImageFeatures,
  projection: Projection,
  options: ProjectImagesOptions = {},
): Promise<Float32Array<ArrayBuffer>> {
  const { width } = images;
  const batch = Math.max(1, Math.min(options.batch ?? PROJECT_BATCH, images.count));
  const projected = new Float32Array(images.count * width);
  using scope = ctx.scope();
  using parameters = new ParameterSet(scope, placedParameters(projection));
  const input = scope.upload(new Float32Array(batch * width), [batch, width]);
  const output = scope.empty([batch, width]);
  using step = new TrainingStep(ctx, (inner) => {
    const features = new Variable(lengthened(inner, input, projection.images));
    inner.copy(delta(new Tape(inner), features, parameters, projection).value, output);
  });
  for (let begin = 0; begin < images.count; begin += batch) {
    options.signal?.throwIfAborted();
    const count = Math.min(batch, images.count - begin);
    const rows = new Float32Array(batch * width);
    gatherImages(
      images,
      Uint32Array.from({ length: count }, (_, i) => begin + i),
      rows.subarray(0, count * width),
    );
    ctx.write(input, rows);
    step.run();
    const [found] = await ctx.read(output);
    projected.set(found!.subarray(0, count * width), begin * width);
    options.onProgress?.(begin + count, images.count);
  }
  return projected;
}

/** A trained projection's parameters, which learn no more. */
function placedParameters({ parameters, width }: Projection): ParameterSpec[] {
  return Object.entries(PROJECTION_ARRAYS).map(([name, rank]) => ({
    name,
    shape: new Array<number>(rank).fill(width),
    data: parameters.get(name)!,
    trainable: false,
  }));
}
