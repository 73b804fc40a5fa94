/**
 * `ood tagood eval`: a trained detector on in-distribution and OOD sets.
 *
 * @module
 */

import type { FeatureSet } from "../data/mod.ts";
import { evaluate, type Evaluation, renderReport, textTable } from "../eval/mod.ts";
import type { Closeness } from "../kernels/mod.ts";
import {
  type Detector,
  loadDetector,
  type ObjectSet,
  type TagoodVariant,
  withScore,
} from "../methods/mod.ts";
import {
  projectFitted,
  requireTagood,
  type ScorableObjects,
  scoreProjected,
} from "../methods/tagood/detector.ts";
import { adapterName, KERNEL_VARIANT_OPTION } from "./_device.ts";
import { type Context, isGpu } from "../runtime/mod.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import {
  BOOTSTRAP_OPTION,
  comparisonOf,
  CONVENTION_OPTION,
  ID_SET,
  RESULT_OPTIONS,
  testSetPaths,
} from "./_evaluation_options.ts";
import { KERNEL_DEVICE_OPTION, openTraining } from "./_lbf.ts";
import { requireResults, writeResults } from "./_results.ts";
import { OpenSets, recordOf } from "./_sets.ts";
import { openScoredObjects, requireScorable, type ScoredSet } from "./_tagood_objects.ts";
import { VERSION } from "./_version.ts";

const DISTANCE_NAMES: readonly Closeness[] = ["cosine", "euclidean", "kl"];

/** The command. */
export const tagoodEvalCommand: Command = {
  name: "tagood eval",
  summary: "Score object tokens with a TagOOD detector and compare the sets",
  details:
    "Sets are files of object tokens (ood tagood features, with any --tau) or feature files of the\n" +
    "tagger's outputs, of which objects are found with the detector's own τ, or with --tau. An image\n" +
    "without a predicted tag of a known class gets the lowest score in every set.",
  options: [
    { name: "detector", value: "FILE", help: "from ood tagood train", required: true },
    { name: "id", value: "FILE", help: "the in-distribution test set", required: true },
    {
      name: "ood",
      value: "NAME=FILE",
      help: "an OOD set",
      required: true,
      multiple: true,
    },
    {
      name: "distances",
      value: "LIST",
      help: `how features are compared with centres: ${DISTANCE_NAMES.join(", ")}, or all`,
      default: "cosine",
    },
    { name: "tau", value: "T", help: "threshold on attention for feature files; 0 keeps all" },
    {
      name: "variant",
      value: "NAME",
      help: "whose score; that of the training by default",
      choices: ["paper", "code"],
    },
    CONVENTION_OPTION,
    BOOTSTRAP_OPTION,
    { name: "seed", value: "N", help: "seed of the bootstrap", default: "0" },
    KERNEL_DEVICE_OPTION,
    KERNEL_VARIANT_OPTION,
    ...RESULT_OPTIONS,
  ],
  examples: [
    "ood tagood eval --detector tagood.safetensors --id test-objects.safetensors \\\n" +
    "    --ood near=near-objects.safetensors --distances all --html report.html",
  ],
  run: runEval,
};

async function runEval(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const distances = parseDistances(args.need("distances"));
  await requireResults(args);
  const paths = testSetPaths(args);
  const detector = await openDetector(args);
  await using opened = new OpenSets();
  const sets = new Map<string, FeatureSet>();
  for (const [name, path] of paths) {
    const set = await opened.open(path);
    requireScorable({ name, set, detector }, context);
    sets.set(name, set);
  }
  using ctx = await openTraining(args, terminal, "kernel-variant");
  const scores = new Map<string, ScoresByDistance>();
  const untagged = new Map<string, number>();
  for (const [name, set] of sets) {
    const scored = await scoreFile(context, ctx, { name, set, detector, distances });
    scores.set(name, scored.scores);
    untagged.set(name, scored.untagged);
  }
  const evaluation = await compare(context, ctx, { scores, untagged, sets, detector });
  await writeResults(context, {
    figures: evaluation,
    text: () => textTable(evaluation, { color: terminal.isTerminal }),
    page: () => reportOf(evaluation, scores, detector),
  });
}

/** The detector with the threshold and the score that are asked for. */
async function openDetector(args: Arguments): Promise<Detector> {
  const path = args.need("detector");
  return withScore(requireTagood(await loadDetector(path), path), {
    tau: args.number("tau", { minimum: 0, maximum: 1 }),
    variant: args.text("variant") as TagoodVariant | undefined,
  });
}

function parseDistances(list: string): readonly Closeness[] {
  if (list === "all") return DISTANCE_NAMES;
  return list.split(",").map((name) => {
    const found = DISTANCE_NAMES.find((known) => known === name.trim());
    if (found !== undefined) return found;
    throw new UsageError(
      `The option --distances must list some of ${DISTANCE_NAMES.join(", ")}: "${name}" is none`,
    );
  });
}

/** Scores of one set by the name of the distance. */
type ScoresByDistance = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

async function scoreFile(
  context: CommandContext,
  ctx: Context,
  of: ScoredSet & { readonly distances: readonly Closeness[] },
): Promise<{ readonly scores: ScoresByDistance; readonly untagged: number }> {
  const { terminal, signal } = context;
  using objects = await openScoredObjects(context, ctx, of);
  const images = await project(ctx, of.detector, objects, { name: of.name, terminal, signal });
  const scores = new Map<string, Float32Array<ArrayBuffer>>();
  for (const distance of of.distances) {
    const { fitted } = withScore(of.detector, { distance });
    scores.set(distance, await scoreProjected(ctx, fitted, images));
  }
  const empty = objects.counts.reduce((sum, count) => sum + (count === 0 ? 1 : 0), 0);
  return { scores, untagged: empty / Math.max(1, objects.count) };
}

async function project(
  ctx: Context,
  detector: Detector,
  objects: ObjectSet,
  { name, terminal, signal }: Pick<CommandContext, "terminal" | "signal"> & {
    readonly name: string;
  },
): Promise<ScorableObjects> {
  using progress = terminal.progress(`score ${name}`, objects.count, { unit: "images" });
  const images = await projectFitted(ctx, detector.fitted, objects, {
    signal,
    onProgress: (done) => progress.update(done),
  });
  progress.finish();
  return images;
}

async function compare(
  { args }: CommandContext,
  ctx: Context,
  of: {
    readonly scores: ReadonlyMap<string, ScoresByDistance>;
    readonly untagged: ReadonlyMap<string, number>;
    readonly sets: ReadonlyMap<string, FeatureSet>;
    readonly detector: Detector;
  },
): Promise<Evaluation> {
  const sets: Record<string, unknown> = {};
  for (const [name, set] of of.sets) sets[name] = await recordOf(set);
  const evaluation = evaluate({
    id: of.scores.get(ID_SET)!,
    ood: new Map([...of.scores].filter(([name]) => name !== ID_SET)),
  }, {
    ...comparisonOf(args),
    manifest: {
      tool: `oodgpu ${VERSION}`,
      adapter: isGpu(ctx) ? adapterName(ctx.gpu) : "none",
      detector: args.need("detector"),
      parameters: of.detector.fitted.parameters,
      distances: [...of.scores.get(ID_SET)!.keys()],
      settings: JSON.parse(of.detector.metadata["tagood"] ?? "null"),
      untagged: Object.fromEntries(of.untagged),
      sets,
    },
  });
  return { ...evaluation, warnings: [...untaggedWarnings(of.untagged), ...evaluation.warnings] };
}

/** More than one in twenty in-distribution images without a tag decides FPR95 by itself. */
const MOST_UNTAGGED = 0.05;

function untaggedWarnings(untagged: ReadonlyMap<string, number>): string[] {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const shares = [...untagged].filter(([, share]) => share > 0)
    .map(([name, share]) => `${percent(share)} of "${name}"`);
  if (shares.length === 0) return [];
  const shared = `Images without a tag of a known class share the lowest score: ${
    shares.join(", ")
  }`;
  return (untagged.get(ID_SET) ?? 0) <= MOST_UNTAGGED
    ? [shared]
    : [`${shared}; so many in-distribution ones decide FPR95: lower the tags' thresholds`];
}

function reportOf(
  evaluation: Evaluation,
  scores: ReadonlyMap<string, ScoresByDistance>,
  { fitted }: Detector,
): string {
  const { distance: _, ...parameters } = fitted.parameters;
  return renderReport({
    evaluation,
    id: scores.get(ID_SET)!,
    ood: new Map([...scores].filter(([name]) => name !== ID_SET)),
    methods: [...scores.get(ID_SET)!.keys()].map((name) => ({
      name,
      title: `${fitted.method.title}, ${name}`,
      source: fitted.method.source,
      parameters: Object.fromEntries(
        Object.entries(parameters).map(([key, value]) => [key, String(value)]),
      ),
    })),
  }, { title: "TagOOD" });
}
