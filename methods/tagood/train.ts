/**
 * Training of TagOOD's projection model and class centres (section 3.4) on object tokens.
 *
 * @module
 */

import { updateCentres } from "../../kernels/mod.ts";
import {
  Adam,
  type Batch,
  Batches,
  cosineSchedule,
  History,
  loadCheckpoint,
  ParameterSet,
  saveCheckpoint,
  type StepRow,
  Tape,
  train,
  TrainingStep,
  Variable,
} from "../../nn/mod.ts";
import { type Context, type KernelTime, Scalar, type Tensor } from "../../runtime/mod.ts";
import { BestSoFar } from "./_best.ts";
import { requireTrainingData } from "./_training_data.ts";
import { tagoodLoss } from "./loss.ts";
import { firstCentres, project, projectionParameters, type ProjectionSizes } from "./model.ts";
import { type ObjectSet, packObjects } from "./objects.ts";
import { type Projected, projectObjects } from "./projection.ts";
import {
  centreRateOf,
  CODE_PATTERNS,
  requireTagoodSettings,
  type TagoodSettings,
} from "./settings.ts";

/** Where a training keeps its state. */
export interface TagoodCheckpoint {
  /** The file. */
  readonly path: string;
  /** Whether to go on from it. */
  readonly resume: boolean;
  /** Steps between two saves; once an epoch by default. */
  readonly every?: number;
}

/** What is trained, and how. */
export interface TagoodTrainOptions {
  /** Object tokens with labels from 0 to K - 1; every image has tokens. */
  readonly objects: ObjectSet;
  /** Object tokens that early stopping looks at. */
  readonly validation?: ObjectSet;
  /** Number of classes, K. */
  readonly classes: number;
  /** Their names, for messages; numbers by default. */
  readonly classNames?: readonly string[] | undefined;
  /** Most tokens that an image can have, T. */
  readonly maxTokens: number;
  /** The settings. */
  readonly settings: TagoodSettings;
  /** What must be the same when a training is resumed, such as hashes of the objects. */
  readonly identity: string;
  /** Where to compute. */
  readonly ctx: Context;
  /** Where the state is kept; nowhere by default. */
  readonly checkpoint?: TagoodCheckpoint | undefined;
  /** Which images each step sees; by the settings' seed by default. */
  readonly batches?: { readonly stepsPerEpoch: number; at(step: number): Batch };
  /** First values of parameters and centres by name; drawn from the seed by default. */
  readonly start?: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  /** Stops the training after the step that runs. */
  readonly signal?: AbortSignal | undefined;
  /** Told before the first step. */
  readonly onStart?: (start: TagoodStart) => void;
  /** Told the losses of steps, now and then. */
  readonly onRows?: (rows: readonly StepRow[]) => void;
  /** Told how the validation went after an epoch. */
  readonly onValidation?: (checked: TagoodValidation) => void;
  /** Takes the time of every kernel in one more step before the first. */
  readonly profile?: boolean;
}

/** What a training is going to do. */
export interface TagoodStart {
  /** Numbers that learn, centres not counted. */
  readonly parameters: number;
  /** Steps in all. */
  readonly steps: number;
  /** Steps of an epoch. */
  readonly stepsPerEpoch: number;
  /** Steps that an earlier run has done. */
  readonly done: number;
  /** Dispatches of a step. */
  readonly dispatches: number;
  /** Rows of a step's packed tokens. */
  readonly capacity: number;
  /** γ₂ as it is used. */
  readonly centreRate: number;
}

/** How the validation went after an epoch. */
export interface TagoodValidation {
  /** Epochs done. */
  readonly epoch: number;
  /** Mean loss, as in training but without dropout. */
  readonly loss: number;
  /** Share of images that were classified as labelled. */
  readonly accuracy: number;
  /** Whether it is the smallest loss so far. */
  readonly best: boolean;
}

/** What came of a training. */
export interface TagoodTrained {
  /** The model's sizes. */
  readonly sizes: ProjectionSizes;
  /** The parameters by name. */
  readonly parameters: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  /** The class centres, f32 [K, W]. */
  readonly centres: Float32Array<ArrayBuffer>;
  /** Losses of every step of this run. */
  readonly rows: readonly StepRow[];
  /** Epoch whose state this is; less than those done when training stopped early. */
  readonly epoch: number;
  /** What a person should know. */
  readonly warnings: readonly string[];
  /** Times by kernel, when they were asked for. */
  readonly kernels?: readonly KernelTime[];
}

/**
 * Trains a projection model and class centres.
 *
 * @param options What, on which objects, and how.
 * @returns The trained model.
 * @throws {UserError} When a setting makes no sense, a label is missing or out of range, a class has
 * no image, or there are fewer images than a batch takes.
 * @throws {DivergedError} When a loss is no longer a number.
 *
 * @example Two epochs on six images
 * ```ts
 * import { loadObjects, TAGOOD_DEFAULTS, trainTagood } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const set = memoryFeatures({
 *   "object_tokens": { data: Float32Array.from({ length: 36 }, (_, i) => Math.cos(i)), shape: [9, 4] },
 *   "object_counts": { data: new Int32Array([1, 2, 1, 2, 1, 2]), shape: [6] },
 *   "tag_count": { data: new Int32Array(6).fill(1), shape: [6] },
 *   "tag_score": { data: new Float32Array(6).fill(0.9), shape: [6] },
 *   labels: { data: new Int32Array([0, 1, 0, 1, 0, 1]), shape: [6] },
 * });
 * using host = new Host();
 * using objects = await loadObjects(set);
 * const trained = await trainTagood({
 *   objects, classes: 2, maxTokens: 3, identity: "six", ctx: host,
 *   settings: { ...TAGOOD_DEFAULTS, width: 8, heads: 2, hidden: 8, depth: 1, batch: 3, epochs: 2 },
 * });
 * assertEquals(trained.rows.length, 4);
 * assertEquals(trained.centres.length, 16);
 * ```
 */
export async function trainTagood(options: TagoodTrainOptions): Promise<TagoodTrained> {
  requireTagoodSettings(options.settings);
  requireTrainingData({ ...options, batch: options.settings.batch });
  using training = new Training(options);
  return await training.run();
}

const METRICS = ["cross_entropy", "distance", "accuracy"] as const;
const READ_EVERY = 10;
/** Below this share of their way from noise to the features, centres are mostly noise. */
const LEAST_TRAVEL = 0.95;

class Training implements Disposable {
  readonly #options: TagoodTrainOptions;
  readonly #sizes: ProjectionSizes;
  readonly #parameters: ParameterSet;
  readonly #centres: Tensor;
  readonly #tokens: Tensor;
  readonly #offsets: Tensor;
  readonly #singles: Tensor;
  readonly #labels: Tensor;
  readonly #batches: NonNullable<TagoodTrainOptions["batches"]>;
  readonly #capacity: number;
  readonly #centreRate: number;
  readonly #dropoutSeed = new Scalar(0);
  readonly #adam: Adam;
  readonly #history: History;
  readonly #step: TrainingStep;
  readonly #best: BestSoFar | undefined;
  readonly #rows: StepRow[] = [];

  constructor(options: TagoodTrainOptions) {
    const { ctx, settings, objects, classes, maxTokens, start, validation } = options;
    const { width, depth, heads, hidden, batch, seed } = settings;
    this.#options = options;
    this.#sizes = { inputs: objects.width, maxTokens, width, depth, heads, hidden, classes };
    this.#parameters = new ParameterSet(ctx, projectionParameters(this.#sizes, seed));
    const centres = start?.get("centres") ?? firstCentres(this.#sizes, seed);
    this.#centres = ctx.upload(centres, [classes, width], { label: "centres" });
    if (start !== undefined) {
      this.#parameters.write(new Map([...start].filter(([name]) => name !== "centres")));
    }
    this.#batches = options.batches ?? new Batches({ samples: objects.count, batch, seed });
    this.#capacity = largestBatch(objects, this.#batches, settings.epochs);
    this.#centreRate = centreRateOf(settings, {
      samples: this.#batches.stepsPerEpoch * batch,
      classes,
    });
    this.#tokens = ctx.upload(new Float32Array(this.#capacity * objects.width), [
      this.#capacity,
      objects.width,
    ], { label: "batch of tokens" });
    this.#offsets = ctx.upload(new Int32Array(batch + 1), [batch + 1], { label: "offsets" });
    this.#singles = ctx.upload(Int32Array.from({ length: batch + 1 }, (_, n) => n), [batch + 1]);
    this.#labels = ctx.upload(new Int32Array(batch), [batch], { label: "labels" });
    this.#adam = new Adam(ctx, this.#parameters, {
      learningRate: settings.learningRate,
      weightDecay: settings.weightDecay,
      decoupled: settings.weightDecay > 0,
    });
    this.#history = new History(ctx, METRICS, READ_EVERY);
    this.#best = validation === undefined
      ? undefined
      : new BestSoFar(ctx, { parameters: this.#parameters.values, centres: this.#centres });
    this.#step = new TrainingStep(ctx, (scope) => this.#record(scope));
  }

  async run(): Promise<TagoodTrained> {
    const { settings, checkpoint, onStart, signal, profile } = this.#options;
    const { stepsPerEpoch } = this.#batches;
    const steps = settings.epochs * stepsPerEpoch;
    const done = await this.#begin();
    const kernels = profile === true ? await this.#profile() : undefined;
    onStart?.({
      parameters: this.#parameters.count,
      steps,
      stepsPerEpoch,
      done,
      dispatches: this.#step.dispatches,
      capacity: this.#capacity,
      centreRate: this.#centreRate,
    });
    const { learningRate, finalRate, patience } = settings;
    await train({
      step: this.#step,
      history: this.#history,
      optimizer: this.#adam,
      learningRate,
      schedule: cosineSchedule(steps, finalRate / learningRate),
      steps,
      done,
      prepare: (step) => this.#prepare(step),
      onRows: (rows) => {
        this.#rows.push(...rows);
        this.#options.onRows?.(rows);
      },
      save: (count) => this.#save(count),
      saveEvery: checkpoint?.every ?? stepsPerEpoch,
      enough: () => patience !== undefined && (this.#best?.waited ?? 0) >= patience,
      signal,
    });
    const epoch = this.#best?.restore() ?? settings.epochs;
    return {
      sizes: this.#sizes,
      parameters: await this.#parameters.read(),
      centres: (await this.#options.ctx.read(this.#centres))[0] as Float32Array<ArrayBuffer>,
      rows: this.#rows,
      epoch,
      warnings: this.#warnings(epoch),
      ...(kernels === undefined ? {} : { kernels }),
    };
  }

  [Symbol.dispose](): void {
    this.#step[Symbol.dispose]();
    this.#best?.[Symbol.dispose]();
    this.#history[Symbol.dispose]();
    this.#adam[Symbol.dispose]();
    for (
      const tensor of [this.#tokens, this.#offsets, this.#singles, this.#labels, this.#centres]
    ) tensor.dispose();
    this.#parameters[Symbol.dispose]();
  }

  #record(ctx: Context): void {
    const { variant, alpha, beta, dropout, attentionDropout } = this.#options.settings;
    const tape = new Tape(ctx);
    const outputs = project(
      tape,
      {
        tokens: new Variable(this.#tokens),
        offsets: this.#offsets,
        singles: this.#singles,
      },
      this.#parameters,
      {
        sizes: this.#sizes,
        dropout: { rate: dropout, attention: attentionDropout, seed: this.#dropoutSeed },
      },
    );
    const features = tape.retain(outputs.features);
    const loss = tagoodLoss(ctx, outputs, {
      labels: this.#labels,
      centres: this.#centres,
      alpha,
      beta,
      groups: variant === "code" ? CODE_PATTERNS : 1,
    });
    this.#history.record(ctx, "cross_entropy", loss.crossEntropy);
    this.#history.record(ctx, "distance", loss.distance);
    this.#history.record(ctx, "accuracy", loss.accuracy);
    tape.backward(loss.seeds);
    this.#adam.record(ctx);
    updateCentres(ctx, {
      centres: this.#centres,
      features: features.value,
      labels: this.#labels,
    }, { rate: this.#centreRate });
  }

  #prepare(step: number): void {
    const { ctx, objects, settings } = this.#options;
    const { indices } = this.#batches.at(step);
    const size = { capacity: this.#capacity, images: settings.batch };
    const { tokens, offsets } = packObjects(objects, indices, size);
    ctx.write(this.#tokens, tokens);
    ctx.write(this.#offsets, offsets);
    ctx.write(this.#labels, Int32Array.from(indices, (index) => objects.labels[index]!));
    this.#dropoutSeed.value = dropoutSeed(settings.seed, step);
  }

  /** Runs a step on the first batch and puts everything back as it was. */
  async #profile(): Promise<KernelTime[]> {
    this.#prepare(0);
    this.#adam.learningRate.value = 0;
    return await this.#step.profileKeeping(Object.values(this.#state()));
  }

  #state(): Record<string, Tensor> {
    return {
      parameters: this.#parameters.values,
      centres: this.#centres,
      "adam.first": this.#adam.state["first"]!,
      "adam.second": this.#adam.state["second"]!,
      ...this.#best?.state,
    };
  }

  #identity(): Record<string, unknown> {
    const { settings, identity, validation } = this.#options;
    return { ...settings, ...this.#sizes, objects: identity, validation: validation !== undefined };
  }

  async #begin(): Promise<number> {
    const { ctx, checkpoint } = this.#options;
    if (checkpoint?.resume !== true) return 0;
    const done = await loadCheckpoint(ctx, checkpoint.path, {
      tensors: this.#state(),
      settings: this.#identity(),
    });
    await this.#best?.load();
    return done;
  }

  async #save(step: number): Promise<void> {
    if (step % this.#batches.stepsPerEpoch === 0) await this.#validate(step);
    const { ctx, checkpoint } = this.#options;
    if (checkpoint === undefined) return;
    await saveCheckpoint(ctx, checkpoint.path, {
      tensors: this.#state(),
      step,
      settings: this.#identity(),
    });
  }

  async #validate(step: number): Promise<void> {
    const { ctx, validation, onValidation, settings } = this.#options;
    if (validation === undefined) return;
    const epoch = step / this.#batches.stepsPerEpoch;
    if (this.#best!.epoch === epoch || epoch <= this.#best!.seen) return;
    const projected = await projectObjects(ctx, validation, {
      parameters: this.#parameters,
      sizes: this.#sizes,
      batch: settings.batch,
    });
    const [centres] = await ctx.read(this.#centres);
    const { loss, accuracy } = validationLoss(projected, {
      labels: validation.labels,
      centres: centres as Float32Array<ArrayBuffer>,
      settings,
    });
    onValidation?.({ epoch, loss, accuracy, best: this.#best!.offer(loss, epoch) });
  }

  #warnings(epoch: number): string[] {
    const { stepsPerEpoch } = this.#batches;
    const { batch } = this.#options.settings;
    const updates = epoch * stepsPerEpoch * batch / this.#sizes.classes;
    const travelled = 1 - (1 - this.#centreRate) ** updates;
    if (travelled >= LEAST_TRAVEL || this.#options.start !== undefined) return [];
    return [
      `The class centres have gone ${
        (100 * travelled).toFixed(0)
      } % of the way from noise to the features: more epochs or a larger centre rate than ` +
      `${this.#centreRate} would take them there`,
    ];
  }
}

/** A seed below 2^32 for the dropout of a step, far from those of other steps and seeds. */
function dropoutSeed(seed: number, step: number): number {
  return (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b)) >>> 0;
}

/** The most tokens of a batch in the whole training: what a recorded step must have room for. */
function largestBatch(
  objects: ObjectSet,
  batches: { readonly stepsPerEpoch: number; at(step: number): Batch },
  epochs: number,
): number {
  let most = 1;
  for (let step = 0; step < epochs * batches.stepsPerEpoch; step++) {
    let tokens = 0;
    for (const index of batches.at(step).indices) tokens += objects.counts[index]!;
    most = Math.max(most, tokens);
  }
  return most;
}

/** The loss of projected images in float64, with its parts weighted as in training. */
function validationLoss(
  { features, logits }: Projected,
  how: {
    readonly labels: Int32Array;
    readonly centres: Float32Array;
    readonly settings: TagoodSettings;
  },
): { loss: number; accuracy: number } {
  const { labels, centres, settings: { alpha, beta, width, variant } } = how;
  const classes = centres.length / width;
  const groups = variant === "code" ? CODE_PATTERNS : 1;
  let [loss, right] = [0, 0];
  labels.forEach((label, n) => {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    const most = Math.max(...row);
    const sum = row.reduce((total, logit) => total + Math.exp(logit - most), 0);
    let squares = 0;
    for (let i = 0; i < width; i++) {
      squares += (features[n * width + i]! - centres[label * width + i]!) ** 2;
    }
    loss += alpha * (most + Math.log(sum) - row[label]!) + beta * groups * squares / width;
    if (row.indexOf(most) === label) right++;
  });
  return { loss: loss / labels.length, accuracy: right / labels.length };
}
