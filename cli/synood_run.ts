/**
 * `ood synood run`: all stages of SynOOD one after the other, each as the command that it is.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Arguments, type OptionSpec, parseCommandLine, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { TRAINING_DEVICE_OPTION } from "./_lbf.ts";
import { parseNamed } from "./_named.ts";
import { exists, runStage, type Stage } from "./_stages.ts";
import {
  PROJECTION_OPTIONS,
  readProjectionSettings,
  readTuningSettings,
  TUNING_OPTIONS,
} from "./_synood_training.ts";
import { makeFolder } from "./_tagood.ts";
import { calibrateCommand } from "./calibrate.ts";
import { synoodAblateCommand } from "./synood_ablate.ts";
import { synoodContextsCommand } from "./synood_contexts.ts";
import { synoodEvalCommand } from "./synood_eval.ts";
import { synoodFeaturesCommand } from "./synood_features.ts";
import { synoodFitCommand } from "./synood_fit.ts";
import { SETTINGS_OPTIONS as GENERATE_OPTIONS, synoodGenerateCommand } from "./synood_generate.ts";
import { synoodLabelsCommand } from "./synood_labels.ts";
import { synoodProjectCommand } from "./synood_project.ts";
import { synoodTuneLabelsCommand } from "./synood_tune_labels.ts";
import { worldCommand } from "./world.ts";

/** Files that the project ships. */
const SHIPPED = (path: string) => fileURLToPath(new URL(`../models/${path}`, import.meta.url));

/** Settings that suit a few hundred small images and the shipped models; the paper's are larger. */
const SMALL: Readonly<Record<string, string>> = {};

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
    "run that was stopped goes on, and contexts or labels that were edited are used.",
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
    { name: "words", value: "FILE", help: "nouns for negative labels (default WordNet's)" },
    { name: "words-adjectives", value: "FILE", help: "adjectives beside --words" },
    { name: "share", value: "P", help: "of words to keep (default 0.15; of the world's 0.5)" },
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

/** Images of a run. */
interface RunSources {
  readonly train: string;
  readonly val: string;
  readonly id: string;
  readonly ood: ReadonlyMap<string, string>;
}

async function runAll(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const work = args.need("work");
  const given = givenSources(args);
  requireNumbers(args);
  await makeFolder(work);
  await new Run(context, work).all(given ?? await drawWorld(context, work));
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

  constructor(context: CommandContext, work: string) {
    this.#context = context;
    this.#args = context.args;
    this.#work = work;
    this.#model = context.args.text("model") ?? SHIPPED("world-clip");
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
    const detector = await this.#stage(synoodFitCommand, "synood.safetensors", [
      ...["--labels", tuned, "--projection", projection],
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
      options: ["--detector", detector, ...pairs, ...tests],
    });
    await this.#ablate([...pairs, "--train", id, "--synthetic", made, ...tests], {
      labels,
      synthesis: synthetic,
    });
  }

  async #labels(train: string): Promise<string> {
    const words = await this.#words();
    return await this.#stage(synoodLabelsCommand, "labels.safetensors", [
      ...["--model", this.#model, "--classes", train, ...words],
    ]);
  }

  /** The words that were asked for, those of the model's folder, or WordNet's. */
  async #words(): Promise<string[]> {
    const share = this.#args.text("share");
    const [nouns, adjectives] = [this.#args.text("words"), this.#args.text("words-adjectives")];
    if (nouns !== undefined) {
      const both = adjectives === undefined ? [] : ["--words-adjectives", adjectives];
      return ["--words", nouns, ...both, ...share === undefined ? [] : ["--share", share]];
    }
    const own = join(this.#model, "nouns.txt");
    if (!await exists(own)) return share === undefined ? [] : ["--share", share];
    return [
      ...["--words", own, "--words-adjectives", join(this.#model, "adjectives.txt")],
      ...["--share", share ?? WORLD_SHARE],
    ];
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
        ...["--diffusion", this.#args.text("diffusion") ?? SHIPPED("world-diffusion")],
        ...["--classifier", this.#args.text("classifier") ?? SHIPPED("world-classifier.onnx")],
        ...this.#wished(SYNTHESIS_OPTIONS),
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
    const count = this.#args.number("neg-images", { minimum: 0, integer: true })!;
    const labelled = count === 0 ? [] : [
      "--neg-images",
      await this.#features(
        "neg-images",
        join(
          await this.#images("neg-images", ["--negatives", of.labels, "--limit", String(count)]),
          "synthetic.tsv",
        ),
        of.labels,
      ),
    ];
    await runStage(this.#context, {
      command: synoodAblateCommand,
      options: [
        ...[...options, ...labelled, "--synthesis", of.synthesis],
        ...this.#wished([...PROJECTION_OPTIONS, ...TUNING_OPTIONS]),
        ...[...this.#device(), "--html", join(this.#work, "report.html")],
      ],
    });
  }

  #features(name: string, images: string, labels: string): Promise<string> {
    return this.#stage(synoodFeaturesCommand, `features-${name}.safetensors`, [
      ...["--model", this.#model, "--images", images, "--text", labels],
    ]);
  }

  async #stage(command: Command, name: string, options: readonly string[]): Promise<string> {
    const out = join(this.#work, name);
    await runStage(this.#context, { command, out, options } satisfies Stage);
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

/** Share of the words of the shipped model that become negative labels; they are few. */
const WORLD_SHARE = "0.5";

function givenSources(args: Arguments): RunSources | undefined {
  const [train, val, id] = [args.text("train"), args.text("val"), args.text("id")];
  const ood = new Map(
    parseNamed("ood", args.all("ood")).map(({ name, value }) => [name, value]),
  );
  const named = [train, val, id].filter((path) => path !== undefined).length;
  if (named === 0 && ood.size === 0) return undefined;
  if (named < 3 || ood.size === 0) {
    throw new UsageError("The options --train, --val, --id and --ood go together: give all");
  }
  return { train: train!, val: val!, id: id!, ood };
}

async function drawWorld(context: CommandContext, work: string): Promise<RunSources> {
  const world = join(work, "world");
  await runStage(context, {
    command: worldCommand,
    options: [
      ...["--out", world],
      ...Object.entries(WORLD_COUNTS).flatMap(([name, count]) => [`--${name}`, count]),
    ],
  });
  return {
    train: join(world, "train"),
    val: join(world, "val"),
    id: join(world, "test"),
    ood: new Map([
      ["near", join(world, "near-ood")],
      ["background", join(world, "background")],
      ["far", join(world, "far-ood")],
    ]),
  };
}

/** Finds out that a number makes no sense before the stages that come before its own. */
function requireNumbers(args: Arguments): void {
  args.number("per-class", { minimum: 1, integer: true });
  args.number("neg-images", { minimum: 0, integer: true });
  const options = [...PROJECTION_OPTIONS, ...TUNING_OPTIONS];
  const parsed = parseCommandLine(wishedOf(args, options), options, []);
  readProjectionSettings(parsed);
  readTuningSettings(parsed);
}

/** Options that are not what they are anyway, as the stages have them. */
function wishedOf(args: Arguments, options: readonly OptionSpec[]): string[] {
  return options.flatMap(({ name, default: usual }) => {
    const given = args.text(name);
    const value = given === usual ? SMALL[name] ?? given : given;
    const own = name.startsWith(SYNTHESIS) ? name.slice(SYNTHESIS.length) : name;
    return value === undefined || value === usual ? [] : [`--${own}`, value];
  });
}
