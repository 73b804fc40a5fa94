/**
 * Tuning of the used negative labels' text features on synthetic images (section 3.5).
 *
 * @module
 */

import { l2Normalize as unitRows, scale as scaleRows } from "../../kernels/mod.ts";
import {
  Batches,
  type History,
  l2Normalize,
  ParameterSet,
  Sgd,
  type StepRow,
  Tape,
  Variable,
} from "../../nn/mod.ts";
import { type Context, type KernelTime, type Tensor, UserError } from "../../runtime/mod.ts";
import { type Assignment, assignNegatives } from "./assign.ts";
import { gatherImages, type ImageFeatures } from "./images.ts";
import type { LabelSet } from "./label_set.ts";
import { imageToText, textToImage } from "./loss.ts";
import type { Projection } from "./model.ts";
import { placesOf, requireSynthetic, usedRows } from "./_pairs.ts";
import { projectImages } from "./projection.ts";
import { type LabelTuningSettings, requireLabelTuningSettings } from "./settings.ts";
import {
  readParameters,
  runTraining,
  scheduleOf,
  type SynoodBatches,
  type SynoodRun,
} from "./_trainer.ts";

/** What is tuned, and how. */
export interface LabelTuneOptions extends SynoodRun {
  /** Synthetic images. */
  readonly synthetic: ImageFeatures;
  /** The labels. */
  readonly labels: LabelSet;
  /** The settings. */
  readonly settings: LabelTuningSettings;
  /** A trained projection that the images go through first; none by default (Table 5). */
  readonly projection?: Projection | undefined;
  /** The negative label of each image; the nearest one by default, without the projection. */
  readonly assignment?: Assignment;
}

/** What came of a tuning. */
export interface LabelsTuned {
  /** The labels with the tuned features, of unit length. */
  readonly labels: LabelSet;
  /** The negative labels of the synthetic images. */
  readonly assignment: Assignment;
  /** Loss and accuracy of every step of this run. */
  readonly rows: readonly StepRow[];
  /** Mean cosine of the used labels' features before and after. */
  readonly kept: number;
  /** Times by kernel, when they were asked for. */
  readonly kernels?: readonly KernelTime[];
}

const PURPOSE = "tune labels";

/**
 * Tunes the features of the negative labels that synthetic images have; those of all other labels,
 * the image features and the projection stay as they are.
 *
 * Similarities are cosines: features are normalised inside of the loss, so that the gradient of a row
 * t of length l is (g - (g·u) u) / l for u = t / l and the gradient g by u. It stands at a right angle
 * to the row, and plain descent makes rows longer by second-order terms alone; what is given back has
 * length one.
 *
 * What is left over at an epoch's end, fewer images than a batch, waits for a later epoch's shuffle.
 *
 * @param options What, on which images, and how.
 * @returns The labels with their new features.
 * @throws {UserError} When a setting makes no sense, images and labels do not fit, or there are fewer
 * images than a batch takes.
 * @throws {DivergedError} When a loss is no longer a number.
 *
 * @example Two images, two steps
 * ```ts
 * import { LABEL_TUNING_DEFAULTS, loadImageFeatures, tuneLabels } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assert, assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const set = memoryFeatures({
 *   "image_embed": { data: new Float32Array([1, 2, 2, -1]), shape: [2, 2] },
 * });
 * using synthetic = await loadImageFeatures(set);
 * const { labels, kept } = await tuneLabels({
 *   synthetic, identity: "two", ctx: host,
 *   labels: {
 *     ids: ["cat"], negatives: ["sea", "sky"], kinds: ["noun", "noun"], mining: "given",
 *     text: new Float32Array([1, 0, 0, -1, 0, 1]), width: 2, logitScale: 1, model: "m",
 *   },
 *   settings: { ...LABEL_TUNING_DEFAULTS, batch: 2, epochs: 2, learningRate: 0.1 },
 * });
 * assertEquals([...labels.text.subarray(0, 2)], [1, 0]);
 * assert(kept < 1);
 * ```
 */
export async function tuneLabels(options: LabelTuneOptions): Promise<LabelsTuned> {
  const { settings, labels, synthetic, projection, ctx, signal } = options;
  requireLabelTuningSettings(settings);
  requireSynthetic(synthetic, labels, { purpose: PURPOSE, batch: settings.batch });
  requireProjectionWidth(projection, labels);
  const assignment = options.assignment ??
    await assignNegatives(ctx, synthetic, labels, { signal });
  const projected = projection === undefined
    ? undefined
    : await projectImages(ctx, synthetic, projection, { signal });
  using tuning = new LabelTuning(options, { assignment, projected });
  return { ...await tuning.run(), assignment };
}

/**
 * Refuses a projection that is not of the labels' width.
 *
 * @throws {UserError} When it is not.
 */
export function requireProjectionWidth(
  projection: Projection | undefined,
  labels: Pick<LabelSet, "width">,
): void {
  if (projection === undefined || projection.width === labels.width) return;
  throw new UserError(
    `Cannot use the projection with these labels: it is ${projection.width} wide and the labels' ` +
      `features ${labels.width}`,
  );
}

/** What a tuning reads besides its options. */
interface TuningData {
  readonly assignment: Assignment;
  /** f32 [m, D], where images go through a projection first. */
  readonly projected: Float32Array<ArrayBuffer> | undefined;
}

class LabelTuning implements Disposable {
  readonly #options: LabelTuneOptions;
  readonly #data: TuningData;
  readonly #owned: Context;
  readonly #text: ParameterSet;
  readonly #sgd: Sgd;
  readonly #batches: SynoodBatches;
  readonly #targets: Int32Array<ArrayBuffer>;
  readonly #batch: LabelBatch;

  constructor(options: LabelTuneOptions, data: TuningData) {
    const { ctx, labels, settings, synthetic, start } = options;
    const { batch, seed } = settings;
    this.#options = options;
    this.#data = data;
    this.#owned = ctx.scope();
    this.#text = textParameters(ctx, labels, { used: data.assignment.used, settings, start });
    this.#sgd = sgdOf(ctx, this.#text, settings);
    this.#batches = options.batches ??
      new Batches({ samples: synthetic.count, batch, seed });
    const place = placesOf(data.assignment.used);
    this.#targets = data.assignment.labels.map((negative) => place.get(negative)!);
    this.#batch = {
      images: this.#owned.upload(new Float32Array(batch * labels.width), [batch, labels.width]),
      targets: this.#owned.upload(new Int32Array(batch), [batch]),
      diagonal: this.#owned.upload(Int32Array.from({ length: batch }, (_, i) => i), [batch]),
    };
  }

  async run(): Promise<Omit<LabelsTuned, "assignment">> {
    const { settings, labels, projection } = this.#options;
    const { epochs, learningRate } = settings;
    const { stepsPerEpoch } = this.#batches;
    const { used } = this.#data.assignment;
    const report = await runTraining({
      run: this.#options,
      groups: {
        text: {
          parameters: this.#text,
          optimizer: this.#sgd,
          learningRate,
          schedule: scheduleOf(settings, { epochs, stepsPerEpoch }),
        },
      },
      metrics: ["loss", "accuracy"],
      record: (ctx, history) => this.#record(ctx, history),
      prepare: (step) => this.#prepare(step),
      stepsPerEpoch,
      epochs,
      labels: used.length,
      settings: {
        training: "labels",
        ...settings,
        width: labels.width,
        used: used.length,
        projected: projection !== undefined,
      },
    });
    const text = (await readParameters(this.#text)).get(TEXT)!;
    return { ...withRows(labels, { used, rows: text }), ...report };
  }

  [Symbol.dispose](): void {
    this.#sgd[Symbol.dispose]();
    this.#text[Symbol.dispose]();
    this.#owned[Symbol.dispose]();
  }

  #record(ctx: Context, history: History): void {
    const { settings, labels } = this.#options;
    const tape = new Tape(ctx);
    const unit = unitRows(ctx, { x: this.#batch.images });
    const factor = settings.logitScale ?? labels.logitScale;
    const images = new Variable(scaleRows(ctx, { x: unit }, { factor }));
    const { loss, accuracy, seed } = labelLoss(tape, images, {
      ...this.#batch,
      text: this.#text,
      kind: settings.loss,
    });
    history.record(ctx, "loss", loss);
    history.record(ctx, "accuracy", accuracy);
    tape.backward([seed]);
  }

  #prepare(step: number): void {
    const { ctx, synthetic } = this.#options;
    const { projected } = this.#data;
    const { indices } = this.#batches.at(step);
    const { width } = synthetic;
    const images = new Float32Array(indices.length * width);
    if (projected === undefined) gatherImages(synthetic, indices, images);
    else {
      indices.forEach((index, i) =>
        images.set(projected.subarray(index * width, (index + 1) * width), i * width)
      );
    }
    ctx.write(this.#batch.images, images);
    ctx.write(this.#batch.targets, Int32Array.from(indices, (index) => this.#targets[index]!));
  }
}

/** Name of the learnable features. */
export const TEXT = "text";

/** Tensors of a batch of synthetic images. */
export interface LabelBatch {
  /** f32 [N, D]. */
  readonly images: Tensor;
  /** The row of each image's label among the used ones, i32 [N]. */
  readonly targets: Tensor;
  /** 0, 1, …, N - 1. */
  readonly diagonal: Tensor;
}

/**
 * Records the loss of label tuning.
 *
 * @param tape The tape.
 * @param images f32 [N, D], of length 1/τ.
 * @param how Targets, the learnable features and whose loss.
 * @returns The loss.
 */
export function labelLoss(
  tape: Tape,
  images: Variable,
  how: Pick<LabelBatch, "targets" | "diagonal"> & {
    readonly text: ParameterSet;
    readonly kind: LabelTuningSettings["loss"];
  },
): ReturnType<typeof imageToText> {
  const { targets, diagonal, text, kind } = how;
  const labels = text.get(TEXT);
  return kind === "paper"
    ? textToImage(tape, images, { labels, targets, diagonal })
    : imageToText(tape, images, { labels: l2Normalize(tape, labels), targets });
}

/**
 * The features of the used negative labels as parameters.
 *
 * @param ctx Where they live.
 * @param labels The labels.
 * @param how Which ones are used, their length, and other first values.
 * @returns One parameter, {@linkcode TEXT}.
 */
export function textParameters(
  ctx: Context,
  labels: LabelSet,
  how: {
    readonly used: Int32Array;
    readonly settings: LabelTuningSettings;
    readonly start: SynoodRun["start"];
  },
): ParameterSet {
  const { used, settings, start } = how;
  const data = start?.get(TEXT) ??
    usedRows(labels, used).map((value) => settings.length * value);
  return new ParameterSet(ctx, [{ name: TEXT, shape: [used.length, labels.width], data }]);
}

/** The optimiser of text features. */
export function sgdOf(
  ctx: Context,
  text: ParameterSet,
  { learningRate, momentum, weightDecay }: LabelTuningSettings,
): Sgd {
  return new Sgd(ctx, text, { learningRate, momentum, weightDecay });
}

/**
 * Labels with other features of the used ones.
 *
 * @param labels The labels.
 * @param tuned Which ones are used, and their features, of any length.
 * @returns The labels, and the mean cosine of what was and what is.
 */
export function withRows(
  labels: LabelSet,
  { used, rows }: { readonly used: Int32Array; readonly rows: Float32Array },
): { readonly labels: LabelSet; readonly kept: number } {
  const { width, ids } = labels;
  const text = labels.text.slice();
  let kept = 0;
  used.forEach((negative, place) => {
    const row = rows.subarray(place * width, (place + 1) * width);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    const begin = (ids.length + negative) * width;
    for (let i = 0; i < width; i++) {
      text[begin + i] = row[i]! / length;
      kept += labels.text[begin + i]! * row[i]! / length;
    }
  });
  return { labels: { ...labels, text }, kept: kept / used.length };
}
