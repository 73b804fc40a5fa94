/**
 * `ood tagood ablate`: every ablation of the paper in one report.
 *
 * @module
 */

import { ablationText, renderAblation } from "../eval/mod.ts";
import { CODE_PATTERNS } from "../methods/mod.ts";
import { isGpu } from "../runtime/mod.ts";
import { plain } from "./_ablation_sections.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { adapterName, KERNEL_VARIANT_OPTION } from "./_device.ts";
import { openTraining, TRAINING_DEVICE_OPTION } from "./_lbf.ts";
import { parseNamed } from "./_named.ts";
import { requireResults, writeResults } from "./_results.ts";
import { workFolder } from "./_tagood.ts";
import { type AblationPlan, AblationRuns, type AblationSources } from "./_tagood_ablation.ts";
import { ablationOf } from "./_tagood_ablation_report.ts";
import { readSettings, SETTINGS_OPTIONS } from "./tagood_train.ts";
import { VERSION } from "./_version.ts";

/** The command. */
export const tagoodAblateCommand: Command = {
  name: "tagood ablate",
  summary: "Train and test TagOOD with each of its parts varied, as its paper does",
  details:
    "Reads feature files of a tagger's outputs. For every seed: a training for each τ, one without\n" +
    "centres, one on the tokens of single tags; then Figures 3 to 5 and Tables 3 to 5 of the paper,\n" +
    "beside MSP, energy and class-mean cosines of the same tagger.",
  options: [
    { name: "train", value: "FILE", help: "labelled training images", required: true },
    { name: "id", value: "FILE", help: "labelled in-distribution test images", required: true },
    { name: "ood", value: "NAME=FILE", help: "an OOD set", required: true, multiple: true },
    {
      name: "validation",
      value: "FILE",
      help: "other labelled images: the state with the smallest loss on them is kept",
    },
    {
      name: "vocabulary",
      value: "FILE",
      help: "from ood tagood vocab; without it a classifier's classes are the tags",
    },
    {
      name: "tag-threshold",
      value: "P",
      help: "probability from which a class of a classifier without tags is predicted",
    },
    { name: "allow-uncovered", help: "accept a vocabulary in which classes have no tag" },
    { name: "taus", value: "LIST", help: "thresholds to try", default: "0,0.3,0.5,0.7" },
    { name: "tau", value: "T", help: "the threshold elsewhere, one of them", default: "0.5" },
    { name: "seeds", value: "N", help: "trainings of each kind, from --seed on", default: "1" },
    ...SETTINGS_OPTIONS,
    {
      name: "points",
      value: "N",
      help: "most images of each set in the t-SNE picture",
      default: "400",
    },
    { name: "work", value: "DIR", help: "keep the files of object tokens here" },
    TRAINING_DEVICE_OPTION,
    KERNEL_VARIANT_OPTION,
    { name: "json", value: "FILE", help: "write the figures; - prints them instead of the tables" },
    { name: "html", value: "FILE", help: "write a report that needs no network" },
  ],
  examples: [
    "ood tagood ablate --train train.safetensors --id test.safetensors --ood near=near.safetensors \\\n" +
    "    --vocabulary vocabulary.json --width 64 --epochs 10 --rate 0.001 --html ablation.html",
  ],
  run: runAblate,
};

async function runAblate(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  await requireResults(args);
  const plan = readPlan(args);
  const sources = readSources(args);
  using ctx = await openTraining(args, terminal, "kernel-variant");
  await using work = await workFolder(args.text("work"));
  await using runs = new AblationRuns(context, ctx, { sources, plan, work: work.path });
  const outcome = await runs.run();
  const record = {
    tool: `oodgpu ${VERSION}`,
    adapter: isGpu(ctx) ? adapterName(ctx.gpu) : "none",
    plan,
    sources: { ...sources, ood: Object.fromEntries(sources.ood) },
  };
  const ablation = ablationOf(outcome, {
    tau: plan.tau,
    record,
    points: args.number("points", { minimum: 1, maximum: 5000, integer: true })!,
    seed: plan.settings.seed,
  });
  const figures = { record, seeds: outcome.seeds.map(plain) };
  await writeResults(context, {
    figures,
    text: () => ablationText(ablation),
    page: () => renderAblation(ablation),
  });
}

function readPlan(args: Arguments): AblationPlan {
  const list = args.need("taus");
  const taus = list.split(",").map((text) => text.trim() === "" ? NaN : Number(text));
  if (!taus.every((tau) => tau >= 0 && tau <= 1) || new Set(taus).size < taus.length) {
    throw new UsageError(
      `The option --taus must list different numbers from 0 to 1: it is "${list}"`,
    );
  }
  const tau = args.number("tau", { minimum: 0, maximum: 1 })!;
  if (!taus.includes(tau)) {
    throw new UsageError(
      `The option --tau must be one of --taus, ${taus.join(", ")}: it is ${tau}`,
    );
  }
  const settings = readSettings(args);
  if (settings.width % CODE_PATTERNS !== 0) {
    throw new UsageError(
      `The option --width must be a multiple of ${CODE_PATTERNS}, for the score of the authors' ` +
        `code: it is ${settings.width}`,
    );
  }
  return {
    taus,
    tau,
    settings,
    seeds: args.number("seeds", { minimum: 1, maximum: 100, integer: true })!,
  };
}

function readSources(args: Arguments): AblationSources {
  const named = parseNamed("ood", args.all("ood"));
  const taken = named.find(({ name }) => ["id", "train", "validation"].includes(name));
  if (taken !== undefined) {
    throw new UsageError(
      `The option --ood must not name a set "${taken.name}": that name is taken`,
    );
  }
  return {
    train: args.need("train"),
    id: args.need("id"),
    ood: new Map(named.map(({ name, value }) => [name, value])),
    validation: args.text("validation"),
    vocabulary: args.text("vocabulary"),
    tagThreshold: args.number("tag-threshold", { minimum: 0, maximum: 1 }),
  };
}
