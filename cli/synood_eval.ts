/**
 * `ood synood eval`: detectors of SynOOD beside MCM and NegLabel.
 *
 * @module
 */

import { basename } from "node:path";
import { type FeatureSet, writeFileAtomic } from "../data/mod.ts";
import { evaluate, type Evaluation, renderReport, textTable } from "../eval/mod.ts";
import {
  type Detector,
  type Executor,
  type Fitted,
  loadDetector,
  loadLabelSet,
} from "../methods/mod.ts";
import { requireSameText } from "../methods/synood/_pairs.ts";
import { isGpu, UserError } from "../runtime/mod.ts";
import { UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { adapterName, DEVICE_OPTION, openExecutor, VARIANT_OPTION } from "./_device.ts";
import {
  BOOTSTRAP_OPTION,
  comparisonOf,
  CONVENTION_OPTION,
  ID_SET,
  RESULT_OPTIONS,
  testSetPaths,
} from "./_evaluation_options.ts";
import { requireWritable } from "./_outputs.ts";
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
  const [json, html] = [args.text("json"), args.text("html")];
  await requireWritable(json === "-" ? undefined : json, html);
  const paths = testSetPaths(args);
  await using opened = new OpenSets();
  using executor = await openExecutor(args, terminal);
  const fitted = await openScores(context, executor);
  const sets = new Map<string, FeatureSet>();
  for (const [name, path] of paths) sets.set(name, await opened.open(path));
  await requireOneModel(context, sets);
  const scores = new Map<string, ReadonlyMap<string, Float32Array<ArrayBuffer>>>();
  const names = [...fitted.keys()];
  for (const [name, set] of sets) {
    const run = { executor, terminal, signal, label: `score ${name}` };
    const found = await scoreSet([...fitted.values()], set, run);
    scores.set(name, new Map(names.map((method, i) => [method, found[i]!])));
  }
  const evaluation = await compare(context, { scores, sets, fitted, executor });
  if (json === "-") terminal.printJson(evaluation);
  else terminal.print(textTable(evaluation, { color: terminal.isTerminal }));
  if (json !== undefined && json !== "-") {
    await writeFileAtomic(json, `${JSON.stringify(evaluation, undefined, 2)}\n`);
    terminal.note(`Wrote ${json}`);
  }
  if (html !== undefined) {
    await writeFileAtomic(html, reportOf(evaluation, scores, fitted));
    terminal.note(`Wrote ${html}`);
  }
}

/** Scores by their name in tables, those that need no training first. */
async function openScores(
  { args }: CommandContext,
  executor: Executor,
): Promise<Map<string, Fitted>> {
  const fitted = new Map<string, Fitted>();
  const labels = args.text("labels");
  if (labels !== undefined) {
    const set = await loadLabelSet(labels);
    const groups = args.number("groups", { minimum: 1, integer: true });
    fitted.set("mcm", await fittedMcm(set, executor.context));
    if (set.negatives.length > 0) {
      fitted.set(set.mining === "csp" ? "csp" : "neg_label", fittedNegLabel(set, groups));
    }
  }
  const detectors = args.all("detector");
  for (const text of detectors) {
    const { name, path } = namedDetector(text, detectors.length);
    if (fitted.has(name)) {
      throw new UsageError(`The option --detector names two scores "${name}": give other names`);
    }
    fitted.set(name, requireImages(await loadDetector(path), path).fitted);
  }
  return fitted;
}

/** `NAME=FILE`, or a file that is called after its method where it is the only one. */
function namedDetector(text: string, count: number): { name: string; path: string } {
  const at = text.indexOf("=");
  if (at > 0) return { name: text.slice(0, at), path: text.slice(at + 1) };
  const name = count === 1 ? "synood" : basename(text).replace(/\.safetensors$/i, "");
  return { name, path: text };
}

function requireImages(detector: Detector, path: string): Detector {
  const { needs, method } = detector.fitted;
  if (needs.length === 1 && needs[0] === "image_embed") return detector;
  throw new UserError(
    `Cannot use "${path}": it is a detector of "${method.name}", and one of features of a ` +
      "vision-language model, as ood synood fit writes them, was expected",
  );
}

/** Refuses sets of another text encoder than the labels'. */
async function requireOneModel(
  { args }: CommandContext,
  sets: ReadonlyMap<string, FeatureSet>,
): Promise<void> {
  const path = args.text("labels");
  if (path === undefined) return;
  const labels = await loadLabelSet(path);
  for (const set of sets.values()) requireSameText(set, labels);
}

async function compare(
  { args }: CommandContext,
  of: {
    readonly scores: ReadonlyMap<string, ReadonlyMap<string, Float32Array<ArrayBuffer>>>;
    readonly sets: ReadonlyMap<string, FeatureSet>;
    readonly fitted: ReadonlyMap<string, Fitted>;
    readonly executor: Executor;
  },
): Promise<Evaluation> {
  const { context, kind } = of.executor;
  const sets: Record<string, unknown> = {};
  for (const [name, set] of of.sets) sets[name] = await recordOf(set);
  return evaluate({
    id: of.scores.get(ID_SET)!,
    ood: new Map([...of.scores].filter(([name]) => name !== ID_SET)),
  }, {
    ...comparisonOf(args),
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
