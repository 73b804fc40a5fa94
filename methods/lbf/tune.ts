/**
 * Local-feature fine-tuning (LBF): cross-entropy, and small norms for the features of what is not
 * the object, so that what resembles backgrounds no longer looks familiar.
 *
 * @module
 */

import type { PixelSet } from "../../data/mod.ts";
import { clipScale } from "../../kernels/mod.ts";
import {
  type Batch,
  Batches,
  History,
  loadCheckpoint,
  type Optimizer,
  saveCheckpoint,
  Sgd,
  type StepRow,
  stepSchedule,
  Tape,
  train,
  TrainingStep,
} from "../../nn/mod.ts";
import {
  importNetwork,
  type Inspection,
  type Network,
  type NetworkOutputs,
  type OnnxModel,
} from "../../onnx/mod.ts";
import {
  type Context,
  type KernelTime,
  OutOfMemoryError,
  type Tensor,
  UserError,
} from "../../runtime/mod.ts";
import { lbfLoss, type Selector } from "./loss.ts";
import { type LbfModel, requireLbfModel } from "./model.ts";
import { type LbfSettings, requireLbfSettings } from "./settings.ts";
import {
  cachedSource,
  type OpenSource,
  pixelSource,
  spreadBatches,
  type TrainingSource,
} from "./source.ts";
import { runTrunk, type TrunkCache } from "./trunk.ts";

/** Labelled images of a tuning. */
export interface LbfImages {
  /** The images. */
  readonly pixels: PixelSet;
  /** The class of each, from 0 to K - 1. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** What must be the same when a tuning is resumed, such as a hash of their names. */
  readonly identity: string;
}

/** Where a tuning keeps its state. */
export interface LbfCheckpoint {
  /** The file. */
  readonly path: string;
  /** Whether to go on from it. */
  readonly resume: boolean;
  /** Steps between two saves; once an epoch by default. */
  readonly every?: number;
}

/** What is tuned, and how. */
export interface LbfTuneOptions {
  /** The classifier. */
  readonly model: OnnxModel;
  /** What was found in it. */
  readonly inspection: Inspection;
  /** The labelled images. */
  readonly images: LbfImages;
  /** The settings. */
  readonly settings: LbfSettings;
  /** Where to compute. */
  readonly ctx: Context;
  /** Where the state is kept; nowhere by default. */
  readonly checkpoint?: LbfCheckpoint;
  /** Which samples each step sees; by the settings' seed by default. */
  readonly batches?: { readonly stepsPerEpoch: number; at(step: number): Batch };
  /** Steps between two reads of the losses; 10 by default. */
  readonly readEvery?: number;
  /** Stops the tuning after the step that runs. */
  readonly signal?: AbortSignal;
  /** Told before the first step. */
  readonly onStart?: (start: LbfStart) => void;
  /** Told how far a frozen trunk is. */
  readonly onTrunk?: (done: number, total: number) => void;
  /** Told the losses of steps, now and then. */
  readonly onRows?: (rows: readonly StepRow[]) => void;
  /** Takes the time of every kernel in one more step before the first. */
  readonly profile?: boolean;
}

/** What a tuning is going to do. */
export interface LbfStart {
  /** Numbers that learn. */
  readonly parameters: number;
  /** Steps in all. */
  readonly steps: number;
  /** Steps of an epoch. */
  readonly stepsPerEpoch: number;
  /** Steps that an earlier run has done. */
  readonly done: number;
  /** Dispatches of a step. */
  readonly dispatches: number;
  /** Convolutions behind which batch normalisation was put, to be folded away at the end. */
  readonly insertedNorms: number;
  /** Where the trained part begins, when a trunk is frozen. */
  readonly cut: readonly string[];
}

/** Means over an epoch. */
export interface LbfEpoch {
  /** Counted from 1. */
  readonly epoch: number;
  /** Mean cross-entropy. */
  readonly crossEntropy: number;
  /** Mean hinge on the norms of the background. */
  readonly hinge: number;
  /** Share of locations that were background. */
  readonly selected: number;
  /** Share of images that were classified as labelled, while training. */
  readonly accuracy: number;
}

/** What came of a tuning. */
export interface LbfTuned {
  /** The same graph with the weights of the end. */
  readonly model: OnnxModel;
  /** One record for each epoch that this run did whole. */
  readonly epochs: readonly LbfEpoch[];
  /** Losses of every step of this run. */
  readonly rows: readonly StepRow[];
  /** What a person should know. */
  readonly warnings: readonly string[];
  /** Times by kernel, when they were asked for. */
  readonly kernels?: readonly KernelTime[];
}

/**
 * Tunes a classifier.
 *
 * @param options What, with which images, and how.
 * @returns The tuned model and its losses.
 * @throws {UserError} When the model has no linear head on a pooled feature map, a label is
 * missing or out of range, an image has another size, or a setting makes no sense.
 * @throws {DivergedError} When a loss is no longer a number.
 *
 * @example One epoch on four images
 * ```ts
 * import { RowStore } from "@oodgpu/oodgpu/data";
 * import { LBF_DEFAULTS, tuneLbf } from "@oodgpu/oodgpu/methods";
 * import { inspect, loadSidecar, readModel } from "@oodgpu/oodgpu/onnx";
 * import { Gpu } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await Gpu.open();
 * const path = "models/cifar10-resnet20.onnx";
 * const model = await readModel(path);
 * const rows = RowStore.open({ rows: 4, rowBytes: 32 * 32 * 3 });
 * const tuned = await tuneLbf({
 *   model,
 *   inspection: inspect(model, { sidecar: (await loadSidecar(path))! }),
 *   images: {
 *     pixels: {
 *       count: 4, height: 32, width: 32, rows, origin: new Uint32Array(4), skipped: [],
 *       [Symbol.dispose]: () => {},
 *     },
 *     labels: new Int32Array([0, 1, 2, 3]),
 *     identity: "four black images",
 *   },
 *   settings: {
 *     ...LBF_DEFAULTS, trainable: "last-block", delta: 0.1, margin: 1, batch: 4, epochs: 1,
 *     learningRate: 1e-4, shift: 0, flip: false,
 *   },
 *   ctx: gpu,
 * });
 * assertEquals(tuned.rows.length, 1);
 * assertEquals(tuned.model.graph.outputs, model.graph.outputs);
 * ```
 */
export async function tuneLbf(options: LbfTuneOptions): Promise<LbfTuned> {
  requireLbfSettings(options.settings);
  const model = requireLbfModel(options.model, options.inspection);
  requireImages(options.images, { model, batch: options.settings.batch });
  using tuning = await openTuning(options, model);
  return await tuning.run();
}

/** What does not fit into memory is the user's to mend. */
async function openTuning(options: LbfTuneOptions, model: LbfModel): Promise<Tuning> {
  try {
    return await Tuning.open(options, model);
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    throw new UserError(
      `Cannot tune: ${error.message}; a smaller batch takes less, and so does training the last ` +
        "block alone",
      { cause: error },
    );
  }
}

/** Refuses labels that no logit stands for, and images that the model does not take. */
function requireImages(
  { pixels, labels }: LbfImages,
  { model, batch }: { readonly model: LbfModel; readonly batch: number },
): void {
  if (labels.length !== pixels.count) {
    throw new UserError(
      `Cannot tune: there are ${labels.length} labels for ${pixels.count} images`,
    );
  }
  const missing = labels.reduce((sum, label) => sum + (label < 0 ? 1 : 0), 0);
  if (missing > 0) {
    throw new UserError(
      `Cannot tune: ${missing} of ${labels.length} images have no label; put each class in a ` +
        `folder of its name, or name a label file`,
    );
  }
  const wrong = labels.find((label) => label >= model.classes);
  if (wrong !== undefined) {
    throw new UserError(
      `Cannot tune: there is a label ${wrong} and the model has the classes 0 to ` +
        `${model.classes - 1}`,
    );
  }
  if (pixels.width !== model.size.width || pixels.height !== model.size.height) {
    throw new UserError(
      `Cannot tune: the images are ${pixels.width} x ${pixels.height} and the model takes ` +
        `${model.size.width} x ${model.size.height}`,
    );
  }
  if (batch > pixels.count) {
    throw new UserError(
      `Cannot tune: a batch takes ${batch} images and there are ${pixels.count}; name a smaller batch`,
    );
  }
}

const METRICS = ["cross_entropy", "hinge", "selected", "accuracy"] as const;
const DEFAULT_READ_EVERY = 10;
const CALIBRATION_BATCHES = 16;

class Tuning implements Disposable {
  readonly #options: LbfTuneOptions;
  readonly #network: Network;
  readonly #pretrained: Network | undefined;
  readonly #trunk: TrunkCache | undefined;
  readonly #input: OpenSource;
  readonly #labels: Tensor;
  readonly #batches: NonNullable<LbfTuneOptions["batches"]>;
  readonly #optimizer: Optimizer;
  readonly #history: History;
  readonly #step: TrainingStep;
  readonly #rows: StepRow[] = [];

  private constructor(
    options: LbfTuneOptions,
    parts: {
      readonly network: Network;
      readonly pretrained: Network | undefined;
      readonly trunk: TrunkCache | undefined;
      readonly source: TrainingSource;
    },
  ) {
    const { ctx, settings } = options;
    this.#options = options;
    this.#network = parts.network;
    this.#pretrained = parts.pretrained;
    this.#trunk = parts.trunk;
    this.#input = parts.source.open(ctx, settings.batch);
    this.#labels = ctx.upload(new Int32Array(settings.batch), [settings.batch], {
      label: "labels",
    });
    const { shift, flip } = settings;
    this.#batches = options.batches ?? new Batches({
      samples: parts.source.samples,
      batch: settings.batch,
      seed: settings.seed,
      ...(shift > 0 || flip ? { augment: { shift, flip } } : {}),
    });
    this.#optimizer = new Sgd(ctx, this.#network.parameters, settings);
    this.#history = new History(ctx, METRICS, options.readEvery ?? DEFAULT_READ_EVERY);
    this.#step = new TrainingStep(ctx, (scope) => this.#record(scope));
  }

  static async open(options: LbfTuneOptions, model: LbfModel): Promise<Tuning> {
    const { ctx, settings, images } = options;
    const { trainable, batchNorm, insertNorms } = settings;
    // Until the tuning owns them: what fails on the way leaves no file of a trunk behind.
    using made = new DisposableStack();
    const network = made.use(importNetwork(ctx, options.model, options.inspection, {
      trainable,
      batchNorm,
      insertNorms,
      decay: "all",
    }));
    if (network.parameters.count === 0) throw new UserError("Cannot tune: nothing learns");
    const pretrained = settings.selection === "frozen"
      ? made.use(
        importNetwork(ctx, options.model, options.inspection, { trainable, batchNorm: "frozen" }),
      )
      : undefined;
    const { name, spec } = model;
    const trunk = network.trunk === undefined ? undefined : made.use(
      await runTrunk({ inputs: network.inputs, trunk: network.trunk }, images.pixels, {
        spec,
        input: name,
        batch: settings.batch,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        ...(options.onTrunk === undefined ? {} : { onProgress: options.onTrunk }),
      }),
    );
    const source = trunk === undefined
      ? pixelSource(images.pixels, { name, spec })
      : cachedSource(trunk.inputs, images.pixels.count);
    const tuning = new Tuning(options, { network, pretrained, trunk, source });
    made.move();
    return tuning;
  }

  async run(): Promise<LbfTuned> {
    const { settings, onStart, signal, profile } = this.#options;
    const { stepsPerEpoch } = this.#batches;
    const steps = settings.epochs * stepsPerEpoch;
    const done = await this.#begin();
    const kernels = profile === true ? await this.#profile() : undefined;
    onStart?.({
      parameters: this.#network.parameters.count,
      steps,
      stepsPerEpoch,
      done,
      dispatches: this.#step.dispatches,
      insertedNorms: this.#network.inserted.length,
      cut: this.#network.trunk === undefined ? [] : this.#network.inputs.map(({ name }) => name),
    });
    const { checkpoint } = this.#options;
    await train({
      step: this.#step,
      history: this.#history,
      optimizer: this.#optimizer,
      learningRate: settings.learningRate,
      schedule: stepSchedule([Math.ceil(settings.epochs / 2) * stepsPerEpoch]),
      steps,
      done,
      prepare: (step) => this.#prepare(step),
      onRows: (rows) => this.#take(rows),
      ...(checkpoint === undefined ? {} : {
        save: (count) => this.#save(count),
        saveEvery: checkpoint.every ?? stepsPerEpoch,
      }),
      signal,
    });
    const epochs = epochsOf(this.#rows, stepsPerEpoch, this.#locations());
    return {
      model: await this.#network.export(),
      epochs,
      rows: this.#rows,
      warnings: warningsOf(epochs, settings),
      ...(kernels === undefined ? {} : { kernels }),
    };
  }

  [Symbol.dispose](): void {
    this.#step[Symbol.dispose]();
    this.#history[Symbol.dispose]();
    this.#optimizer[Symbol.dispose]();
    this.#labels.dispose();
    this.#input[Symbol.dispose]();
    this.#trunk?.[Symbol.dispose]();
    this.#pretrained?.[Symbol.dispose]();
    this.#network[Symbol.dispose]();
  }

  #record(ctx: Context): void {
    const { settings } = this.#options;
    const inputs = this.#input.record(ctx);
    const tape = new Tape(ctx);
    const outputs = this.#network.forward(tape, inputs, { training: true });
    if (outputs.featureMap?.needsGradient !== true) {
      throw new UserError(
        "Cannot tune: what learns begins after the last feature map, whose norms the loss is about",
      );
    }
    const featureMap = tape.retain(outputs.featureMap);
    const selector = selectorOf(
      this.#pretrained?.forward(new Tape(ctx), inputs, { gradients: false }) ?? outputs,
    );
    const loss = lbfLoss(ctx, { logits: outputs.logits, featureMap }, {
      labels: this.#labels,
      selector,
      delta: settings.delta,
      margin: settings.margin,
      weight: settings.weight,
    });
    this.#history.record(ctx, "cross_entropy", loss.crossEntropy);
    this.#history.record(ctx, "hinge", loss.hinge);
    this.#history.record(ctx, "selected", loss.selected);
    this.#history.record(ctx, "accuracy", loss.accuracy);
    tape.backward(loss.seeds);
    const { maxNorm } = settings;
    const { gradients } = this.#network.parameters;
    const clip = maxNorm === undefined ? undefined : clipScale(ctx, { gradients }, { maxNorm });
    this.#optimizer.record(ctx, clip === undefined ? {} : { scale: clip.scale });
  }

  #prepare(step: number): void {
    const batch = this.#batches.at(step);
    const { labels } = this.#options.images;
    this.#input.write(batch);
    this.#options.ctx.write(
      this.#labels,
      Int32Array.from(batch.indices, (index) => labels[index]!),
    );
  }

  #take(rows: readonly StepRow[]): void {
    this.#rows.push(...rows);
    this.#options.onRows?.(rows);
  }

  /** Locations of a batch. */
  #locations(): number {
    return this.#options.settings.batch * mapArea(this.#options.inspection);
  }

  /** Runs a step on the first batch and puts everything back as it was. */
  async #profile(): Promise<KernelTime[]> {
    this.#prepare(0);
    this.#optimizer.learningRate.value = 0;
    return await this.#step.profileKeeping(Object.values(this.#state()));
  }

  #state(): Record<string, Tensor> {
    return {
      parameters: this.#network.parameters.values,
      ...Object.fromEntries(
        Object.entries(this.#optimizer.state).map(([name, tensor]) => [`sgd.${name}`, tensor]),
      ),
      ...Object.fromEntries(
        [...this.#network.statistics].map(([name, tensor]) => [`statistic.${name}`, tensor]),
      ),
    };
  }

  #identity(): Record<string, unknown> {
    const { settings, images, model } = this.#options;
    return { ...settings, images: images.identity, model: model.name };
  }

  async #save(step: number): Promise<void> {
    const { ctx, checkpoint } = this.#options;
    await saveCheckpoint(ctx, checkpoint!.path, {
      tensors: this.#state(),
      step,
      settings: this.#identity(),
    });
  }

  /** Puts everything into the state of the first step, or where an earlier run stopped. */
  async #begin(): Promise<number> {
    const { ctx, checkpoint } = this.#options;
    if (checkpoint?.resume !== true) {
      await this.#calibrate();
      return 0;
    }
    return await loadCheckpoint(ctx, checkpoint.path, {
      tensors: this.#state(),
      settings: this.#identity(),
    });
  }

  /** Estimates the statistics of inserted normalisations on images as they are. */
  async #calibrate(): Promise<void> {
    const { settings, images, signal } = this.#options;
    const batches = spreadBatches(images.pixels.count, settings.batch, CALIBRATION_BATCHES);
    await this.#network.calibrate(batches.length, (ctx, batch) => {
      signal?.throwIfAborted();
      this.#input.write(batches[batch]!);
      return this.#input.record(ctx);
    });
  }
}

function selectorOf({ featureMap, head }: NetworkOutputs): Selector {
  return { featureMap: featureMap!.value, weight: head!.weight.value, bias: head!.bias?.value };
}

/** Locations of the last feature map. */
function mapArea({ featureMap }: Inspection): number {
  const [, , height, width] = featureMap?.shape ?? [];
  return Number(height) * Number(width);
}

function epochsOf(
  rows: readonly StepRow[],
  stepsPerEpoch: number,
  locationsPerStep: number,
): LbfEpoch[] {
  const groups = new Map<number, StepRow[]>();
  for (const row of rows) {
    const epoch = Math.floor(row.step / stepsPerEpoch);
    groups.set(epoch, [...groups.get(epoch) ?? [], row]);
  }
  return [...groups].map(([epoch, group]) => {
    const mean = (name: typeof METRICS[number]) =>
      group.reduce((sum, { values }) => sum + values[name]!, 0) / group.length;
    return {
      epoch: epoch + 1,
      crossEntropy: mean("cross_entropy"),
      hinge: mean("hinge"),
      selected: mean("selected") / locationsPerStep,
      accuracy: mean("accuracy"),
    };
  });
}

function warningsOf(epochs: readonly LbfEpoch[], { delta, margin }: LbfSettings): string[] {
  const warnings: string[] = [];
  const empty = epochs.filter(({ selected }) => selected === 0).map(({ epoch }) => epoch);
  if (empty.length > 0) {
    warnings.push(
      `no location was background in epoch ${empty.join(", ")}: no true class had less than ` +
        `δ = ${delta} there; raise δ`,
    );
  }
  const idle = epochs.filter(({ selected, hinge }) => selected > 0 && hinge === 0);
  if (idle.length > 0) {
    warnings.push(
      `every background feature was shorter than μ = ${margin} in epoch ` +
        `${idle.map(({ epoch }) => epoch).join(", ")}: lower μ, or nothing pulls on them`,
    );
  }
  return warnings;
}
