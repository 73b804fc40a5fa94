/**
 * `ood tagood run`: all stages of TagOOD one after the other, each as the command that it is.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Arguments, parseCommandLine } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { TRAINING_DEVICE_OPTION } from "./_lbf.ts";
import { drawnWorld, givenSources } from "./_run_sources.ts";
import { runStage } from "./_stages.ts";
import { makeFolder, stageFile } from "./_tagood.ts";
import { calibrateCommand } from "./calibrate.ts";
import { tagoodEvalCommand } from "./tagood_eval.ts";
import { tagoodFeaturesCommand } from "./tagood_features.ts";
import { readSettings, SETTINGS_OPTIONS, tagoodTrainCommand } from "./tagood_train.ts";
import { tagoodVocabCommand } from "./tagood_vocab.ts";

const TAGGER = fileURLToPath(new URL("../models/world-tagger.onnx", import.meta.url));

/** Settings that suit a few thousand small images; the paper's are for ImageNet. */
const SMALL: Readonly<Record<string, string>> = {
  width: "64",
  epochs: "6",
  batch: "64",
  rate: "0.001",
};

/** Images of each split of the world that is drawn without --train. */
const WORLD_COUNTS: Readonly<Record<string, string>> = {
  train: "4000",
  val: "500",
  test: "1000",
  near: "1000",
  background: "1000",
  far: "999",
};

/** The command. */
export const tagoodRunCommand: Command = {
  name: "tagood run",
  summary: "All stages of TagOOD: vocabulary, features, training, evaluation, threshold",
  details:
    "Without --train it draws a world and takes models/world-tagger.onnx: the whole way in about\n" +
    "a minute. Each stage prints the command that it is and leaves its file in --work; a stage whose\n" +
    "file is there is passed over, so that a run that was stopped goes on, and a vocabulary that\n" +
    "was edited is used.",
  options: [
    { name: "work", value: "DIR", help: "where files go", default: "out/tagood" },
    { name: "model", value: "MODEL.onnx", help: "the tagger (default the shipped one)" },
    { name: "train", value: "SOURCE", help: "labelled training images (default a drawn world)" },
    { name: "val", value: "SOURCE", help: "other labelled images: validation and threshold" },
    { name: "id", value: "SOURCE", help: "in-distribution test images" },
    { name: "ood", value: "NAME=SOURCE", help: "OOD images", multiple: true },
    { name: "tau", value: "T", help: "attention above which a token is kept", default: "0.5" },
    ...SETTINGS_OPTIONS.map((option) => {
      const small = SMALL[option.name];
      return small === undefined
        ? option
        : { ...option, help: option.help.replace(/default [^)]*/, `default ${small}`) };
    }),
    TRAINING_DEVICE_OPTION,
  ],
  examples: [
    "ood tagood run",
    "ood tagood run --model ram.onnx --train train/ --val val/ --id test/ --ood photos=photos/ \\\n" +
    "    --width 512 --epochs 100 --batch 256 --rate 0.01 --work work",
  ],
  run: runAll,
};

async function runAll(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const work = args.need("work");
  const given = givenSources(args);
  requireNumbers(args);
  await makeFolder(work);
  const file = (name: string) => join(work, name);
  const run = (command: Command, out: string, options: readonly string[]) =>
    runStage(context, { command, out, options });
  const sources = given ?? await drawnWorld(context, work, WORLD_COUNTS);
  const device = ["--device", args.need("device")];
  const model = ["--model", args.text("model") ?? TAGGER];
  const vocabulary = file("vocabulary.json");
  const runsModel = [...model, ...modelDevice(args)];
  await runStage(context, {
    command: tagoodVocabCommand,
    out: vocabulary,
    options: ["--images", sources.train, ...runsModel],
    traces: [`${vocabulary.replace(/\.json$/i, "")}.safetensors.parts`],
  });
  const objects = async (name: string, source: string, labels: string) => {
    const out = stageFile(work, name);
    await run(tagoodFeaturesCommand, out, [
      ...["--images", source, "--labels", labels, ...model, "--vocabulary", vocabulary],
      ...["--tau", args.need("tau"), ...device],
    ]);
    return out;
  };
  const train = await objects("train", sources.train, "folder");
  const val = await objects("val", sources.val, "folder");
  const id = await objects("id", sources.id, "folder");
  const ood: string[] = [];
  for (const [name, source] of sources.ood) {
    ood.push("--ood", `${name}=${await objects(`ood-${name}`, source, "none")}`);
  }
  const detector = file("tagood.safetensors");
  await run(tagoodTrainCommand, detector, [
    ...["--objects", train, "--validation", val, ...settings(args), ...device],
  ]);
  const calibrated = file("calibrated.safetensors");
  await run(calibrateCommand, calibrated, [
    ...["--detector", detector, "--id", val, ...calibrationDevice(args)],
  ]);
  const report = file("report.html");
  await runStage(context, {
    command: tagoodEvalCommand,
    options: [
      ...["--detector", detector, "--id", id, ...ood, "--distances", "all", "--html", report],
      ...device,
    ],
  });
  terminal.print(`\nReport: ${report}\nDetector with a threshold: ${calibrated}`);
}

/** Options of the training: what was asked for, else what suits small images. */
function settings(args: Arguments): string[] {
  return SETTINGS_OPTIONS.flatMap(({ name }) => {
    const value = args.text(name) ?? SMALL[name];
    return value === undefined ? [] : [`--${name}`, value];
  });
}

/** Finds out that a number makes no sense before the stages that come before its own. */
function requireNumbers(args: Arguments): void {
  args.number("tau", { minimum: 0, maximum: 1 });
  const stage = ["--objects", "train", "--out", "detector", "--validation", "val"];
  readSettings(parseCommandLine([...stage, ...settings(args)], tagoodTrainCommand.options, []));
}

/** Where the tagger runs: the reference is no place for a model. */
function modelDevice(args: Arguments): string[] {
  return args.need("device") === "reference" ? ["--device", "wasm"] : [];
}

function calibrationDevice(args: Arguments): string[] {
  return args.need("device") === "auto" ? [] : ["--device", args.need("device")];
}
