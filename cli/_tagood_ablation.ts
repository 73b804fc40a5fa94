/**
 * The runs of TagOOD's ablations (section 4.3): one seed after the other, each with a training for
 * every threshold, one without centres, and one on single tags.
 *
 * @module
 */

import { type FeatureSet, openFeatures } from "../data/mod.ts";
import type { Closeness } from "../kernels/mod.ts";
import {
  classMeans,
  cosineScores,
  Detector,
  type Fitted,
  fittedTagood,
  loadObjects,
  meanTokens,
  type ObjectRule,
  type ObjectSet,
  type ScoreChoice,
  tagBaselines,
  taggerKindOf,
  type TagoodSettings,
  type TagoodTrained,
  trainTagood,
  wholeFeatures,
  withScore,
  writeObjects,
} from "../methods/mod.ts";
import { projectFitted, type ScorableObjects, scoreProjected } from "../methods/tagood/detector.ts";
import { objectRecord } from "../methods/tagood/features.ts";
import { type Context, UserError } from "../runtime/mod.ts";
import { type FiguresBySet, figuresOf } from "./_ablation_sections.ts";
import type { CommandContext } from "./_command.ts";
import { ID_SET } from "./_evaluation_options.ts";
import { labelNames, maxTokensOf, openTags, stageFile, tagSourceOf } from "./_tagood.ts";

/** What a run of the ablations reads. */
export interface AblationSources {
  /** Labelled training images: the tagger's outputs. */
  readonly train: string;
  /** In-distribution test images. */
  readonly id: string;
  /** OOD sets by name. */
  readonly ood: ReadonlyMap<string, string>;
  /** Other labelled images: the state with the smallest loss on them is kept. */
  readonly validation: string | undefined;
  /** The vocabulary; none for classifiers. */
  readonly vocabulary: string | undefined;
  /** Probability from which a classifier's class counts as predicted. */
  readonly tagThreshold: number | undefined;
}

/** What is varied. */
export interface AblationPlan {
  /** Thresholds of training and of test. */
  readonly taus: readonly number[];
  /** The threshold that is taken elsewhere; one of `taus`. */
  readonly tau: number;
  /** The settings; their seed is the first one. */
  readonly settings: TagoodSettings;
  /** How many seeds. */
  readonly seeds: number;
}

/** Everything that one seed gave. */
export interface SeedOutcome {
  readonly seed: number;
  /** Figure 3: training and test at a threshold. */
  readonly taus: ReadonlyMap<number, FiguresBySet>;
  /** Figure 5: the model of the taken threshold, tested at others. */
  readonly testTaus: ReadonlyMap<number, FiguresBySet>;
  /** Table 3 and what is beside it. */
  readonly steps: ReadonlyMap<string, FiguresBySet>;
  /** Table 4. */
  readonly distances: ReadonlyMap<string, FiguresBySet>;
  /** Table 5. */
  readonly tags: ReadonlyMap<string, FiguresBySet>;
  /** The authors' code's score. */
  readonly code: FiguresBySet;
  /** Share of each set without a tag of a known class. */
  readonly untagged: ReadonlyMap<string, number>;
}

/** What the picture and the histograms are drawn from: the last seed's. */
export interface AblationPicture {
  /** Features before projection: means of object tokens. */
  readonly before: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  /** Features after it. */
  readonly after: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  /** Widths of both. */
  readonly widths: { readonly before: number; readonly after: number };
  /** Tokens of each image. */
  readonly counts: ReadonlyMap<string, Int32Array<ArrayBuffer>>;
  /** Labels of the in-distribution test images. */
  readonly labels: Int32Array<ArrayBuffer>;
  /** Scores of the full method. */
  readonly scores: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
  /** Scores of the cosine without projection. */
  readonly plainScores: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
}

/** What all seeds gave. */
export interface AblationOutcome {
  readonly seeds: readonly SeedOutcome[];
  readonly picture: AblationPicture;
  readonly classNames: readonly string[];
  readonly sets: readonly string[];
}

/** Names of Table 3's rows, in its order, after what they are compared with. */
export const STEP_NAMES = {
  msp: "MSP",
  energy: "Energy",
  classMean: "Class-mean cosine",
  tagScore: "Tag score",
  cs: "CS",
  ce: "p(CE)+CS",
  full: "p(CE+MSE)+CS",
} as const;

/** Runs the ablations. */
export class AblationRuns implements AsyncDisposable {
  readonly #context: CommandContext;
  readonly #ctx: Context;
  readonly #sources: AblationSources;
  readonly #plan: AblationPlan;
  readonly #work: string;
  readonly #open: FeatureSet[] = [];
  readonly #objects: ObjectSet[] = [];
  #rule!: Omit<ObjectRule, "tau" | "untagged" | "oneTag">;
  #head: { readonly head?: Awaited<ReturnType<FeatureSet["read"]>> } = {};
  #classNames!: readonly string[];

  constructor(
    context: CommandContext,
    ctx: Context,
    of: {
      readonly sources: AblationSources;
      readonly plan: AblationPlan;
      readonly work: string;
    },
  ) {
    this.#context = context;
    this.#ctx = ctx;
    this.#sources = of.sources;
    this.#plan = of.plan;
    this.#work = of.work;
  }

  /** Does everything. */
  async run(): Promise<AblationOutcome> {
    const train = await this.#openSet(this.#sources.train);
    await this.#readRule(train);
    const found = await this.#findObjects(train);
    const seeds: SeedOutcome[] = [];
    let picture: AblationPicture | undefined;
    for (let i = 0; i < this.#plan.seeds; i++) {
      const seed = this.#plan.settings.seed + i;
      const outcome = await this.#runSeed(seed, found);
      seeds.push(outcome.outcome);
      picture = outcome.picture;
    }
    return {
      seeds,
      picture: picture!,
      classNames: this.#classNames,
      sets: [...this.#sources.ood.keys()],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const objects of this.#objects) objects[Symbol.dispose]();
    for (const set of this.#open) await set[Symbol.asyncDispose]();
  }

  async #openSet(path: string): Promise<FeatureSet> {
    const set = await openFeatures(path);
    this.#open.push(set);
    return set;
  }

  async #readRule(train: FeatureSet): Promise<void> {
    const { args, terminal } = this.#context;
    const source = await tagSourceOf(train);
    const { tags, classNames } = await openTags(args, source, terminal);
    this.#rule = { kind: source.kind, ...tags };
    this.#classNames = classNames;
    if (source.head !== undefined) this.#head = { head: source.head };
    const labels = train.has("labels") ? (await train.read("labels")).data : [];
    if (labels.some((label) => label >= 0)) return;
    throw new UserError(
      `Cannot train TagOOD: the images of "${train.path}" have no labels; extract labelled images`,
    );
  }

  /** Opens a set that must be of the same kind of model as the training images. */
  async #openOther(path: string): Promise<FeatureSet> {
    const set = await this.#openSet(path);
    if (taggerKindOf(set) === this.#rule.kind) return set;
    throw new UserError(
      `Cannot use "${path}" with "${this.#sources.train}": it has ${set.keys.join(", ")}`,
    );
  }

  /** Object tokens of one set at one threshold. */
  async #objectsOf(
    set: FeatureSet,
    how: { readonly name: string; readonly tau: number; readonly oneTag?: boolean },
  ): Promise<ObjectSet> {
    const { name, tau, oneTag = false } = how;
    const { terminal, signal } = this.#context;
    using progress = terminal.progress(`objects of ${name}, τ ${tau}`, set.count, {
      unit: "images",
    });
    const out = stageFile(this.#work, `${name}-${tau}${oneTag ? "-one" : ""}`);
    // What a stopped run left would be in the way.
    await Deno.remove(`${out}.parts`, { recursive: true }).catch(() => {});
    const { path } = await writeObjects(set, {
      rule: { ...this.#rule, tau, untagged: "none", oneTag },
      ...this.#head,
      out,
      ctx: this.#ctx,
      signal,
      onProgress: (done) => progress.update(done),
    });
    progress.finish();
    await using file = await openFeatures(path);
    const learned = name === "train" || name === "validation";
    const loaded = await loadObjects(file, { signal, onlyTagged: learned });
    // Messages name what the user named.
    const objects = { ...loaded, path: `${set.path} at τ ${tau}` };
    this.#objects.push(objects);
    return objects;
  }

  async #findObjects(train: FeatureSet): Promise<FoundObjects> {
    const { id, ood, validation } = this.#sources;
    const { taus, tau } = this.#plan;
    const tests = new Map([[ID_SET, await this.#openOther(id)]]);
    for (const [name, path] of ood) tests.set(name, await this.#openOther(path));
    const valSet = validation === undefined ? undefined : await this.#openOther(validation);
    const byTau = new Map<number, ObjectsAt>();
    for (const value of taus) {
      const test = new Map<string, ObjectSet>();
      for (const [name, set] of tests) {
        test.set(name, await this.#objectsOf(set, { name, tau: value }));
      }
      byTau.set(value, {
        train: await this.#objectsOf(train, { name: "train", tau: value }),
        test,
        ...(valSet === undefined
          ? {}
          : { validation: await this.#objectsOf(valSet, { name: "validation", tau: value }) }),
      });
    }
    return {
      byTau,
      oneTag: await this.#objectsOf(train, { name: "train", tau, oneTag: true }),
      tests,
      train,
    };
  }

  /** Trains on some objects. */
  async #train(
    train: ObjectSet,
    how: { readonly settings: TagoodSettings; readonly label: string; readonly at: ObjectsAt },
  ): Promise<{ readonly trained: TagoodTrained; readonly fitted: Fitted }> {
    const { terminal, signal } = this.#context;
    const record = objectRecord(train);
    const steps = how.settings.epochs * Math.floor(train.count / how.settings.batch);
    using progress = terminal.progress(how.label, steps * how.settings.batch, { unit: "images" });
    const trained = await trainTagood({
      objects: train,
      ...(how.at.validation === undefined ? {} : { validation: how.at.validation }),
      classes: this.#classNames.length,
      classNames: this.#classNames,
      maxTokens: maxTokensOf({ record, objects: train }),
      settings: how.settings,
      identity: train.path,
      ctx: this.#ctx,
      signal,
      onRows: (rows) => progress.update((rows.at(-1)!.step + 1) * how.settings.batch),
    });
    progress.finish();
    return { trained, fitted: fittedTagood(trained, record) };
  }

  async #project(
    fitted: Fitted,
    test: ReadonlyMap<string, ObjectSet>,
  ): Promise<Map<string, ScorableObjects>> {
    const { signal } = this.#context;
    const result = new Map<string, ScorableObjects>();
    for (const [name, objects] of test) {
      result.set(name, await projectFitted(this.#ctx, fitted, objects, { signal }));
    }
    return result;
  }

  async #figures(
    fitted: Fitted,
    projected: ReadonlyMap<string, ScorableObjects>,
    choice: ScoreChoice = {},
  ): Promise<{ figures: FiguresBySet; scores: Map<string, Float32Array<ArrayBuffer>> }> {
    const chosen = withScore(new Detector(fitted), choice).fitted;
    const scores = new Map<string, Float32Array<ArrayBuffer>>();
    for (const [name, images] of projected) {
      scores.set(name, await scoreProjected(this.#ctx, chosen, images));
    }
    return { figures: figuresOf(scores), scores };
  }

  async #runSeed(
    seed: number,
    found: FoundObjects,
  ): Promise<{ outcome: SeedOutcome; picture: AblationPicture }> {
    const { taus, tau, settings: base } = this.#plan;
    const settings = { ...base, seed };
    const at = found.byTau.get(tau)!;
    const byTau = new Map<number, FiguresBySet>();
    let full: { fitted: Fitted; projected: Map<string, ScorableObjects> } | undefined;
    for (const value of taus) {
      const here = found.byTau.get(value)!;
      const { fitted } = await this.#train(here.train, {
        settings,
        label: `seed ${seed}, τ ${value}`,
        at: here,
      });
      const projected = await this.#project(fitted, here.test);
      byTau.set(value, (await this.#figures(fitted, projected)).figures);
      if (value === tau) full = { fitted, projected };
    }
    const { fitted, projected } = full!;
    const testTaus = new Map<number, FiguresBySet>();
    for (const value of taus) {
      const images = await this.#project(fitted, found.byTau.get(value)!.test);
      testTaus.set(value, (await this.#figures(fitted, images)).figures);
    }
    const distances = new Map<string, FiguresBySet>();
    for (const distance of ["kl", "euclidean", "cosine"] satisfies Closeness[]) {
      distances.set(distance, (await this.#figures(fitted, projected, { distance })).figures);
    }
    const single = await this.#train(found.oneTag, {
      settings,
      label: `seed ${seed}, one tag`,
      at,
    });
    const singleFigures = await this.#figures(
      single.fitted,
      await this.#project(single.fitted, at.test),
    );
    const whole = await this.#figures(fitted, projected);
    const { steps, plain } = await this.#steps({ found, at, settings, full: whole.figures });
    const outcome: SeedOutcome = {
      seed,
      taus: byTau,
      testTaus,
      steps,
      distances,
      tags: new Map([["One tag", singleFigures.figures], ["Multiple tags", whole.figures]]),
      code: (await this.#figures(fitted, projected, { variant: "code" })).figures,
      untagged: new Map(
        [...at.test].map(([name, { tagCounts }]) => [
          name,
          tagCounts.reduce((sum, count) => sum + (count === 0 ? 1 : 0), 0) / tagCounts.length,
        ]),
      ),
    };
    return {
      outcome,
      picture: {
        before: plain.features,
        after: new Map([...projected].map(([name, { features }]) => [name, features])),
        widths: { before: at.train.width, after: settings.width },
        counts: new Map([...projected].map(([name, { counts }]) => [name, counts])),
        labels: this.#classesOf(at.test.get(ID_SET)!),
        scores: whole.scores,
        plainScores: plain.scores,
      },
    };
  }

  /** Labels in the order of the training's classes; another file may number its own. */
  #classesOf({ labels, metadata }: ObjectSet): Int32Array<ArrayBuffer> {
    const names = labelNames(metadata) ?? this.#classNames;
    return labels.map((label) => this.#classNames.indexOf(names[label] ?? ""));
  }

  /** Table 3, and the scores that TagOOD is compared with on the same tagger. */
  async #steps(of: {
    readonly found: FoundObjects;
    readonly at: ObjectsAt;
    readonly settings: TagoodSettings;
    readonly full: FiguresBySet;
  }): Promise<{ steps: Map<string, FiguresBySet>; plain: PlainScores }> {
    const { found, at, settings } = of;
    const steps = new Map<string, FiguresBySet>();
    const tags = await this.#tagScores(found);
    steps.set(STEP_NAMES.msp, figuresOf(tags.msp));
    steps.set(STEP_NAMES.energy, figuresOf(tags.energy));
    steps.set(STEP_NAMES.classMean, figuresOf(await this.#wholeCosine(found)));
    const scores = [...at.test].map(([name, { tagScores }]) => [name, tagScores] as const);
    steps.set(STEP_NAMES.tagScore, figuresOf(new Map(scores)));
    const plain = await this.#classMeanCosine(at.train, at.test);
    steps.set(STEP_NAMES.cs, figuresOf(plain.scores));
    const { fitted } = await this.#train(at.train, {
      settings: { ...settings, beta: 0 },
      label: `seed ${settings.seed}, cross-entropy alone`,
      at,
    });
    const own = await projectFitted(this.#ctx, fitted, at.train);
    const centres = classMeans(own.features, {
      labels: at.train.labels,
      classes: this.#classNames.length,
    });
    const projected = await this.#project(fitted, at.test);
    const withoutCentres = new Map<string, Float32Array<ArrayBuffer>>();
    for (const [name, images] of projected) {
      withoutCentres.set(name, await cosineScores(this.#ctx, images, centres));
    }
    steps.set(STEP_NAMES.ce, figuresOf(withoutCentres));
    steps.set(STEP_NAMES.full, of.full);
    return { steps, plain };
  }

  async #tagScores(found: FoundObjects): Promise<Record<"msp" | "energy", ScoresBySet>> {
    const key = this.#rule.kind === "cam" ? "logits" : "tag_logits";
    const [msp, energy] = [new Map(), new Map()] as [ScoresBySet, ScoresBySet];
    for (const [name, set] of found.tests) {
      const scores = await tagBaselines(set, { key, columns: this.#rule.tags });
      msp.set(name, scores.msp);
      energy.set(name, scores.energy);
    }
    return { msp, energy };
  }

  /** Cosines of whole images to the classes' means, without the rule for untagged images. */
  async #wholeCosine({ train, tests }: FoundObjects): Promise<ScoresBySet> {
    const { kind } = this.#rule;
    const centres = classMeans(await wholeFeatures(train, kind), {
      labels: (await train.read("labels")).data,
      classes: this.#classNames.length,
    });
    const scores: ScoresBySet = new Map();
    for (const [name, set] of tests) {
      const features = await wholeFeatures(set, kind);
      const counts = new Int32Array(set.count).fill(1);
      scores.set(name, await cosineScores(this.#ctx, { features, counts }, centres));
    }
    return scores;
  }

  /** Cosines of mean tokens to the classes' means. */
  async #classMeanCosine(
    train: ObjectSet,
    test: ReadonlyMap<string, ObjectSet>,
  ): Promise<PlainScores> {
    const centres = classMeans(await meanTokens(this.#ctx, train), {
      labels: train.labels,
      classes: this.#classNames.length,
    });
    const [features, scores] = [new Map(), new Map()] as [ScoresBySet, ScoresBySet];
    for (const [name, objects] of test) {
      const means = await meanTokens(this.#ctx, objects);
      features.set(name, means);
      const images = { features: means, counts: objects.counts };
      scores.set(name, await cosineScores(this.#ctx, images, centres));
    }
    return { features, scores };
  }
}

type ScoresBySet = Map<string, Float32Array<ArrayBuffer>>;

interface PlainScores {
  readonly features: ScoresBySet;
  readonly scores: ScoresBySet;
}

/** Object tokens of all sets at one threshold. */
interface ObjectsAt {
  readonly train: ObjectSet;
  readonly validation?: ObjectSet;
  readonly test: ReadonlyMap<string, ObjectSet>;
}

interface FoundObjects {
  readonly byTau: ReadonlyMap<number, ObjectsAt>;
  readonly oneTag: ObjectSet;
  readonly tests: ReadonlyMap<string, FeatureSet>;
  readonly train: FeatureSet;
}
