// deno-lint-ignore-file camelcase -- the names are those of the result files
/**
 * One ID set against named OOD sets under several methods: the whole table at once, as the object
 * that result files hold.
 *
 * @module
 */

import { UserError } from "../runtime/errors.ts";
import {
  intervalsOf,
  meanReplicates,
  RankedScores,
  replicate,
  type Replicates,
} from "./_replicates.ts";
import { entriesOf, type Named } from "./_named.ts";
import {
  type AuprRule,
  type Convention,
  type ConventionInfo,
  findConvention,
} from "./conventions.ts";
import { FIGURES, type Intervals, type Metrics } from "./figures.ts";
import { computeMetrics, idAccuracy, tieMass } from "./metrics.ts";
import { checkScores, type Scores } from "./scores.ts";

export type { Named };

/** What is evaluated. */
export interface EvaluationInput {
  /** Scores of the in-distribution set by method; the order of methods is the table's. */
  readonly id: Named<Scores>;
  /** Scores by OOD set, then by method; each set has every method of `id`. */
  readonly ood: Named<Named<Scores>>;
  /** Groups of OOD sets that also get an average, for example `near` and `far`. */
  readonly groups?: Named<readonly string[]>;
  /** The predicted class of each in-distribution image, for the ID accuracy. */
  readonly predictions?: ArrayLike<number>;
  /** The true class of each in-distribution image; negative = unknown. */
  readonly labels?: ArrayLike<number>;
}

/** How to evaluate. */
export interface EvaluationOptions {
  /**
   * Whose rules to follow.
   *
   * @default {"default"}
   */
  readonly convention?: Convention;
  /** How AUPR is taken; the convention's own rule when not given. */
  readonly aupr?: AuprRule;
  /**
   * Bootstrap replicates; 0 leaves the intervals out.
   *
   * @default {500}
   */
  readonly replicates?: number;
  /**
   * The share of replicates that an interval holds.
   *
   * @default {0.95}
   */
  readonly level?: number;
  /**
   * Seed of the bootstrap.
   *
   * @default {0}
   */
  readonly seed?: number;
  /** What the caller knows of the run: hashes, files, parameters. Copied into the manifest. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** Called now and then with the share that is done, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** How the bootstrap was run. */
export interface BootstrapRecord {
  /** How many replicates. */
  readonly replicates: number;
  /** The share of replicates that an interval holds. */
  readonly level: number;
  /** The generator's seed. */
  readonly seed: number;
}

/** What is needed to read the numbers, and whatever the caller added. */
export interface EvaluationManifest {
  /** The convention's letter, for example `B`. */
  readonly convention: ConventionInfo["letter"];
  /** The convention's name, for example `default`. */
  readonly convention_name: Convention;
  /** What `fpr95` is, for example `FPR95(OOD|ID95)`. */
  readonly fpr95: ConventionInfo["fpr95"];
  /** What `fpr95_reverse` is. */
  readonly fpr95_reverse: ConventionInfo["fpr95Reverse"];
  /** How AUPR was taken. */
  readonly aupr: AuprRule;
  /** How the intervals were made; `null` when there are none. */
  readonly bootstrap: BootstrapRecord | null;
  /** The methods in the order of the table. */
  readonly methods: readonly string[];
  /** Number of images by set; the in-distribution set is `id`. */
  readonly counts: { readonly id: number; readonly ood: Readonly<Record<string, number>> };
  /** What the caller added. */
  readonly [key: string]: unknown;
}

/** One method on one OOD set; fractions in 0..1. */
export interface EvaluationResult extends Metrics {
  /** The method. */
  readonly method: string;
  /** The OOD set. */
  readonly ood: string;
  /** Images of the in-distribution set. */
  readonly n_id: number;
  /** Images of the OOD set. */
  readonly n_ood: number;
  /** Share of all scores whose value occurs in both sets. */
  readonly tie_mass: number;
  /** Bootstrap intervals; `null` when they were left out. */
  readonly ci: Intervals | null;
}

/** One method's mean over OOD sets: of the metrics, not of the pooled scores. */
export interface EvaluationAverage extends Metrics {
  /** The method. */
  readonly method: string;
  /** `all`, or the group's name. */
  readonly group: string;
  /** The sets that were averaged. */
  readonly sets: readonly string[];
  /** Images of the in-distribution set. */
  readonly n_id: number;
  /** Images of all averaged OOD sets together. */
  readonly n_ood: number;
  /** Bootstrap intervals of the mean; `null` when they were left out. */
  readonly ci: Intervals | null;
}

/** A table of results: what `--json` writes and what tables and reports are made of. */
export interface Evaluation {
  /** How the numbers were made. */
  readonly manifest: EvaluationManifest;
  /** Share of labelled in-distribution images whose class is right; `null` without labels. */
  readonly id_accuracy: number | null;
  /** One entry per OOD set and method, sets outermost. */
  readonly results: readonly EvaluationResult[];
  /** One entry per group and method; the group `all` comes first. */
  readonly averages: readonly EvaluationAverage[];
  /** What a reader should know before trusting a number. */
  readonly warnings: readonly string[];
}

/** Fewer images than this make 95 % a matter of a handful of images. */
const FEW_IMAGES = 100;
/** Above this share of tied scores the conventions visibly disagree. */
const MANY_TIES = 0.05;

/**
 * Evaluates every method on every OOD set: AUROC, FPR95 both ways, AUPR both ways, tie mass,
 * bootstrap intervals, and averages over sets.
 *
 * @param input The scores, groups of sets, predictions and labels.
 * @param options Convention, bootstrap, and the caller's part of the manifest.
 * @returns The results as plain data, ready for `JSON.stringify`.
 * @throws {UserError} If there is no method or no OOD set, a set lacks a method or has scores of
 * different lengths, a score is not finite, or a group names an unknown set.
 *
 * @example Two methods on one set
 * ```ts
 * import { evaluate } from "@oodgpu/oodgpu/eval";
 * import { assertEquals } from "@std/assert";
 *
 * const evaluation = evaluate({
 *   id: { msp: Float32Array.of(0.9, 0.8), energy: Float32Array.of(5, 4) },
 *   ood: { noise: { msp: Float32Array.of(0.85), energy: Float32Array.of(1) } },
 *   predictions: [3, 5],
 *   labels: [3, 4],
 * }, { replicates: 20, seed: 1 });
 * assertEquals(evaluation.manifest.fpr95, "FPR95(OOD|ID95)");
 * assertEquals(evaluation.id_accuracy, 0.5);
 * assertEquals(evaluation.results.map((row) => [row.method, row.ood, row.auroc]), [
 *   ["msp", "noise", 0.5],
 *   ["energy", "noise", 1],
 * ]);
 * ```
 */
export function evaluate(input: EvaluationInput, options: EvaluationOptions = {}): Evaluation {
  const settings = settingsOf(options);
  const table = readTable(input);
  const measured = {
    metrics: measure(table, settings),
    resampled: settings.replicates === 0 ? null : resample(table, settings, options.onProgress),
    level: settings.level,
  };
  const results = resultsOf(table, measured);
  const { predictions, labels } = input;
  return {
    manifest: { ...options.manifest, ...manifestOf(table, settings) },
    id_accuracy: predictions === undefined || labels === undefined
      ? null
      : idAccuracy(predictions, labels),
    results,
    averages: averagesOf(table, measured),
    warnings: warningsOf(results, table),
  };
}

/** Options with their defaults. */
interface Settings {
  readonly convention: ConventionInfo;
  readonly aupr: AuprRule;
  readonly replicates: number;
  readonly level: number;
  readonly seed: number;
}

/** The scores, checked: every set has every method, and as many scores of each. */
interface ScoreTable {
  readonly methods: readonly string[];
  readonly id: ReadonlyMap<string, Scores>;
  readonly idCount: number;
  readonly sets: readonly {
    readonly name: string;
    readonly scores: ReadonlyMap<string, Scores>;
    readonly count: number;
  }[];
  /** The set of all sets, and those that the caller named, by the sets' places. */
  readonly groups: readonly { readonly name: string; readonly members: readonly number[] }[];
}

/** Figures by set and method, as measured and as resampled. */
interface Measured {
  readonly metrics: readonly (readonly (Metrics & { tie_mass: number })[])[];
  readonly resampled: readonly (readonly Replicates[])[] | null;
  readonly level: number;
}

function settingsOf(options: EvaluationOptions): Settings {
  const convention = findConvention(options.convention ?? "default");
  const { aupr = convention.aupr, replicates = 500, level = 0.95, seed = 0 } = options;
  return { convention, aupr, replicates, level, seed };
}

function readTable(input: EvaluationInput): ScoreTable {
  const id = new Map(entriesOf(input.id));
  const given = entriesOf(input.ood);
  if (id.size === 0) {
    throw new UserError("Cannot evaluate: there are no methods, and at least one is needed");
  }
  if (given.length === 0) {
    throw new UserError("Cannot evaluate: there are no OOD sets, and at least one is needed");
  }
  const methods = [...id.keys()];
  const idCount = checkSet("id", id, methods);
  const sets = given.map(([name, named]) => {
    const scores = new Map(entriesOf(named));
    return { name, scores, count: checkSet(name, scores, methods) };
  });
  const groups = checkGroups(entriesOf(input.groups ?? {}), sets.map(({ name }) => name));
  return { methods, id, idCount, sets, groups };
}

function measure({ methods, id, sets }: ScoreTable, settings: Settings): Measured["metrics"] {
  const convention = settings.convention.name;
  return sets.map(({ name, scores }) =>
    methods.map((method) => {
      const names = { method, set: name };
      const pair = [id.get(method)!, scores.get(method)!] as const;
      return {
        ...computeMetrics(...pair, { convention, aupr: settings.aupr, ...names }),
        tie_mass: tieMass(...pair, names),
      };
    })
  );
}

function resample(
  { methods, id, sets }: ScoreTable,
  { convention, aupr, replicates, level, seed }: Settings,
  onProgress: EvaluationOptions["onProgress"],
): Replicates[][] {
  const ranked = (scores: ReadonlyMap<string, Scores>) =>
    methods.map((method) => new RankedScores(scores.get(method)!));
  return replicate(
    ranked(id),
    sets.map(({ name, scores }) => ({ name, methods: ranked(scores) })),
    {
      convention: convention.name,
      aupr,
      replicates,
      level,
      seed,
      onReplicate: (done) => onProgress?.(done / replicates),
    },
  );
}

function resultsOf(
  { methods, idCount, sets }: ScoreTable,
  { metrics, resampled, level }: Measured,
): EvaluationResult[] {
  return sets.flatMap(({ name, count }, set) =>
    methods.map((method, m): EvaluationResult => ({
      method,
      ood: name,
      n_id: idCount,
      n_ood: count,
      ...metrics[set]![m]!,
      ci: resampled === null ? null : intervalsOf(resampled[set]![m]!, level),
    }))
  );
}

function averagesOf(
  { methods, idCount, sets, groups }: ScoreTable,
  { metrics, resampled, level }: Measured,
): EvaluationAverage[] {
  return groups.flatMap(({ name, members }) =>
    methods.map((method, m): EvaluationAverage => ({
      method,
      group: name,
      sets: members.map((set) => sets[set]!.name),
      n_id: idCount,
      n_ood: members.reduce((sum, set) => sum + sets[set]!.count, 0),
      ...meanMetrics(members.map((set) => metrics[set]![m]!)),
      ci: resampled === null
        ? null
        : intervalsOf(meanReplicates(members.map((set) => resampled[set]![m]!)), level),
    }))
  );
}

function manifestOf(
  { methods, idCount, sets }: ScoreTable,
  { convention, aupr, replicates, level, seed }: Settings,
): EvaluationManifest {
  return {
    convention: convention.letter,
    convention_name: convention.name,
    fpr95: convention.fpr95,
    fpr95_reverse: convention.fpr95Reverse,
    aupr,
    bootstrap: replicates === 0 ? null : { replicates, level, seed },
    methods,
    counts: {
      id: idCount,
      ood: Object.fromEntries(sets.map(({ name, count }) => [name, count])),
    },
  };
}

/** Checks a set's scores under every method, and returns how many images it has. */
function checkSet(
  set: string,
  scores: ReadonlyMap<string, Scores>,
  methods: readonly string[],
): number {
  let count = -1;
  for (const method of methods) {
    const own = scores.get(method);
    if (own === undefined) {
      throw new UserError(
        `Cannot evaluate method "${method}" on set "${set}": the set has no scores of it, and every set needs every method`,
      );
    }
    checkScores(own, { method, set });
    if (count !== -1 && own.length !== count) {
      throw new UserError(
        `Cannot evaluate method "${method}" on set "${set}": it has ${own.length} scores and method "${
          methods[0]
        }" has ${count}`,
      );
    }
    count = own.length;
  }
  return count;
}

function checkGroups(
  groups: readonly [string, readonly string[]][],
  sets: readonly string[],
): { name: string; members: number[] }[] {
  const checked = [{ name: "all", members: sets.map((_, set) => set) }];
  for (const [name, members] of groups) {
    if (name === "all" || members.length === 0) {
      throw new UserError(
        `Cannot average group "${name}": ${
          name === "all" ? "the name is taken by the average over every set" : "it names no set"
        }`,
      );
    }
    checked.push({
      name,
      members: members.map((member) => {
        const set = sets.indexOf(member);
        if (set === -1) {
          throw new UserError(
            `Cannot average group "${name}": there is no OOD set "${member}", only ${
              sets.map((known) => `"${known}"`).join(", ")
            }`,
          );
        }
        return set;
      }),
    });
  }
  return checked;
}

function meanMetrics(many: readonly Metrics[]): Metrics {
  const mean = { auroc: 0, fpr95: 0, fpr95_reverse: 0, aupr_in: 0, aupr_out: 0 };
  for (const figure of FIGURES) {
    for (const one of many) mean[figure] += one[figure];
    mean[figure] /= many.length;
  }
  return mean;
}

function warningsOf(
  results: readonly EvaluationResult[],
  { idCount, sets }: ScoreTable,
): string[] {
  const warnings: string[] = [];
  if (idCount < FEW_IMAGES) {
    warnings.push(`The in-distribution set has only ${images(idCount)}: FPR95 rests on a handful`);
  }
  for (const { name, count } of sets) {
    if (count < FEW_IMAGES) warnings.push(`OOD set "${name}" has only ${images(count)}`);
  }
  const tied = new Map<string, string[]>();
  for (const { method, ood, tie_mass } of results) {
    if (tie_mass <= MANY_TIES) continue;
    const share = `${(100 * tie_mass).toFixed(1)} % with "${ood}"`;
    tied.set(method, [...tied.get(method) ?? [], share]);
  }
  for (const [method, shares] of tied) {
    warnings.push(
      `Method "${method}" gives ID and OOD images equal scores (${
        shares.join(", ")
      }): the conventions disagree there`,
    );
  }
  return warnings;
}

function images(count: number): string {
  return count === 1 ? "1 image" : `${count} images`;
}
