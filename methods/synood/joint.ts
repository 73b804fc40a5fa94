/**
 * Both of SynOOD's trainings at once: "joint" of Table 5.
 *
 * @module
 */

import {
  type Adam,
  Batches,
  concatChannels,
  type History,
  l2Normalize,
  ParameterSet,
  reshape,
  scale,
  type Sgd,
  Tape,
  Variable,
} from "../../nn/mod.ts";
import { type Context, type Tensor, UserError } from "../../runtime/mod.ts";
import { type Assignment, assignNegatives } from "./assign.ts";
import { gatherImages } from "./images.ts";
import type { LabelSet } from "./label_set.ts";
import {
  labelLoss,
  type LabelsTuned,
  sgdOf,
  TEXT,
  textParameters,
  withRows,
} from "./label_tuning.ts";
import { imageToText } from "./loss.ts";
import { delta, deltaParameters, type Projection } from "./model.ts";
import { type ImagePairs, placesOf, requirePairs } from "./_pairs.ts";
import { adamOf, lengthened } from "./projection.ts";
import {
  type LabelTuningSettings,
  type ProjectionSettings,
  requireLabelTuningSettings,
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
export interface JointTrainOptions extends SynoodRun, ImagePairs {
  /** The labels. */
  readonly labels: LabelSet;
  /** Settings of the projection; epochs, batch, seed and logit scale are these for both. */
  readonly projection: ProjectionSettings;
  /** Settings of label tuning. */
  readonly tuning: LabelTuningSettings;
  /** The negative label of each synthetic image; the nearest one by default. */
  readonly assignment?: Assignment;
}

/** What came of a training; its rows have both losses and accuracies. */
export interface JointTrained extends LabelsTuned {
  /** The projection. */
  readonly projection: Projection;
}

const PURPOSE = "train the projection and labels jointly";

/**
 * Trains projection and used negative labels at once. A step sees half a batch of pairs; its loss is
 * the sum of both trainings' losses (equations 12 and 14, or that of the authors' code) of projected
 * images against the features as they are at that step, and each of the two groups of parameters
 * follows its own optimiser. The paper names the strategy and no more of it.
 *
 * @param options What, on which images, and how.
 * @returns Projection and labels.
 * @throws {UserError} When a setting makes no sense, the batch is odd, images and labels do not fit,
 * numbers of pairs differ, a label is missing or out of range, or there are fewer images than a batch
 * takes.
 * @throws {DivergedError} When a loss is no longer a number.
 *
 * @example Two pairs
 * ```ts
 * import {
 *   LABEL_TUNING_DEFAULTS, loadImageFeatures, PROJECTION_DEFAULTS, trainJointly,
 * } from "@oodgpu/oodgpu/methods";
 * import { memoryFeatures } from "@oodgpu/oodgpu/data";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assert } from "@std/assert";
 *
 * using host = new Host();
 * const images = (values: number[]) =>
 *   loadImageFeatures(memoryFeatures({
 *     "image_embed": { data: Float32Array.from(values), shape: [2, 2] },
 *     labels: { data: new Int32Array(2), shape: [2] },
 *   }));
 * using id = await images([1, 0.1, 1, -0.1]);
 * using synthetic = await images([1, 2, 1, -2]);
 * const { rows } = await trainJointly({
 *   id, synthetic, identity: "two", ctx: host,
 *   labels: {
 *     ids: ["cat"], negatives: ["sea", "sky"], kinds: ["noun", "noun"], mining: "given",
 *     text: new Float32Array([1, 0, 0, -1, 0, 1]), width: 2, logitScale: 10, model: "m",
 *   },
 *   projection: { ...PROJECTION_DEFAULTS, batch: 4 },
 *   tuning: LABEL_TUNING_DEFAULTS,
 * });
 * assert(rows[0]!.values["label_loss"]! > 0);
 * ```
 */
export async function trainJointly(options: JointTrainOptions): Promise<JointTrained> {
  const { projection, labels, synthetic, ctx, signal } = options;
  requireJointSettings(options);
  requirePairs(options, labels, { purpose: PURPOSE, batch: projection.batch });
  const assignment = options.assignment ??
    await assignNegatives(ctx, synthetic, labels, { signal });
  using training = new JointTraining(options, assignment);
  return { ...await training.run(), assignment };
}

/**
 * Checks the settings of a joint training.
 *
 * @throws {UserError} When a number is out of its range, or the two do not go together.
 */
export function requireJointSettings(
  { projection, tuning }: Pick<JointTrainOptions, "projection" | "tuning">,
): void {
  requireProjectionSettings(projection);
  requireLabelTuningSettings(tuning);
  if (projection.labelSet === "negatives") {
    throw new UserError(
      `Cannot ${PURPOSE}: pairs need labels of both kinds; choose another label set than "negatives"`,
    );
  }
  if (projection.batch % 2 !== 0) {
    throw new UserError(`Cannot ${PURPOSE}: a batch of ${projection.batch} has no whole pairs`);
  }
}

class JointTraining implements Disposable {
  readonly #options: JointTrainOptions;
  readonly #assignment: Assignment;
  readonly #owned: Context;
  readonly #projection: ParameterSet;
  readonly #text: ParameterSet;
  readonly #adam: Adam;
  readonly #sgd: Sgd;
  readonly #batches: SynoodBatches;
  /** Rows of the used labels' targets among the learnable ones. */
  readonly #places: ReadonlyMap<number, number>;
  /** Features of the labels that do not learn: classes, then unused negative ones. */
  readonly #fixed: Variable;
  readonly #pairs: PairTensors;

  constructor(options: JointTrainOptions, assignment: Assignment) {
    const { ctx, labels, projection, tuning, id, start } = options;
    const { batch, seed } = projection;
    const { width } = labels;
    const { used } = assignment;
    this.#options = options;
    this.#assignment = assignment;
    this.#owned = ctx.scope();
    this.#projection = new ParameterSet(ctx, deltaParameters(width, seed));
    this.#text = textParameters(ctx, labels, { used, settings: tuning, start });
    if (start !== undefined) {
      this.#projection.write(new Map([...start].filter(([name]) => name !== TEXT)));
    }
    this.#adam = adamOf(ctx, this.#projection, projection);
    this.#sgd = sgdOf(ctx, this.#text, tuning);
    this.#batches = options.batches ??
      new Batches({ samples: id.count, batch: batch / 2, seed });
    this.#places = placesOf(used);
    const fixed = fixedRows(labels, { used, all: projection.labelSet === "all" });
    this.#fixed = new Variable(this.#owned.upload(fixed, [fixed.length / width, width]));
    const rows = () => this.#owned.upload(new Float32Array(batch / 2 * width), [batch / 2, width]);
    const whole = (length: number, value: (i: number) => number) =>
      this.#owned.upload(Int32Array.from({ length }, (_, i) => value(i)), [length]);
    this.#pairs = {
      id: rows(),
      synthetic: rows(),
      targets: whole(batch, () => 0),
      own: whole(batch / 2, () => 0),
      diagonal: whole(batch / 2, (i) => i),
    };
  }

  async run(): Promise<Omit<JointTrained, "assignment">> {
    const { projection, tuning, labels } = this.#options;
    const { stepsPerEpoch } = this.#batches;
    const { used } = this.#assignment;
    const { width } = labels;
    const { images, epsilon, epochs } = projection;
    const length = { epochs, stepsPerEpoch };
    const report = await runTraining({
      run: this.#options,
      groups: {
        projection: {
          parameters: this.#projection,
          optimizer: this.#adam,
          learningRate: projection.learningRate,
          schedule: scheduleOf(projection, length),
        },
        text: {
          parameters: this.#text,
          optimizer: this.#sgd,
          learningRate: tuning.learningRate,
          schedule: scheduleOf(tuning, length),
        },
      },
      metrics: ["loss", "accuracy", "label_loss", "label_accuracy"],
      record: (ctx, history) => this.#record(ctx, history),
      prepare: (step) => this.#prepare(step),
      stepsPerEpoch,
      epochs,
      labels: used.length + this.#fixed.shape[0]!,
      settings: { training: "joint", projection, tuning, width, used: used.length },
    });
    const parameters = await readParameters(this.#projection);
    const text = (await readParameters(this.#text)).get(TEXT)!;
    return {
      projection: { width, images, epsilon, parameters },
      ...withRows(labels, { used, rows: text }),
      ...report,
    };
  }

  [Symbol.dispose](): void {
    this.#adam[Symbol.dispose]();
    this.#sgd[Symbol.dispose]();
    this.#projection[Symbol.dispose]();
    this.#text[Symbol.dispose]();
    this.#owned[Symbol.dispose]();
  }

  #record(ctx: Context, history: History): void {
    const { projection: { images, epsilon, logitScale }, tuning, labels } = this.#options;
    const { id, synthetic, targets, own, diagonal } = this.#pairs;
    const factor = logitScale ?? labels.logitScale;
    const tape = new Tape(ctx);
    const projected = (rows: Tensor) => {
      const features = new Variable(lengthened(ctx, rows, images));
      return scale(tape, delta(tape, features, this.#projection, { epsilon }), { factor });
    };
    const [known, made] = [projected(id), projected(synthetic)];
    const learned = l2Normalize(tape, this.#text.get(TEXT));
    const all = imageToText(tape, joined(tape, [known, made]), {
      labels: joined(tape, [learned, this.#fixed]),
      targets,
    });
    const labelled = labelLoss(tape, made, {
      targets: own,
      diagonal,
      text: this.#text,
      kind: tuning.loss,
    });
    history.record(ctx, "loss", all.loss);
    history.record(ctx, "accuracy", all.accuracy);
    history.record(ctx, "label_loss", labelled.loss);
    history.record(ctx, "label_accuracy", labelled.accuracy);
    tape.backward([all.seed, labelled.seed]);
  }

  #prepare(step: number): void {
    const { ctx, id, synthetic } = this.#options;
    const { indices } = this.#batches.at(step);
    const { used, labels: assigned } = this.#assignment;
    const own = Int32Array.from(indices, (index) => this.#places.get(assigned[index]!)!);
    ctx.write(this.#pairs.id, gatherImages(id, indices));
    ctx.write(this.#pairs.synthetic, gatherImages(synthetic, indices));
    ctx.write(this.#pairs.own, own);
    const known = Array.from(indices, (index) => used.length + id.labels[index]!);
    ctx.write(this.#pairs.targets, Int32Array.from([...known, ...own]));
  }
}

/** Tensors of half a batch of pairs. */
interface PairTensors {
  /** f32 [B / 2, D]. */
  readonly id: Tensor;
  /** f32 [B / 2, D]. */
  readonly synthetic: Tensor;
  /** The label of each image among all, those that learn first; i32 [B]. */
  readonly targets: Tensor;
  /** The label of each synthetic image among those that learn, i32 [B / 2]. */
  readonly own: Tensor;
  /** 0, 1, …, B / 2 - 1. */
  readonly diagonal: Tensor;
}

/** Rows one behind the other. */
function joined(tape: Tape, parts: readonly Variable[]): Variable {
  const width = parts[0]!.shape[1]!;
  const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
  const flat = parts.map((part) => reshape(tape, part, [1, 1, 1, part.value.size]));
  return reshape(tape, concatChannels(tape, flat), [rows, width]);
}

/** Features of the classes, and with `all` of the unused negative labels behind them. */
function fixedRows(
  { text, ids, negatives, width }: LabelSet,
  { used, all }: { readonly used: Int32Array; readonly all: boolean },
): Float32Array<ArrayBuffer> {
  const learning = new Set(used);
  const chosen = [
    ...ids.keys(),
    ...(all
      ? [...negatives.keys()].filter((m) => !learning.has(m)).map((m) => ids.length + m)
      : []),
  ];
  const rows = new Float32Array(chosen.length * width);
  chosen.forEach((label, place) =>
    rows.set(text.subarray(label * width, (label + 1) * width), place * width)
  );
  return rows;
}
