/**
 * `ood lbf eval`: what a tuning gained and what it cost.
 *
 * @module
 */

import { join } from "node:path";
import { type ImageSet, writeFileAtomic } from "../data/mod.ts";
import { compareEvaluations, comparisonTable, renderComparison } from "../eval/mod.ts";
import { findScores, LBF_METADATA_KEY } from "../methods/mod.ts";
import { loadSidecar, metadataOf, readModel } from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { type Arguments, asUsage, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { MODEL_DEVICE_OPTION, openExecutor } from "./_device.ts";
import type { EvaluationPlan } from "./_evaluation.ts";
import {
  BOOTSTRAP_OPTION,
  comparisonOf,
  CONVENTION_OPTION,
  RESULT_OPTIONS,
} from "./_evaluation_options.ts";
import { openSource } from "./_image_source.ts";
import { drawMaps } from "./_lbf_maps.ts";
import {
  evaluateFolder,
  extractSets,
  ID_SET,
  type LbfImageSets,
  type LbfOutcome,
  needsOdin,
  TRAIN_SET,
} from "./_lbf_sets.ts";
import { measureSensitivity, parseSensitivity } from "./_lbf_sensitivity.ts";
import { parseNamed } from "./_named.ts";
import { requireWritable } from "./_outputs.ts";
import { LABELS_OPTION } from "./_lbf.ts";

/** The command. */
export const lbfEvalCommand: Command = {
  name: "lbf eval",
  summary: "Compare a classifier before and after tuning: OOD scores, accuracy, norms, maps",
  details:
    "Both models run on the same images; scores are fitted to the training images of each. The\n" +
    "report has the distributions of the features' norms, maps of where the features are long,\n" +
    "and with --sensitivity what other values of δ, μ and λ would have given: one more tuning\n" +
    "for each value, with the other settings of the tuned file.",
  options: [
    { name: "before", value: "MODEL.onnx", help: "the classifier before", required: true },
    { name: "after", value: "MODEL.onnx", help: "the tuned classifier", required: true },
    {
      name: "train",
      value: "SOURCE",
      help: "training images, for the scores' fits",
      required: true,
    },
    { name: "id", value: "SOURCE", help: "in-distribution test images", required: true },
    {
      name: "ood",
      value: "NAME=SOURCE",
      help: "OOD images: a folder, a list, or synthetic:KINDS:COUNT:SIZE",
      required: true,
      multiple: true,
    },
    LABELS_OPTION,
    {
      name: "methods",
      value: "LIST",
      help: "scores, comma-separated",
      default: "msp,odin,energy,react,feature_norm",
    },
    CONVENTION_OPTION,
    BOOTSTRAP_OPTION,
    { name: "seed", value: "N", help: "seed of fits, bootstrap and drawn images", default: "0" },
    MODEL_DEVICE_OPTION,
    { name: "work", value: "DIR", help: "keep the feature files here" },
    {
      name: "maps",
      value: "N",
      help: "images of each set whose maps the report shows",
      default: "4",
    },
    {
      name: "sensitivity",
      value: "NAME=VALUES",
      help: "delta, margin or weight with values: tune again for each, for example weight=0.1,1",
      multiple: true,
    },
    ...RESULT_OPTIONS,
  ],
  examples: [
    "ood lbf eval --before model.onnx --after tuned.onnx --train train/ --id test/ \\\n" +
    "    --ood photos=photos/ --html report.html",
  ],
  run: runEval,
};

async function runEval(context: CommandContext): Promise<void> {
  const { args, terminal, signal } = context;
  const plan = readPlan(args);
  const sweeps = parseSensitivity(args.all("sensitivity"));
  const [before, after] = [args.need("before"), args.need("after")];
  const json = args.text("json");
  const html = args.text("html");
  await requireWritable(json === "-" ? undefined : json, html);
  const sets = await openImageSets(args);
  const sidecar = await loadSidecar(before);
  const tuned = await readModel(after);
  const settings = metadataOf(tuned).get(LBF_METADATA_KEY);
  if (sweeps.length > 0 && settings === undefined) {
    throw new UserError(
      `Cannot measure the sensitivity: "${after}" does not say how it was tuned; it was not made by ` +
        "`ood lbf tune`",
    );
  }
  await using work = await workFolder(args.text("work"));
  using executor = await openExecutor(args, terminal);
  const common = { executor, terminal, signal, device: deviceOf(args) };
  const outcomes: LbfOutcome[] = [];
  for (const [name, model] of [["before", before], ["after", after]] as const) {
    terminal.note(`${name}: ${model}`);
    const folder = join(work.path, name);
    const beside = name === "before" ? sidecar : await loadSidecar(after) ?? sidecar;
    await extractSets(sets, {
      ...common,
      model,
      sidecar: beside,
      folder,
      odin: needsOdin(plan.methods),
    });
    outcomes.push(await evaluateFolder(folder, [...sets.ood.keys()], { ...plan, ...common }));
  }
  const [old, now] = outcomes as [LbfOutcome, LbfOutcome];
  const comparison = compareEvaluations(old.evaluation, now.evaluation);
  const sensitivity = sweeps.length === 0 ? [] : await measureSensitivity(context, {
    sweeps,
    before,
    settings: settings!,
    sets,
    sidecar,
    folder: join(work.path, "sensitivity"),
    plan,
    executor,
  });
  const result = {
    before,
    after,
    settings: settings === undefined ? null : JSON.parse(settings),
    comparison,
    sensitivity,
    evaluations: { before: old.evaluation, after: now.evaluation },
  };
  if (json === "-") {
    terminal.printJson(result);
  } else {
    terminal.print(comparisonTable(comparison));
    if (json !== undefined) {
      await writeFileAtomic(json, `${JSON.stringify(result, undefined, 2)}\n`);
      terminal.note(`Wrote ${json}`);
    }
  }
  if (html !== undefined) {
    const count = args.number("maps", { minimum: 0, maximum: 100, integer: true })!;
    const maps = await drawMaps(sets, { before, after, sidecar, count, signal });
    await writeFileAtomic(
      html,
      renderComparison({
        ...result,
        norms: { before: old.norms, after: now.norms },
        scores: { before: old.scores, after: now.scores },
        maps,
      }),
    );
    terminal.note(`Wrote ${html}`);
  }
}

function readPlan(args: Arguments): EvaluationPlan {
  return {
    methods: asUsage(() => findScores(args.need("methods"))),
    explicit: true,
    parameters: {},
    ...comparisonOf(args),
    groups: {},
  };
}

function deviceOf(args: Arguments): "auto" | "webgpu" | "wasm" {
  return args.need("device") as "auto" | "webgpu" | "wasm";
}

async function openImageSets(args: Arguments): Promise<LbfImageSets> {
  const seed = args.number("seed", { minimum: 0, maximum: 2 ** 32 - 1, integer: true })!;
  const labels = args.need("labels");
  const ood = new Map<string, ImageSet>();
  for (const { name, value } of parseNamed("ood", args.all("ood"))) {
    if (name === ID_SET || name === TRAIN_SET) {
      throw new UsageError(`The option --ood must not name a set "${name}": that name is taken`);
    }
    ood.set(name, await openSource(value, { option: "ood", labels: "none", seed }));
  }
  return {
    train: await openSource(args.need("train"), { option: "train", labels, seed }),
    id: await openSource(args.need("id"), { option: "id", labels, seed }),
    ood,
  };
}

/** The folder that was asked for, or one that goes when the command ends. */
async function workFolder(
  wanted: string | undefined,
): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = wanted ?? await Deno.makeTempDir({ prefix: "oodgpu-lbf-" });
  return {
    path,
    async [Symbol.asyncDispose]() {
      if (wanted === undefined) await Deno.remove(path, { recursive: true });
    },
  };
}
