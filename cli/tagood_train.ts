/**
 * `ood tagood train`: the projection model and the class centres.
 *
 * @module
 */

import { featureHash, openFeatures } from "../data/mod.ts";
import type { StepRow } from "../nn/mod.ts";
import {
  Detector,
  fittedTagood,
  requireTagoodSettings,
  saveDetector,
  TAGOOD_CODE,
  TAGOOD_DEFAULTS,
  type TagoodSettings,
  type TagoodTrained,
  trainTagood,
} from "../methods/mod.ts";
import { keptMetadata } from "../methods/tagood/features.ts";
import { type Context, UserError } from "../runtime/mod.ts";
import { type Arguments, asUsage, type OptionSpec, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { KERNEL_VARIANT_OPTION } from "./_device.ts";
import { openTraining, TRAINING_DEVICE_OPTION } from "./_lbf.ts";
import { describeKernels } from "./_kernel_times.ts";
import { requireNoCheckpoint, requireWritable } from "./_outputs.ts";
import { maxTokensOf, type OpenObjects, openObjects } from "./_tagood.ts";
import type { Progress } from "./_terminal.ts";

/** The options of a training, shared by the commands that train. */
export const SETTINGS_OPTIONS: readonly OptionSpec[] = [
  {
    name: "variant",
    value: "NAME",
    help: "paper, or code: the authors' code where it differs (AdamW, a floor under the rate, " +
      "centres that move ten times as fast, four parts of a feature apart)",
    choices: ["paper", "code"],
    default: "paper",
  },
  { name: "epochs", value: "N", help: "times that every image is seen (default 100)" },
  { name: "batch", value: "N", help: "images in a step (default 256)" },
  { name: "rate", value: "X", help: "learning rate of the first step (default 0.01)" },
  { name: "final-rate", value: "X", help: "learning rate at the end (default 0; code 1e-5)" },
  { name: "weight-decay", value: "X", help: "decoupled weight decay (default 0; code 5e-4)" },
  { name: "alpha", value: "X", help: "weight of cross-entropy, α (default 1)" },
  { name: "beta", value: "X", help: "weight of the distance to the centre, β (default 0.1)" },
  {
    name: "centre-rate",
    value: "X",
    help:
      "share by which an image moves its class's centre, γ₂ (default: the paper's 1e-4 at the " +
      "size of ImageNet, more on smaller data; code 1e-3)",
  },
  { name: "width", value: "N", help: "width of the projected space (default 512)" },
  { name: "depth", value: "N", help: "encoder blocks (default 2)" },
  { name: "heads", value: "N", help: "attention heads (default 8)" },
  { name: "hidden", value: "N", help: "width inside the perceptrons (default four times width)" },
  { name: "dropout", value: "P", help: "dropout of rows and of attention (default 0.1)" },
  {
    name: "patience",
    value: "N",
    help: "with --validation: stop after N epochs without a better loss on it",
  },
  { name: "seed", value: "N", help: "seed of first values, order and dropout", default: "0" },
];

/** The command. */
export const tagoodTrainCommand: Command = {
  name: "tagood train",
  summary: "Train TagOOD's projection model and class centres on object tokens",
  details:
    "The result is a detector like every other: ood calibrate, score and export take it, on the\n" +
    "tagger's outputs. A training that was stopped goes on with --resume, to the same file.",
  options: [
    {
      name: "objects",
      value: "FILE",
      help: "labelled object tokens from ood tagood features",
      required: true,
    },
    { name: "out", value: "FILE", help: "the detector to write", required: true },
    {
      name: "validation",
      value: "FILE",
      help:
        "object tokens of other labelled images: the state with the smallest loss on them is kept",
    },
    ...SETTINGS_OPTIONS,
    { name: "resume", help: "go on with a training that was stopped" },
    { name: "profile", help: "show the time of every kernel in a step" },
    TRAINING_DEVICE_OPTION,
    KERNEL_VARIANT_OPTION,
    { name: "json", help: "print the settings and the losses as JSON" },
  ],
  examples: [
    "ood tagood train --objects train-objects.safetensors --out tagood.safetensors",
    "ood tagood train --objects train-objects.safetensors --validation val-objects.safetensors \\\n" +
    "    --width 128 --epochs 20 --rate 0.001 --patience 5 --out tagood.safetensors",
  ],
  run: runTrain,
};

async function runTrain(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const out = args.need("out");
  const settings = readSettings(args);
  const path = `${out}.checkpoint`;
  await requireWritable(out);
  await requireNoCheckpoint(path, args.flag("resume"));
  using ctx = await openTraining(args, terminal, "kernel-variant");
  const { trained, detector } = await trainDetector(context, ctx, {
    objects: args.need("objects"),
    validation: args.text("validation"),
    settings,
    checkpoint: { path, resume: args.flag("resume") },
    profile: args.flag("profile"),
  });
  await saveDetector(detector, out);
  await Deno.remove(path).catch(() => {});
  trained.warnings.forEach((warning) => terminal.note(`Note: ${warning}`));
  describeKernels(trained.kernels, terminal);
  if (!args.flag("json")) return terminal.print(describeTrained(trained, out));
  terminal.printJson({
    out,
    settings,
    epoch: trained.epoch,
    steps: trained.rows.map(({ step, values }) => ({ step, ...values })),
    warnings: trained.warnings,
    ...(trained.kernels === undefined ? {} : { kernels: trained.kernels }),
  });
}

/** The settings that options ask for. */
export function readSettings(args: Arguments): TagoodSettings {
  if (args.text("patience") !== undefined && args.text("validation") === undefined) {
    throw new UsageError("The option --patience needs --validation: it looks at the loss there");
  }
  const base = args.need("variant") === "code" ? TAGOOD_CODE : TAGOOD_DEFAULTS;
  const whole = { minimum: 0, integer: true, maximum: 2 ** 32 - 1 };
  const width = args.number("width", whole) ?? base.width;
  const dropout = args.number("dropout");
  const given = {
    width,
    hidden: args.number("hidden", whole) ?? 4 * width,
    depth: args.number("depth", whole),
    heads: args.number("heads", whole),
    dropout,
    attentionDropout: dropout,
    alpha: args.number("alpha"),
    beta: args.number("beta"),
    centreRate: args.number("centre-rate"),
    learningRate: args.number("rate"),
    finalRate: args.number("final-rate"),
    weightDecay: args.number("weight-decay"),
    batch: args.number("batch", whole),
    epochs: args.number("epochs", whole),
    patience: args.number("patience", whole),
    seed: args.number("seed", whole),
  };
  const wished = Object.entries(given).filter(([, value]) => value !== undefined);
  return asUsage(() => requireTagoodSettings({ ...base, ...Object.fromEntries(wished) }));
}

/** What is trained. */
export interface TrainDetector {
  readonly objects: string;
  readonly validation?: string | undefined;
  readonly settings: TagoodSettings;
  readonly checkpoint?: { readonly path: string; readonly resume: boolean };
  readonly profile?: boolean;
  readonly label?: string;
}

/** Trains on files of object tokens and makes a detector of it. */
export async function trainDetector(
  { terminal, signal }: Pick<CommandContext, "terminal" | "signal">,
  ctx: Context,
  how: TrainDetector,
): Promise<{ readonly trained: TagoodTrained; readonly detector: Detector }> {
  const { settings } = how;
  const load = { terminal, signal, onlyTagged: true };
  using train = await openObjects(how.objects, { ...load, label: "load objects" });
  using validation = how.validation === undefined
    ? undefined
    : await openObjects(how.validation, { ...load, label: "load validation" });
  const classNames = requireClasses(train);
  requireSameClasses(train, validation);
  const { objects, record } = train;
  const identity = await hashOf(how.objects);
  const others = how.validation === undefined ? [] : [await hashOf(how.validation)];
  let progress: Progress | undefined;
  let before = 0;
  const trained = await trainTagood({
    objects,
    ...(validation === undefined ? {} : { validation: validation.objects }),
    classes: classNames.length,
    classNames,
    maxTokens: maxTokensOf(train),
    settings,
    identity: [identity, ...others].join(" "),
    ctx,
    checkpoint: how.checkpoint,
    profile: how.profile ?? false,
    signal,
    onStart: ({ parameters, steps, done, capacity, centreRate }) => {
      before = done;
      terminal.note(
        `Training ${parameters} parameters on ${objects.count} images of ${classNames.length} ` +
          `classes: ${steps} steps of ${settings.batch} images (at most ${capacity} tokens), ` +
          `γ₂ ${centreRate.toPrecision(3)}${done > 0 ? `, going on after ${done}` : ""}`,
      );
      progress = terminal.progress(how.label ?? "train", (steps - done) * settings.batch, {
        unit: "images",
      });
    },
    onRows: (rows: readonly StepRow[]) =>
      progress?.update((rows.at(-1)!.step + 1 - before) * settings.batch),
    onValidation: ({ epoch, loss, accuracy, best }) =>
      terminal.note(
        `Epoch ${epoch}: validation loss ${loss.toFixed(4)}, accuracy ` +
          `${(100 * accuracy).toFixed(2)} %${best ? ", the best so far" : ""}`,
      ),
  });
  progress?.finish();
  const fitted = fittedTagood(trained, record, { variant: settings.variant });
  const metadata = detectorMetadata(train, { settings, identity, count: objects.count });
  return { trained, detector: new Detector(fitted, { metadata }) };
}

function detectorMetadata(
  { objects }: OpenObjects,
  fit: { readonly settings: TagoodSettings; readonly identity: string; readonly count: number },
): Record<string, string> {
  const { settings, identity: sha256, count } = fit;
  return {
    ...keptMetadata(objects.metadata),
    tagood: JSON.stringify(settings),
    fit: JSON.stringify([{ role: "train", path: objects.path, count, sha256 }]),
    seed: String(settings.seed),
  };
}

function requireClasses({ objects, classNames }: OpenObjects): readonly string[] {
  if (classNames !== undefined && classNames.length > 0) return classNames;
  const most = objects.labels.reduce((a, b) => Math.max(a, b), -1);
  if (most >= 0) return Array.from({ length: most + 1 }, (_, k) => `class ${k}`);
  throw new UserError(
    `Cannot train TagOOD: "${objects.path}" has no labels; find the objects of labelled images`,
  );
}

function requireSameClasses(train: OpenObjects, validation: OpenObjects | undefined): void {
  if (validation === undefined) return;
  const [a, b] = [train, validation].map(({ classNames }) => JSON.stringify(classNames ?? []));
  if (a === b) return;
  throw new UserError(
    `Cannot train TagOOD: the classes of "${validation.objects.path}" are not those of ` +
      `"${train.objects.path}"`,
  );
}

async function hashOf(path: string): Promise<string> {
  await using set = await openFeatures(path);
  return await featureHash(set);
}

/** One line about a training. */
function describeTrained({ rows, epoch }: TagoodTrained, out: string): string {
  const last = rows.slice(-10);
  const mean = (name: string) =>
    last.reduce((sum, { values }) => sum + values[name]!, 0) / Math.max(1, last.length);
  const figures = last.length === 0
    ? ""
    : `: cross-entropy ${mean("cross_entropy").toFixed(4)}, distance to centres ` +
      `${mean("distance").toFixed(4)}, accuracy ${(100 * mean("accuracy")).toFixed(1)} % in the ` +
      "last steps";
  return `Wrote ${out}, the state after epoch ${epoch}${figures}`;
}
