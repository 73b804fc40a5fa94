/**
 * The runs of SynOOD's ablations (section 4.3): one seed after the other, each with the trainings of
 * Table 4, Table 5 and Figure 3.
 *
 * @module
 */

import { type FeatureSet, RowStore } from "../data/mod.ts";
import {
  type Assignment,
  assignNegatives,
  type Executor,
  type Fitted,
  fittedSynood,
  type ImageFeatures,
  type LabelSet,
  type LabelTuningSettings,
  type Projection,
  type ProjectionSettings,
  scoreFeatures,
  trainJointly,
  trainProjection,
  tuneLabels,
} from "../methods/mod.ts";
import { gatherImages } from "../methods/synood/images.ts";
import type { Context } from "../runtime/mod.ts";
import { type FiguresBySet, figuresOf } from "./_ablation_sections.ts";
import type { CommandContext } from "./_command.ts";

/** Images that the trainings see. */
export interface AblationImages {
  /** In-distribution images with labels. */
  readonly id: ImageFeatures;
  /** The synthetic image of each. */
  readonly synthetic: ImageFeatures;
  /** As many images of negative labels, made without gradients. */
  readonly labelled?: ImageFeatures;
}

/** What is varied. */
export interface SynoodAblationPlan {
  /** Settings of the projection; its seed is the first one. */
  readonly projection: ProjectionSettings;
  /** Settings of label tuning. */
  readonly tuning: LabelTuningSettings;
  /** Numbers of synthetic images, ascending; the last is all of them. */
  readonly amounts: readonly number[];
  /** How many seeds. */
  readonly seeds: number;
  /** Groups of negative labels in the score. */
  readonly groups: number | undefined;
}

/** Scores by set. */
export type ScoresBySet = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

/** Everything that one seed gave. */
export interface SynoodSeed {
  readonly seed: number;
  /** Table 4, after the scores that nothing was trained for. */
  readonly parts: ReadonlyMap<string, FiguresBySet>;
  /** Table 5. */
  readonly strategies: ReadonlyMap<string, FiguresBySet>;
  /** Figure 3 with label tuning. */
  readonly tuned: ReadonlyMap<number, FiguresBySet>;
  /** Figure 3 without. */
  readonly untuned: ReadonlyMap<number, FiguresBySet>;
  /** Negative labels that synthetic images were assigned to, by the number of images. */
  readonly used: ReadonlyMap<number, number>;
  /** Scores of some rows, for histograms. */
  readonly scores: ReadonlyMap<string, ScoresBySet>;
}

/** Names of rows. */
export const ROWS = {
  mcm: "MCM",
  none: "NegLabel",
  labelledProjection: "Projection, label images",
  projection: "Projection, near-boundary",
  labelled: "Both, label images",
  full: "Both, near-boundary",
} as const;

/** Names of Table 5's strategies. */
export const STRATEGIES = {
  joint: "Joint",
  projected: "Separate, behind projection",
  separate: "Separate",
} as const;

/** What a training gave: the labels and the projection of a detector. */
interface Tuned {
  readonly labels: LabelSet;
  readonly projection?: Projection;
}

/** A projection that was trained, and the labels of its synthetic images. */
interface Trained {
  readonly assignment: Assignment;
  readonly projection: Projection;
}

/** Runs the ablations. */
export class SynoodAblation {
  readonly #context: CommandContext;
  readonly #ctx: Context;
  readonly #executor: Executor;
  readonly #labels: LabelSet;
  readonly #images: AblationImages;
  readonly #tests: ReadonlyMap<string, FeatureSet>;
  readonly #plan: SynoodAblationPlan;

  /**
   * @param context Where progress goes, and what stops it.
   * @param of Where trainings and scores run, the labels, the images, and what is varied.
   */
  constructor(
    context: CommandContext,
    of: {
      readonly ctx: Context;
      readonly executor: Executor;
      readonly labels: LabelSet;
      readonly images: AblationImages;
      readonly tests: ReadonlyMap<string, FeatureSet>;
      readonly plan: SynoodAblationPlan;
    },
  ) {
    this.#context = context;
    this.#ctx = of.ctx;
    this.#executor = of.executor;
    this.#labels = of.labels;
    this.#images = of.images;
    this.#tests = of.tests;
    this.#plan = of.plan;
  }

  /**
   * Does everything.
   *
   * @param mcm The score MCM, fitted.
   */
  async run(mcm: Fitted): Promise<SynoodSeed[]> {
    const untrained = new Map([
      [ROWS.mcm, await this.#scores(mcm)],
      [ROWS.none, await this.#test({ labels: this.#labels })],
    ]);
    const seeds: SynoodSeed[] = [];
    for (let i = 0; i < this.#plan.seeds; i++) {
      seeds.push(await this.#runSeed(this.#plan.projection.seed + i, untrained));
    }
    return seeds;
  }

  async #runSeed(seed: number, untrained: ReadonlyMap<string, ScoresBySet>): Promise<SynoodSeed> {
    const { id, synthetic, labelled } = this.#images;
    const scores = new Map<string, ScoresBySet>(untrained);
    const [tuned, untuned] = [new Map<number, FiguresBySet>(), new Map<number, FiguresBySet>()];
    const used = new Map<number, number>();
    // The last training is on all pairs.
    let trained: Trained | undefined;
    for (const amount of this.#plan.amounts) {
      using pair = pairOf({ id, synthetic }, amount);
      const label = `seed ${seed}, ${amount} images`;
      const run = await this.#separate(pair, { seed, label });
      trained = run.trained;
      tuned.set(amount, figuresOf(run.full));
      untuned.set(amount, figuresOf(run.projection));
      used.set(amount, run.used);
      if (amount !== synthetic.count) continue;
      scores.set(ROWS.projection, run.projection);
      scores.set(ROWS.full, run.full);
    }
    if (labelled !== undefined) {
      using pair = pairOf({ id, synthetic: labelled }, Math.min(id.count, labelled.count));
      const run = await this.#separate(pair, { seed, label: `seed ${seed}, images of labels` });
      scores.set(ROWS.labelledProjection, run.projection);
      scores.set(ROWS.labelled, run.full);
    }
    const strategies = new Map<string, FiguresBySet>([
      [STRATEGIES.joint, figuresOf(await this.#test(await this.#jointly(seed)))],
      [
        STRATEGIES.projected,
        figuresOf(await this.#test(await this.#behindProjection(seed, trained!))),
      ],
      [STRATEGIES.separate, figuresOf(scores.get(ROWS.full)!)],
    ]);
    const order = Object.values(ROWS).filter((name) => scores.has(name));
    return {
      seed,
      parts: new Map(order.map((name) => [name, figuresOf(scores.get(name)!)])),
      strategies,
      tuned,
      untuned,
      used,
      scores,
    };
  }

  /** The projection alone, and with labels tuned apart from it. */
  async #separate(
    pair: ImagePair,
    how: { readonly seed: number; readonly label: string },
  ): Promise<
    { projection: ScoresBySet; full: ScoresBySet; used: number; trained: Trained }
  > {
    const assignment = await this.#assign(pair.synthetic);
    const projection = await this.#project(pair, { ...how, assignment });
    const labels = await this.#tune(pair.synthetic, { ...how, assignment });
    return {
      projection: await this.#test({ labels: this.#labels, projection }),
      full: await this.#test({ labels, projection }),
      used: assignment.used.length,
      trained: { assignment, projection },
    };
  }

  #assign(synthetic: ImageFeatures): Promise<Assignment> {
    const { signal } = this.#context;
    return assignNegatives(this.#ctx, synthetic, this.#labels, { signal });
  }

  async #project(
    pair: ImagePair,
    how: { readonly seed: number; readonly label: string; readonly assignment: Assignment },
  ): Promise<Projection> {
    const settings = { ...this.#plan.projection, seed: how.seed };
    const trained = await this.#shown(
      `${how.label}: projection`,
      settings.epochs * pair.id.count * 2,
      (progress) =>
        trainProjection({
          ...pair,
          ...this.#common(how.label),
          settings,
          assignment: how.assignment,
          onRows: (rows) => progress((rows.at(-1)!.step + 1) * settings.batch),
        }),
    );
    return trained.projection;
  }

  async #tune(
    synthetic: ImageFeatures,
    how: {
      readonly seed: number;
      readonly label: string;
      readonly assignment: Assignment;
      readonly projection?: Projection;
    },
  ): Promise<LabelSet> {
    const settings = { ...this.#plan.tuning, seed: how.seed };
    const tuned = await this.#shown(
      `${how.label}: labels`,
      settings.epochs * synthetic.count,
      (progress) =>
        tuneLabels({
          synthetic,
          ...this.#common(how.label),
          settings,
          assignment: how.assignment,
          projection: how.projection,
          onRows: (rows) => progress((rows.at(-1)!.step + 1) * settings.batch),
        }),
    );
    return tuned.labels;
  }

  async #jointly(seed: number): Promise<Tuned> {
    const { projection, tuning } = this.#plan;
    const { id, synthetic } = this.#images;
    const label = `seed ${seed}, joint`;
    return await this.#shown(label, projection.epochs * id.count * 2, (progress) =>
      trainJointly({
        id,
        synthetic,
        ...this.#common(label),
        projection: { ...projection, seed },
        tuning: { ...tuning, seed },
        onRows: (rows) => progress((rows.at(-1)!.step + 1) * projection.batch),
      }));
  }

  async #behindProjection(seed: number, { assignment, projection }: Trained): Promise<Tuned> {
    const label = `seed ${seed}, behind the projection`;
    const how = { seed, label, assignment, projection };
    return { labels: await this.#tune(this.#images.synthetic, how), projection };
  }

  #common(identity: string) {
    const { signal } = this.#context;
    return { labels: this.#labels, ctx: this.#ctx, identity, signal };
  }

  /** Runs a training with a progress bar. */
  async #shown<T>(
    label: string,
    images: number,
    run: (progress: (done: number) => void) => Promise<T>,
  ): Promise<T> {
    using progress = this.#context.terminal.progress(label, images, { unit: "images" });
    const result = await run((done) => progress.update(Math.min(done, images)));
    progress.finish();
    return result;
  }

  #test({ labels, projection }: Tuned): Promise<ScoresBySet> {
    const { groups } = this.#plan;
    return this.#scores(fittedSynood(labels, projection, { groups }));
  }

  async #scores(fitted: Fitted): Promise<ScoresBySet> {
    const scores = new Map<string, Float32Array<ArrayBuffer>>();
    for (const [name, set] of this.#tests) {
      this.#context.signal.throwIfAborted();
      scores.set(name, await scoreFeatures(fitted, set, { executor: this.#executor }));
    }
    return scores;
  }
}

interface ImagePair {
  readonly id: ImageFeatures;
  readonly synthetic: ImageFeatures;
}

/** Some of the pairs, spread evenly, so that every class keeps its share. */
function pairOf(images: ImagePair, amount: number): ImagePair & Disposable {
  const id = someOf(images.id, amount);
  const synthetic = someOf(images.synthetic, amount);
  return {
    id,
    synthetic,
    [Symbol.dispose]() {
      id[Symbol.dispose]();
      synthetic[Symbol.dispose]();
    },
  };
}

function someOf(images: ImageFeatures, amount: number): ImageFeatures {
  const { count, width } = images;
  const indices = Array.from(
    { length: amount },
    (_, i) => Math.floor((i + 0.5) * count / amount),
  );
  const data = gatherImages(images, indices);
  const rows = RowStore.open({ rows: amount, rowBytes: 4 * width });
  rows.write(0, new Uint8Array(data.buffer));
  return {
    ...images,
    count: amount,
    rows,
    labels: Int32Array.from(indices, (index) => images.labels[index]!),
    [Symbol.dispose]: () => rows[Symbol.dispose](),
  };
}
