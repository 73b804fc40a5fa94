/**
 * `ood eval`: feature files to a table: fit, score, metrics, report.
 *
 * @module
 */

import {
  encodeSafetensors,
  featureHash,
  type FeatureSet,
  type ImageSet,
  openImages,
  requireCompatible,
  writeFileAtomic,
} from "../data/mod.ts";
import { csvTable, type Evaluation, textTable } from "../eval/mod.ts";
import { findScores, requireSameValues, type ScoreMethod } from "../methods/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { type Arguments, asUsage, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { DEVICE_OPTION, openExecutor, VARIANT_OPTION } from "./_device.ts";
import {
  type EvaluationOutcome,
  type EvaluationPlan,
  type EvaluationSets,
  runEvaluation,
  type ScoresBySet,
} from "./_evaluation.ts";
import {
  BOOTSTRAP_OPTION,
  comparisonOf,
  CONVENTION_OPTION,
  RESULT_OPTIONS,
} from "./_evaluation_options.ts";
import { type Named, parametersOf, parseNamed, SCORE_NAMES, VALIDATED_NAMES } from "./_named.ts";
import { requireWritable } from "./_outputs.ts";
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
    {
      name: "val",
      value: "FILE",
      help: `in-distribution validation features, for the fits of ${VALIDATED_NAMES}`,
    },
    {
      name: "methods",
      value: "LIST",
      help: `scores, comma-separated, or all of ${SCORE_NAMES}`,
      default: "all",
    },
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
    CONVENTION_OPTION,
    BOOTSTRAP_OPTION,
    { name: "seed", value: "N", help: "seed of fits and bootstrap", default: "0" },
    DEVICE_OPTION,
    VARIANT_OPTION,
    ...RESULT_OPTIONS,
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

async function runEval({ args, terminal, signal }: CommandContext): Promise<void> {
  const plan = readPlan(args);
  await requireWritable(...Object.values(outputsOf(args)));
  const images = await openPictures(args);
  await using open = new OpenSets();
  const sets = await openSets(open, args, plan.methods);
  using executor = await openExecutor(args, terminal);
  const started = performance.now();
  const outcome = await runEvaluation(sets, { ...plan, executor, terminal, signal });
  await writeResults(args, { ...outcome, sets, images, terminal });
  terminal.note(`Done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

function readPlan(args: Arguments): EvaluationPlan {
  const groups = parseNamed("group", args.all("group"))
    .map(({ name, value }: Named) => [name, value.split(",")] as const);
  const sets = oodFiles(args).map(({ name }) => name);
  for (const [name, members] of groups) {
    const stray = members.find((member) => !sets.includes(member));
    if (stray !== undefined || name === "all") {
      const why = stray === undefined
        ? "the average over every set has that name"
        : `there is no OOD set "${stray}", only ${sets.join(", ")}`;
      throw new UsageError(`The option --group cannot average "${name}": ${why}`);
    }
  }
  const methods = asUsage(() => findScores(args.need("methods")));
  return {
    methods,
    explicit: args.need("methods") !== "all",
    parameters: parametersOf(args.all("param"), methods),
    ...comparisonOf(args),
    groups: Object.fromEntries(groups),
  };
}

function oodFiles(args: Arguments): Named[] {
  const named = parseNamed("ood", args.all("ood"));
  if (named.some(({ name }) => name === "id")) {
    throw new UsageError(
      'The option --ood must not name a set "id": that is the in-distribution set',
    );
  }
  return named;
}

/** Images for thumbnails, by set. */
async function openPictures(args: Arguments): Promise<ReadonlyMap<string, ImageSet>> {
  const named = parseNamed("images", args.all("images"));
  if (named.length > 0 && args.text("html") === undefined) {
    throw new UsageError("The option --images needs --html: thumbnails are part of the report");
  }
  const known = ["id", ...oodFiles(args).map(({ name }) => name)];
  const images = new Map<string, ImageSet>();
  for (const { name, value } of named) {
    if (!known.includes(name)) {
      throw new UsageError(
        `The option --images names the set "${name}", and there are only ${known.join(", ")}`,
      );
    }
    images.set(name, await openImages(value, { labels: "none" }));
  }
  return images;
}

async function openSets(
  open: OpenSets,
  args: Arguments,
  methods: readonly ScoreMethod[],
): Promise<EvaluationSets> {
  const train = await open.open(args.need("train"));
  const id = await open.open(args.need("id"));
  const valPath = args.text("val");
  const validation = valPath === undefined ? undefined : await open.open(valPath);
  const ood = new Map<string, FeatureSet>();
  for (const { name, value } of oodFiles(args)) ood.set(name, await open.open(value));
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

/** The files that options ask for; `--json -` is none. */
function outputsOf(
  args: Arguments,
): Record<"json" | "csv" | "scores" | "html", string | undefined> {
  const json = args.text("json");
  return {
    json: json === "-" ? undefined : json,
    csv: args.text("csv"),
    scores: args.text("scores"),
    html: args.text("html"),
  };
}

async function writeResults(
  args: Arguments,
  results: EvaluationOutcome & {
    readonly sets: EvaluationSets;
    readonly images: ReadonlyMap<string, ImageSet>;
    readonly terminal: Terminal;
  },
): Promise<void> {
  const { evaluation, scores, terminal } = results;
  if (args.text("json") === "-") {
    terminal.printJson(evaluation);
    evaluation.warnings.forEach((warning) => terminal.note(`Note: ${warning}`));
  } else {
    terminal.print(textTable(evaluation, { color: terminal.isTerminal }));
  }
  const outputs = outputsOf(args);
  const wrote = (path: string) => terminal.note(`Wrote ${path}`);
  if (outputs.json !== undefined) {
    await writeFileAtomic(outputs.json, `${JSON.stringify(evaluation, undefined, 2)}\n`);
    wrote(outputs.json);
  }
  if (outputs.csv !== undefined) {
    await writeFileAtomic(outputs.csv, csvTable(evaluation));
    wrote(outputs.csv);
  }
  if (outputs.scores !== undefined) {
    await writeFileAtomic(outputs.scores, scoresFile(scores, evaluation));
    wrote(outputs.scores);
  }
  if (outputs.html !== undefined) {
    await writeReport(outputs.html, results);
    wrote(outputs.html);
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
