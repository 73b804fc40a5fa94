/**
 * The way from open feature files to a table: fit, score, compare. `ood eval` and `ood demo` share
 * it.
 *
 * @module
 */

import type { FeatureSet } from "../data/mod.ts";
import { type Convention, evaluate, type Evaluation } from "../eval/mod.ts";
import {
  describeParameters,
  type Executor,
  type Fitted,
  type ScoreMethod,
} from "../methods/mod.ts";
import { isGpu } from "../runtime/mod.ts";
import { fitScores } from "./_fit.ts";
import { scoreSet, type ScoringRun } from "./_scoring.ts";
import { recordOf } from "./_sets.ts";
import type { Terminal } from "./_terminal.ts";
import { VERSION } from "./_version.ts";

/** Everything that an evaluation reads. */
export interface EvaluationSets {
  /** Training set. */
  readonly train: FeatureSet;
  /** Validation set. */
  readonly validation: FeatureSet | undefined;
  /** In-distribution test set. */
  readonly id: FeatureSet;
  /** OOD sets by name, in order. */
  readonly ood: ReadonlyMap<string, FeatureSet>;
}

/** Scores of every set: set name (`id` for the in-distribution one), then method. */
export type ScoresBySet = ReadonlyMap<string, ReadonlyMap<string, Float32Array<ArrayBuffer>>>;

/** What is evaluated, and how. */
export interface EvaluationPlan {
  /** The scores. */
  readonly methods: readonly ScoreMethod[];
  /** Whether a method that cannot be fitted is an error. */
  readonly explicit: boolean;
  /** Wishes by method, then parameter. */
  readonly parameters: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Whose rules. */
  readonly convention: Convention;
  /** Groups of OOD sets that get an average. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
  /** Bootstrap replicates. */
  readonly replicates: number;
  /** Seed of fits and bootstrap. */
  readonly seed: number;
}

/** What came of an evaluation. */
export interface EvaluationOutcome {
  /** The table. */
  readonly evaluation: Evaluation;
  /** Scores by set and method. */
  readonly scores: ScoresBySet;
  /** The fitted scores. */
  readonly fitted: readonly Fitted[];
}

/**
 * Fits, scores and compares.
 *
 * @param sets Open feature files.
 * @param run The plan, where to compute, where progress is shown, and what stops the work.
 * @returns The table with what it was made of.
 * @throws {UserError} When the sets and the methods do not fit together.
 */
export async function runEvaluation(
  sets: EvaluationSets,
  run: EvaluationPlan & ScoringRun,
): Promise<EvaluationOutcome> {
  const { train, validation } = sets;
  const scored = [sets.id, ...sets.ood.values()];
  const { fitted, skipped } = await fitScores(run.methods, { ...run, train, validation, scored });
  const scores = await scoreSets(fitted, sets, run);
  const manifest = await describeRun(sets, { ...run, fitted, skipped });
  const evaluation = await evaluateScores(scores, sets, { ...run, manifest });
  return { evaluation, scores, fitted };
}

/** Scores every set with every method, each set in one pass. */
async function scoreSets(
  fitted: readonly Fitted[],
  sets: Pick<EvaluationSets, "id" | "ood">,
  run: ScoringRun,
): Promise<ScoresBySet> {
  const result = new Map<string, Map<string, Float32Array<ArrayBuffer>>>();
  for (const [name, set] of [["id", sets.id] as const, ...sets.ood]) {
    const scores = await scoreSet(fitted, set, { ...run, label: `score ${name}` });
    result.set(name, new Map(fitted.map(({ method }, i) => [method.name, scores[i]!])));
  }
  return result;
}

async function describeRun(
  sets: EvaluationSets,
  run: {
    fitted: readonly Fitted[];
    skipped: Readonly<Record<string, string>>;
    executor: Executor;
    seed: number;
  },
): Promise<Record<string, unknown>> {
  const ood: Record<string, unknown> = {};
  for (const [name, set] of sets.ood) ood[name] = await recordOf(set);
  return {
    tool: `oodgpu ${VERSION}`,
    device: run.executor.kind,
    adapter: adapterOf(run.executor),
    seed: run.seed,
    parameters: Object.fromEntries(
      run.fitted.map(({ method, parameters }) => [
        method.name,
        describeParameters(method, parameters),
      ]),
    ),
    ...(Object.keys(run.skipped).length === 0 ? {} : { skipped: run.skipped }),
    train: await recordOf(sets.train),
    ...(sets.validation === undefined ? {} : { validation: await recordOf(sets.validation) }),
    id: await recordOf(sets.id),
    ood,
  };
}

/** The adapter that fits, and on webgpu scores, ran on. */
function adapterOf({ context }: Executor): string {
  if (!isGpu(context)) return "none";
  return context.gpu.adapter.description || context.gpu.adapter.device;
}

async function evaluateScores(
  scores: ScoresBySet,
  sets: EvaluationSets,
  plan: EvaluationPlan & { manifest: Record<string, unknown>; terminal: Terminal },
): Promise<Evaluation> {
  using progress = plan.terminal.progress("bootstrap", plan.replicates, { unit: "replicates" });
  const ood = new Map([...scores].filter(([name]) => name !== "id"));
  return evaluate({
    id: scores.get("id")!,
    ood,
    groups: plan.groups,
    ...await idClasses(sets.id),
  }, {
    convention: plan.convention,
    replicates: plan.replicates,
    seed: plan.seed,
    manifest: plan.manifest,
    onProgress: (share) => progress.update(Math.round(share * plan.replicates)),
  });
}

/** Predicted and true classes of the in-distribution set, where the file has them. */
async function idClasses(
  id: FeatureSet,
): Promise<{ predictions?: Int32Array; labels?: ArrayLike<number> }> {
  if (!id.has("logits") || !id.has("labels")) return {};
  const predictions = new Int32Array(id.count);
  const classes = id.shape("logits")[1]!;
  for await (const batch of id.batches(["logits"], { rows: 4096 })) {
    const { data } = batch.get("logits");
    for (let row = 0; row < batch.rows; row++) {
      const logits = data.subarray(row * classes, (row + 1) * classes);
      predictions[batch.start + row] = logits.indexOf(Math.max(...logits));
    }
  }
  return { predictions, labels: (await id.read("labels")).data };
}
