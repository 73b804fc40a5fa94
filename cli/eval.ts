/**
 * `ood eval`: feature files to a table: fit, score, metrics, report.
 *
 * @module
 */

import {
  encodeSafetensors,
  featureHash,
  type FeatureSet,
  requireCompatible,
  writeFileAtomic,
} from "../data/mod.ts";
import { CONVENTIONS, csvTable, type Evaluation, findConvention, textTable } from "../eval/mod.ts";
import {
  findScores,
  parseParameters,
  requireSameValues,
  type ScoreMethod,
} from "../methods/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { DEVICE_OPTION, openExecutor, VARIANT_OPTION } from "./_device.ts";
import {
  type EvaluationOutcome,
  type EvaluationPlan,
  type EvaluationSets,
  runEvaluation,
  type ScoresBySet,
} from "./_evaluation.ts";
import { type Named, parseNamed } from "./_named.ts";
import { OpenSets } from "./_sets.ts";
import type { Terminal } from "./_terminal.ts";
import { writeReport } from "./_report.ts";

/** The command. */
export const evalCommand: Command = {
  name: "eval",
  summary: "Fit scores, score an in-distribution set and OOD sets, print the table",
  details:
    "Feature files come from `ood extract`, or from any program that writes safetensors with\n" +
    "the same keys. Every number names its convention; --json, --html, --csv and --scores\n" +
    "write the results to files.",
  options: [
    { name: "train", value: "FILE", help: "features of the training set", required: true },
    { name: "id", value: "FILE", help: "features of the in-distribution test set", required: true },
    {
      name: "ood",
      value: "NAME=FILE",
      help: "features of an OOD set",
      required: true,
      multiple: true,
    },
    { name: "val", value: "FILE", help: "in-distribution validation features, for ReAct's fit" },
    { name: "methods", value: "LIST", help: "scores, comma-separated, or all", default: "all" },
    {
      name: "param",
      value: "METHOD.NAME=VALUE",
      help: "set a parameter, for example knn.k=50",
      multiple: true,
    },
    {
      name: "group",
      value: "NAME=SETS",
      help: "average a group too: near=cat,dog",
      multiple: true,
    },
    {
      name: "convention",
      value: "NAME",
      help: "whose rules for FPR95 and AUPR",
      choices: Object.keys(CONVENTIONS),
      default: "default",
    },
    {
      name: "bootstrap",
      value: "N",
      help: "replicates of the intervals; 0 for none",
      default: "500",
    },
    { name: "seed", value: "N", help: "seed of fits and bootstrap", default: "0" },
    DEVICE_OPTION,
    VARIANT_OPTION,
    { name: "json", value: "FILE", help: "write the results; - prints them instead of the table" },
    { name: "html", value: "FILE", help: "write a report that needs no network" },
    { name: "csv", value: "FILE", help: "write the table" },
    { name: "scores", value: "FILE", help: "write every image's scores as safetensors" },
    {
      name: "images",
      value: "NAME=DIR",
      help: "images of a set (or of id), for thumbnails in the report",
      multiple: true,
    },
  ],
  examples: [
    "ood eval --train train.safetensors --id test.safetensors --ood photos=photos.safetensors \\\n" +
    "    --methods msp,energy,knn --json out.json --html out.html",
  ],
  run: runEval,
};

async function runEval({ args, terminal }: CommandContext): Promise<void> {
  const plan = readPlan(args);
  await using open = new OpenSets();
  const sets = await openSets(open, args, plan.methods);
  using executor = await openExecutor(args, terminal);
  const started = performance.now();
  const outcome = await runEvaluation(sets, { ...plan, executor, terminal });
  await writeResults(args, { ...outcome, sets, terminal });
  terminal.note(`Done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

function readPlan(args: Arguments): EvaluationPlan {
  const groups = parseNamed("group", args.all("group"))
    .map(({ name, value }: Named) => [name, value.split(",")] as const);
  return {
    methods: findScores(args.need("methods")),
    explicit: args.need("methods") !== "all",
    parameters: parseParameters(args.all("param")),
    convention: findConvention(args.need("convention")).name,
    groups: Object.fromEntries(groups),
    replicates: args.number("bootstrap", { minimum: 0, maximum: 100_000, integer: true })!,
    seed: args.number("seed", { minimum: 0, maximum: 2 ** 32 - 1, integer: true })!,
  };
}

async function openSets(
  open: OpenSets,
  args: Arguments,
  methods: readonly ScoreMethod[],
): Promise<EvaluationSets> {
  const named = parseNamed("ood", args.all("ood"));
  if (named.some(({ name }) => name === "id")) {
    throw new UsageError(
      'The option --ood must not name a set "id": that is the in-distribution set',
    );
  }
  const train = await open.open(args.need("train"));
  const id = await open.open(args.need("id"));
  const valPath = args.text("val");
  const validation = valPath === undefined ? undefined : await open.open(valPath);
  const ood = new Map<string, FeatureSet>();
  for (const { name, value } of named) ood.set(name, await open.open(value));
  const others = [id, ...(validation === undefined ? [] : [validation]), ...ood.values()];
  requireCompatible(train, others);
  requireSameValues(train, { sets: others, keys: methods.flatMap(({ needs }) => needs) });
  await refuseOverlap(id, ood);
  return { train, validation, id, ood };
}

/** A set compared with itself gives an AUROC of one half and no hint why. */
async function refuseOverlap(id: FeatureSet, ood: ReadonlyMap<string, FeatureSet>): Promise<void> {
  const candidates = [...ood].filter(([, set]) => set.count === id.count);
  if (candidates.length === 0) return;
  const hash = await featureHash(id);
  for (const [name, set] of candidates) {
    if (await featureHash(set) === hash) {
      throw new UserError(
        `Cannot evaluate "${name}": "${set.path}" holds the same data as "${id.path}", and an OOD ` +
          "set must differ from the in-distribution set",
      );
    }
  }
}

async function writeResults(
  args: Arguments,
  results: EvaluationOutcome & { readonly sets: EvaluationSets; readonly terminal: Terminal },
): Promise<void> {
  const { evaluation, scores, terminal } = results;
  const [json, html, csv, scoresPath] = ["json", "html", "csv", "scores"].map((n) => args.text(n));
  if (json === "-") terminal.printJson(evaluation);
  else terminal.print(textTable(evaluation, { color: terminal.isTerminal }));
  evaluation.warnings.forEach((warning) => terminal.note(`Note: ${warning}`));
  const wrote = (path: string) => terminal.note(`Wrote ${path}`);
  if (json !== undefined && json !== "-") {
    await writeFileAtomic(json, `${JSON.stringify(evaluation, undefined, 2)}\n`);
    wrote(json);
  }
  if (csv !== undefined) {
    await writeFileAtomic(csv, csvTable(evaluation));
    wrote(csv);
  }
  if (scoresPath !== undefined) {
    await writeFileAtomic(scoresPath, scoresFile(scores, evaluation));
    wrote(scoresPath);
  }
  if (html !== undefined) {
    await writeReport(html, results, parseNamed("images", args.all("images")));
    wrote(html);
  }
}

function scoresFile(scores: ScoresBySet, evaluation: Evaluation): Uint8Array<ArrayBuffer> {
  const arrays = [...scores].flatMap(([set, byMethod]) =>
    [...byMethod].map(([method, data]) => [`${method}/${set}`, { data, shape: [data.length] }])
  );
  return encodeSafetensors(Object.fromEntries(arrays), {
    convention: evaluation.manifest.convention,
    higher: "more in-distribution",
  });
}
