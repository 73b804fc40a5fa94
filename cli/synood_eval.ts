/**
 * `ood synood eval`: detectors of SynOOD beside MCM and NegLabel.
 *
 * @module
 */

import { basename } from "node:path";
import { type FeatureSet, requireCompatible } from "../data/mod.ts";
import { evaluate, type Evaluation, renderReport, textTable } from "../eval/mod.ts";
import {
  type Detector,
  type Executor,
  type Fitted,
  type LabelSet,
  loadDetector,
  loadLabelSet,
  requireFit,
  requireSameSource,
} from "../methods/mod.ts";
import { requireSameText } from "../methods/synood/_pairs.ts";
import { isGpu, UserError } from "../runtime/mod.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { adapterName, DEVICE_OPTION, openExecutor, VARIANT_OPTION } from "./_device.ts";
import {
  BOOTSTRAP_OPTION,
  comparisonOf,
  type ComparisonSettings,
  CONVENTION_OPTION,
  ID_SET,
  RESULT_OPTIONS,
  testSetPaths,
} from "./_evaluation_options.ts";
import { requireResults, writeResults } from "./_results.ts";
import { scoreSet } from "./_scoring.ts";
import { OpenSets, recordOf } from "./_sets.ts";
import { fittedMcm, fittedNegLabel } from "./_synood_baselines.ts";
import { VERSION } from "./_version.ts";

/** The command. */
export const synoodEvalCommand: Command = {
  name: "synood eval",
  summary: "Score image features with SynOOD detectors beside MCM and NegLabel",
  details:
    "Sets are files of ood synood features. --labels adds what needs no training: MCM, of the known\n" +
    "labels alone, and NegLabel (CSP where labels were mined so).",
  options: [
    {
      name: "detector",
      value: "FILE",
      help: "from ood synood fit; NAME=FILE where there are several",
      multiple: true,
      requiredUnless: "labels",
    },
    { name: "labels", value: "FILE", help: "from ood synood labels: adds mcm and neg_label" },
    { name: "id", value: "FILE", help: "the in-distribution test set", required: true },
    { name: "ood", value: "NAME=FILE", help: "an OOD set", required: true, multiple: true },
    { name: "groups", value: "N", help: "groups of negative labels in neg_label (default 100)" },
    CONVENTION_OPTION,
    BOOTSTRAP_OPTION,
    { name: "seed", value: "N", help: "seed of the bootstrap", default: "0" },
    DEVICE_OPTION,
    VARIANT_OPTION,
    ...RESULT_OPTIONS,
  ],
  examples: [
    "ood synood eval --detector synood.safetensors --labels labels.safetensors \\\n" +
    "    --id test.safetensors --ood near=near.safetensors --html report.html",
  ],
  run: runEval,
};

async function runEval(context: CommandContext): Promise<void> {
  const { args, terminal, signal } = context;
  const paths = testSetPaths(args);
  const settings = comparisonOf(args);
  const groups = readGroups(args);
  const detectors = namedDetectors(args.all("detector"));
  await requireResults(args);
  const labels = await openLabels(args.text("labels"), detectors);
  const trained = new Map<string, Detector>();
  for (const { name, path } of detectors) trained.set(name, await openDetector(path));
  await using opened = new OpenSets();
  const sets = new Map<string, FeatureSet>();
  for (const [name, path] of paths) sets.set(name, await opened.open(path));
  using executor = await openExecutor(args, terminal);
  const fitted = new Map([
    ...await untrained(labels, { groups, executor }),
    ...[...trained].map(([name, { fitted }]) => [name, fitted] as const),
  ]);
  requireOneModel([...sets.values()], { labels, fitted, detectors: [...trained.values()] });
  const scores = new Map<string, ReadonlyMap<string, Float32Array<ArrayBuffer>>>();
  const names = [...fitted.keys()];
  for (const [name, set] of sets) {
    const run = { executor, terminal, signal, label: `score ${name}` };
    const found = await scoreSet([...fitted.values()], set, run);
    scores.set(name, new Map(names.map((method, i) => [method, found[i]!])));
  }
  const evaluation = await compare(args, { scores, sets, fitted, executor, settings });
  await writeResults(context, {
    figures: evaluation,
    text: () => textTable(evaluation, { color: terminal.isTerminal }),
    page: () => reportOf(evaluation, scores, fitted),
  });
}

/** Groups of the score that needs no training; detectors have their own. */
function readGroups(args: Arguments): number | undefined {
  const groups = args.number("groups", { minimum: 1, integer: true });
  if (groups === undefined || args.text("labels") !== undefined) return groups;
  throw new UsageError("The option --groups needs --labels: a detector has groups of its own");
}

/** A detector's file and its name in tables. */
interface NamedPath {
  readonly name: string;
  readonly path: string;
}

/** `NAME=FILE`, or files that are called after themselves; the only one after its method. */
function namedDetectors(texts: readonly string[]): NamedPath[] {
  const seen = new Set<string>();
  return texts.map((text) => {
    const [, name, path] = /^([^=/\\]+)=(.*)$/s.exec(text) ?? [];
    if (path === "") {
      throw new UsageError(`The option --detector must be FILE or NAME=FILE: it is "${text}"`);
    }
    const called = name ??
      (texts.length === 1 ? "synood" : basename(text).replace(/\.safetensors$/i, ""));
    requireOtherName(called, seen);
    seen.add(called);
    return { name: called, path: path ?? text };
  });
}

function requireOtherName(name: string, others: ReadonlySet<string>): void {
  if (!others.has(name)) return;
  throw new UsageError(
    `The option --detector names two scores "${name}": give another name, as in NAME=FILE`,
  );
}

/** The labels of scores that need no training. */
async function openLabels(
  path: string | undefined,
  detectors: readonly NamedPath[],
): Promise<LabelSet | undefined> {
  if (path === undefined) return undefined;
  const labels = await loadLabelSet(path);
  const own = new Set(["mcm", negLabelName(labels)]);
  for (const { name } of detectors) requireOtherName(name, own);
  return labels;
}

/** What NegLabel is called with labels that were found in one way or another. */
function negLabelName({ mining }: LabelSet): string {
  return mining === "csp" ? "csp" : "neg_label";
}

/** Scores that need no training, by their name in tables. */
async function untrained(
  labels: LabelSet | undefined,
  { groups, executor }: { readonly groups: number | undefined; readonly executor: Executor },
): Promise<Map<string, Fitted>> {
  const fitted = new Map<string, Fitted>();
  if (labels === undefined) return fitted;
  fitted.set("mcm", await fittedMcm(labels, executor.context));
  if (labels.negatives.length > 0) {
    fitted.set(negLabelName(labels), fittedNegLabel(labels, groups));
  }
  return fitted;
}

/** A detector of features that images have of a vision-language model. */
async function openDetector(path: string): Promise<Detector> {
  const detector = await loadDetector(path);
  const { needs, method } = detector.fitted;
  if (needs.length === 1 && needs[0] === "image_embed") return detector;
  throw new UserError(
    `Cannot use "${path}": it is a detector of "${method.name}", and one of features of a ` +
      "vision-language model, as ood synood fit writes them, was expected",
  );
}

/** Refuses sets that a score cannot be computed of, or that go with another model. */
function requireOneModel(
  sets: readonly FeatureSet[],
  of: {
    readonly labels: LabelSet | undefined;
    readonly fitted: ReadonlyMap<string, Fitted>;
    readonly detectors: readonly Detector[];
  },
): void {
  requireCompatible(sets[0]!, sets.slice(1));
  for (const set of sets) {
    if (of.labels !== undefined) requireSameText(set, of.labels);
    for (const detector of of.detectors) {
      requireSameText(set, { model: detector.metadata["text_model"] ?? "" });
      requireSameSource(detector, set);
    }
    for (const fitted of of.fitted.values()) requireFit(fitted, set);
  }
}

async function compare(
  args: Arguments,
  of: {
    readonly scores: ReadonlyMap<string, ReadonlyMap<string, Float32Array<ArrayBuffer>>>;
    readonly sets: ReadonlyMap<string, FeatureSet>;
    readonly fitted: ReadonlyMap<string, Fitted>;
    readonly executor: Executor;
    readonly settings: ComparisonSettings;
  },
): Promise<Evaluation> {
  const { context, kind } = of.executor;
  const sets: Record<string, unknown> = {};
  for (const [name, set] of of.sets) sets[name] = await recordOf(set);
  return evaluate({
    id: of.scores.get(ID_SET)!,
    ood: new Map([...of.scores].filter(([name]) => name !== ID_SET)),
  }, {
    ...of.settings,
    manifest: {
      tool: `oodgpu ${VERSION}`,
      device: kind,
      adapter: isGpu(context) ? adapterName(context.gpu) : "none",
      detectors: args.all("detector"),
      labels: args.text("labels") ?? null,
      parameters: Object.fromEntries(
        [...of.fitted].map(([name, { parameters }]) => [name, parameters]),
      ),
      sets,
    },
  });
}

function reportOf(
  evaluation: Evaluation,
  scores: ReadonlyMap<string, ReadonlyMap<string, Float32Array<ArrayBuffer>>>,
  fitted: ReadonlyMap<string, Fitted>,
): string {
  return renderReport({
    evaluation,
    id: scores.get(ID_SET)!,
    ood: new Map([...scores].filter(([name]) => name !== ID_SET)),
    methods: [...fitted].map(([name, { method, parameters }]) => ({
      name,
      title: name === method.name ? method.title : `${method.title}, ${name}`,
      source: method.source,
      parameters,
    })),
  }, { title: "SynOOD" });
}
