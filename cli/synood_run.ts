/**
 * `ood synood run`: all stages of SynOOD one after the other, each as the command that it is.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeFileAtomic } from "../data/mod.ts";
import { loadLabelSet, readDiffusionFolder } from "../methods/mod.ts";
import { openVisionLanguage } from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { type Arguments, type OptionSpec, parseCommandLine, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { openSource } from "./_image_source.ts";
import { openModel, TRAINING_DEVICE_OPTION } from "./_lbf.ts";
import { drawnWorld, givenSources, type RunSources } from "./_run_sources.ts";
import { exists, runStage } from "./_stages.ts";
import { PROJECTION_OPTIONS, readJointSettings, TUNING_OPTIONS } from "./_synood_training.ts";
import { makeFolder } from "./_tagood.ts";
import { calibrateCommand } from "./calibrate.ts";
import { synoodAblateCommand } from "./synood_ablate.ts";
import { synoodContextsCommand } from "./synood_contexts.ts";
import { synoodEvalCommand } from "./synood_eval.ts";
import { synoodFeaturesCommand } from "./synood_features.ts";
import { synoodFitCommand } from "./synood_fit.ts";
import {
  readSettings,
  requireClassifier,
  SETTINGS_OPTIONS as GENERATE_OPTIONS,
  synoodGenerateCommand,
} from "./synood_generate.ts";
import { synoodLabelsCommand } from "./synood_labels.ts";
import { synoodProjectCommand } from "./synood_project.ts";
import { synoodTuneLabelsCommand } from "./synood_tune_labels.ts";

/** Files that the project ships. */
const SHIPPED = (path: string) => fileURLToPath(new URL(`../models/${path}`, import.meta.url));

/**
 * Settings for the shipped models, chosen on a world that no figure is of: latents of 1,024 numbers
 * take shorter steps than Stable Diffusion's of 16,384, and a few hundred pairs more epochs than
 * 50,000.
 */
const SMALL: Readonly<Record<string, string>> = {
  "synthesis-guidance": "2",
  "synthesis-rate": "2",
  images: "raw",
  "label-set": "all",
  batch: "64",
  epochs: "50",
};

/** The settings as options, three a line. */
function describeSmall(): string {
  const options = Object.entries(SMALL).map(([name, value]) => `--${name} ${value}`);
  return [options.slice(0, 3), options.slice(3)].map((some) => some.join(" ")).join("\n");
}

/** Images of each split of the world that is drawn without --train. */
const WORLD_COUNTS: Readonly<Record<string, string>> = {
  train: "1000",
  val: "500",
  test: "1000",
  near: "1000",
  background: "1000",
  far: "999",
};

/** What stands before the options of the synthesis, some of which trainings have too. */
const SYNTHESIS = "synthesis-";

/** Options of the synthesis. */
const SYNTHESIS_OPTIONS: readonly OptionSpec[] = GENERATE_OPTIONS.map((option) => ({
  ...option,
  name: `${SYNTHESIS}${option.name}`,
}));

/** The command. */
export const synoodRunCommand: Command = {
  name: "synood run",
  summary: "All stages of SynOOD: labels, contexts, images, projection, label tuning, detector",
  details:
    "Without --train it draws a world and takes the shipped models. Each stage prints the command\n" +
    "that it is and leaves its file in --work; a stage whose file is there is passed over, so that a\n" +
    "run that was stopped goes on, and contexts or labels that were edited are used.\n" +
    `Without --model, settings are those that suit the shipped models:\n${describeSmall()}.\n` +
    "With it they are the paper's.",
  options: [
    { name: "work", value: "DIR", help: "where files go", default: "out/synood" },
    {
      name: "model",
      value: "FOLDER",
      help: "a vision-language model as CLIP (default the shipped one)",
    },
    {
      name: "diffusion",
      value: "FOLDER",
      help: "a latent inpainting diffusion model (default the shipped one)",
    },
    {
      name: "classifier",
      value: "MODEL.onnx",
      help: "the recognition model (default the shipped one)",
    },
    { name: "train", value: "SOURCE", help: "labelled training images (default a drawn world)" },
    { name: "val", value: "SOURCE", help: "other in-distribution images, for the threshold" },
    { name: "id", value: "SOURCE", help: "in-distribution test images" },
    { name: "ood", value: "NAME=SOURCE", help: "OOD images", multiple: true },
    { name: "per-class", value: "M", help: "images of each class to begin at", default: "20" },
    {
      name: "words",
      value: "FILE",
      help: "nouns for negative labels (default the model's own, nouns.txt, else WordNet's)",
    },
    { name: "words-adjectives", value: "FILE", help: "adjectives beside --words" },
    { name: "share", value: "P", help: "of words to keep (default 0.15; of the model's own all)" },
    {
      name: "groups",
      value: "N",
      help: "groups of negative labels in the score (default 100; of the model's own words 1)",
    },
    { name: "contexts", value: "FILE", help: "elements of the training images, a JSON file" },
    {
      name: "tagger",
      value: "MODEL.onnx",
      help: "finds the elements without --contexts (default the shipped one)",
    },
    {
      name: "neg-images",
      value: "N",
      help: "also make N images of negative labels, for the comparison of Table 4",
      default: "0",
    },
    ...SYNTHESIS_OPTIONS,
    ...PROJECTION_OPTIONS,
    ...TUNING_OPTIONS,
    TRAINING_DEVICE_OPTION,
  ],
  examples: [
    "ood synood run",
    "ood synood run --model clip-vit-base-patch16 --diffusion stable-diffusion-2-inpainting \\\n" +
    "    --classifier resnet50.onnx --train train/ --val val/ --id test/ --ood photos=photos/ \\\n" +
    "    --contexts contexts.json --per-class 50 --work work",
  ],
  run: runAll,
};

async function runAll(context: CommandContext): Promise<void> {
  const { args, terminal, signal } = context;
  const work = args.need("work");
  const given = givenSources(args);
  const least = requireOptions(args);
  const run = new Run(context, work);
  await run.requireFiles();
  if (given !== undefined) await requireImages(given, least);
  await makeFolder(work);
  try {
    const sources = given ?? await drawnWorld(context, work, WORLD_COUNTS);
    if (given === undefined) await requireImages(sources, least);
    await run.all(sources);
  } catch (error) {
    if (signal.aborted) terminal.note("What is finished is kept; the same command goes on");
    throw error;
  }
  terminal.print(
    `\nReport: ${join(work, "report.html")}\n` +
      `Detector with a threshold: ${join(work, "calibrated.safetensors")}`,
  );
}

class Run {
  readonly #context: CommandContext;
  readonly #args: Arguments;
  readonly #work: string;
  readonly #model: string;
  readonly #diffusion: string;
  readonly #classifier: string;

  constructor(context: CommandContext, work: string) {
    const { args } = context;
    this.#context = context;
    this.#args = args;
    this.#work = work;
    this.#model = args.text("model") ?? SHIPPED("world-clip");
    this.#diffusion = args.text("diffusion") ?? SHIPPED("world-diffusion");
    this.#classifier = args.text("classifier") ?? SHIPPED("world-classifier.onnx");
  }

  /** Finds out that a file is missing before the stages that come before its own. */
  async requireFiles(): Promise<void> {
    for (const name of ["words", "words-adjectives", "contexts", "tagger"]) {
      const path = this.#args.text(name);
      if (path === undefined || await exists(path)) continue;
      throw new UserError(`Cannot read "${path}": there is no such file`);
    }
    await using _model = await openVisionLanguage(this.#model, { parts: ["image"] });
    await readDiffusionFolder(this.#diffusion);
    requireClassifier(await openModel(this.#classifier));
  }

  async all(sources: RunSources): Promise<void> {
    const labels = await this.#labels(sources.train);
    const synthetic = await this.#generate(sources.train);
    const pairs = ["--labels", labels];
    const id = await this.#features("sources", join(synthetic, "sources.tsv"), labels);
    const made = await this.#features("synthetic", join(synthetic, "synthetic.tsv"), labels);
    const projection = await this.#stage(synoodProjectCommand, "projection.safetensors", [
      ...[...pairs, "--id", id, "--synthetic", made],
      ...this.#wished(PROJECTION_OPTIONS),
      ...this.#device(),
    ]);
    const tuned = await this.#stage(synoodTuneLabelsCommand, "labels-tuned.safetensors", [
      ...[...pairs, "--synthetic", made],
      ...this.#wished([...TUNING_OPTIONS, ...BOTH]),
      ...this.#device(),
    ]);
    const groups = await this.#groups();
    const detector = await this.#stage(synoodFitCommand, "synood.safetensors", [
      ...["--labels", tuned, "--projection", projection, ...groups],
    ]);
    const val = await this.#features("val", sources.val, labels);
    await this.#stage(calibrateCommand, "calibrated.safetensors", [
      ...["--detector", detector, "--id", val],
    ]);
    const tests = ["--id", await this.#features("id", sources.id, labels)];
    for (const [name, source] of sources.ood) {
      tests.push("--ood", `${name}=${await this.#features(`ood-${name}`, source, labels)}`);
    }
    await runStage(this.#context, {
      command: synoodEvalCommand,
      options: ["--detector", detector, ...pairs, ...groups, ...tests],
    });
    await this.#ablate([...pairs, ...groups, "--train", id, "--synthetic", made, ...tests], {
      labels,
      synthesis: synthetic,
    });
  }

  async #labels(train: string): Promise<string> {
    const words = await this.#words();
    return await this.#stage(synoodLabelsCommand, "labels.safetensors", [
      ...["--model", this.#model, "--classes", await this.#classes(train), ...words],
    ]);
  }

  /** The folder of classes itself, or a file with the names that a list of images has. */
  async #classes(train: string): Promise<string> {
    if ((await Deno.stat(train)).isDirectory) return train;
    const { classNames } = await openSource(train, { option: "train", labels: "folder", seed: 0 });
    const path = join(this.#work, "classes.json");
    await writeFileAtomic(path, `${JSON.stringify(classNames, undefined, 2)}\n`);
    return path;
  }

  /** The words that were asked for, those of the model's folder, or WordNet's. */
  async #words(): Promise<string[]> {
    const share = this.#args.text("share");
    const [nouns, adjectives] = [this.#args.text("words"), this.#args.text("words-adjectives")];
    if (nouns !== undefined) {
      const both = adjectives === undefined ? [] : ["--words-adjectives", adjectives];
      return ["--words", nouns, ...both, ...share === undefined ? [] : ["--share", share]];
    }
    if (!await this.#hasWords()) return share === undefined ? [] : ["--share", share];
    return [
      ...["--words", join(this.#model, "nouns.txt")],
      ...["--words-adjectives", join(this.#model, "adjectives.txt")],
      ...["--share", share ?? "1"],
    ];
  }

  /** Whether the model comes with its own words and none were asked for: they are few. */
  async #hasWords(): Promise<boolean> {
    return this.#args.text("words") === undefined && await exists(join(this.#model, "nouns.txt"));
  }

  /** The paper's hundred groups would be of one label each where labels are few. */
  async #groups(): Promise<string[]> {
    const groups = this.#args.text("groups") ?? (await this.#hasWords() ? "1" : undefined);
    return groups === undefined ? [] : ["--groups", groups];
  }

  async #generate(train: string): Promise<string> {
    const perClass = ["--per-class", this.#args.need("per-class")];
    const given = this.#args.text("contexts");
    const tagger = this.#args.text("tagger") ?? SHIPPED("world-tagger.onnx");
    const from = given === undefined ? ["--tagger", tagger] : ["--from", given];
    const contexts = await this.#stage(synoodContextsCommand, "contexts.json", [
      ...["--images", train, ...perClass, ...from],
    ]);
    return await this.#images("synthetic", [
      ...["--images", train, "--contexts", contexts, ...perClass],
      ...this.#wished(SYNTHESIS_OPTIONS),
    ]);
  }

  /** A folder of made images. */
  async #images(name: string, options: readonly string[]): Promise<string> {
    const out = join(this.#work, name);
    await runStage(this.#context, {
      command: synoodGenerateCommand,
      out,
      options: [
        ...options,
        ...["--diffusion", this.#diffusion, "--classifier", this.#classifier],
      ],
      isDone: (folder) => exists(join(folder, "synthetic.tsv")),
      traces: [join(out, "manifest.json")],
    });
    return out;
  }

  async #ablate(
    options: readonly string[],
    of: { readonly labels: string; readonly synthesis: string },
  ): Promise<void> {
    const labelled = await this.#labelled(of.labels);
    await this.#stage(synoodAblateCommand, "report.html", [
      ...[...options, ...labelled, "--synthesis", of.synthesis],
      ...this.#wished([...PROJECTION_OPTIONS, ...TUNING_OPTIONS]),
      ...this.#device(),
    ], "html");
  }

  /** Images of negative labels, if they are asked for; no source says which of them to keep. */
  async #labelled(labels: string): Promise<string[]> {
    const count = this.#args.number("neg-images")!;
    if (count === 0) return [];
    const { negatives } = await loadLabelSet(labels);
    const each = Math.ceil(count / negatives.length);
    const images = await this.#images("neg-images", [
      ...["--negatives", labels, "--limit", String(Math.ceil(count / each))],
      ...each === 1 ? [] : ["--per-label", String(each)],
      ...this.#wished(SYNTHESIS_OPTIONS.filter(({ name }) => name !== `${SYNTHESIS}filter`)),
    ]);
    const listed = join(images, "synthetic.tsv");
    return ["--neg-images", await this.#features("neg-images", listed, labels)];
  }

  #features(name: string, images: string, labels: string): Promise<string> {
    return this.#stage(synoodFeaturesCommand, `features-${encodeURIComponent(name)}.safetensors`, [
      ...["--model", this.#model, "--images", images, "--text", labels],
    ]);
  }

  async #stage(
    command: Command,
    name: string,
    options: readonly string[],
    outOption = "out",
  ): Promise<string> {
    const out = join(this.#work, name);
    await runStage(this.#context, { command, out, outOption, options });
    return out;
  }

  /** Options that were asked for, else those that suit small images. */
  #wished(options: readonly OptionSpec[]): string[] {
    return wishedOf(this.#args, options);
  }

  #device(): string[] {
    return ["--device", this.#args.need("device")];
  }
}

/** Options of both trainings that label tuning takes beside its own. */
const BOTH: readonly OptionSpec[] = PROJECTION_OPTIONS.filter(({ name }) =>
  ["variant", "batch", "logit-scale", "seed"].includes(name)
);

/** How many pairs of images a run makes, and how many its trainings take at least. */
interface Least {
  readonly perClass: number;
  readonly batch: number;
}

/** Finds out that options make no sense before the stages that come before their own. */
function requireOptions(args: Arguments): Least {
  const perClass = args.number("per-class", { minimum: 1, integer: true })!;
  args.number("groups", { minimum: 1, integer: true });
  const labelled = args.number("neg-images", { minimum: 0, integer: true })!;
  if (args.number("share", { minimum: 0, maximum: 1 }) === 0) {
    throw new UsageError("The option --share must be above 0");
  }
  if (args.text("words-adjectives") !== undefined && args.text("words") === undefined) {
    throw new UsageError("The option --words-adjectives needs --words");
  }
  if (args.text("contexts") !== undefined && args.text("tagger") !== undefined) {
    throw new UsageError("The options --contexts and --tagger exclude each other: give one");
  }
  readSettings(args, SYNTHESIS);
  const options = [...PROJECTION_OPTIONS, ...TUNING_OPTIONS];
  const { batch } = readJointSettings(
    parseCommandLine(wishedOf(args, options), options, []),
  ).projection;
  if (labelled > 0 && labelled < batch) {
    throw new UsageError(
      `The option --neg-images must be 0, or ${batch} and more, as a batch takes: it is ${labelled}`,
    );
  }
  return { perClass, batch };
}

/** Finds out that there are no images, or too few, before the stages that come before theirs. */
async function requireImages(
  { train, val, id, ood }: RunSources,
  { perClass, batch }: Least,
): Promise<void> {
  const labels = "folder";
  const set = await openSource(train, { option: "train", labels, seed: 0 });
  const { path, classNames } = set;
  if (classNames.length === 0 || (await set.item(0)).path === undefined) {
    throw new UserError(
      `Cannot train with "${path}": ${
        classNames.length === 0
          ? "its images have no classes with names"
          : "its images are no files of their own, and images are made of such files"
      }`,
    );
  }
  const pairs = perClass * classNames.length;
  if (pairs < batch) {
    throw new UsageError(
      `Cannot train with ${pairs} images, ${perClass} of each class of "${path}": a batch takes ` +
        `${batch}; name a smaller --batch, or more with --per-class`,
    );
  }
  for (const [option, source] of [["val", val], ["id", id]] as const) {
    await openSource(source, { option, labels, seed: 0 });
  }
  for (const source of ood.values()) await openSource(source, { option: "ood", labels, seed: 0 });
}

/** Options that are not what they are anyway, as the stages have them. */
function wishedOf(args: Arguments, options: readonly OptionSpec[]): string[] {
  const small = args.text("model") === undefined ? SMALL : {};
  return options.flatMap(({ name, default: usual }) => {
    const given = args.text(name);
    const value = given === usual ? small[name] ?? given : given;
    const own = name.startsWith(SYNTHESIS) ? name.slice(SYNTHESIS.length) : name;
    return value === undefined || value === usual ? [] : [`--${own}`, value];
  });
}
