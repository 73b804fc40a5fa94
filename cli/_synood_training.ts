/**
 * What SynOOD's commands that train share: settings from options, image features and labels from
 * files, and how a training is shown.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { featureHash, openFeatures, SafetensorsFile } from "../data/mod.ts";
import type { StepRow } from "../nn/mod.ts";
import {
  formatTextLabels,
  type ImageFeatures,
  LABEL_TUNING_CODE,
  LABEL_TUNING_DEFAULTS,
  type LabelSet,
  type LabelTuningSettings,
  loadImageFeatures,
  loadLabelSet,
  loadProjection,
  PROJECTION_CODE,
  PROJECTION_DEFAULTS,
  type ProjectionSettings,
  requireLabelTuningSettings,
  requireProjectionSettings,
  type SavedProjection,
  type SynoodRun,
  type SynoodStart,
} from "../methods/mod.ts";
import { requireJointSettings } from "../methods/synood/joint.ts";
import { keptMetadata } from "../methods/tagood/features.ts";
import { type KernelTime, UserError } from "../runtime/mod.ts";
import { type Arguments, asUsage, type OptionSpec } from "./_arguments.ts";
import type { CommandContext } from "./_command.ts";
import { describeKernels } from "./_kernel_times.ts";
import type { Progress, Terminal } from "./_terminal.ts";

/** Options that both trainings take. */
export const BOTH_OPTIONS: readonly OptionSpec[] = [
  {
    name: "variant",
    value: "NAME",
    help: "paper, or code: the authors' code where it differs",
    choices: ["paper", "code"],
    default: "paper",
  },
  { name: "batch", value: "N", help: "images in a step (default 128)" },
  {
    name: "logit-scale",
    value: "X",
    help: "what cosines are multiplied with before the softmax (default that of the labels)",
  },
  { name: "seed", value: "N", help: "seed of first values and order", default: "0" },
];

/** Options of the projection's training alone. */
export const PROJECTION_ONLY_OPTIONS: readonly OptionSpec[] = [
  {
    name: "images",
    value: "LENGTH",
    help:
      "image features of length one, or raw: as the encoder gives them (default unit; code raw)",
    choices: ["unit", "raw"],
  },
  {
    name: "label-set",
    value: "NAME",
    help:
      "labels that images are told apart by: code has the classes and the negative labels that " +
      "synthetic images have, all every label, negatives those of synthetic images alone, which " +
      "leaves out the in-distribution images",
    choices: ["code", "all", "negatives"],
    default: "code",
  },
  { name: "epochs", value: "N", help: "times that every image is seen (default 3)" },
  { name: "rate", value: "X", help: "Adam's learning rate at the first step (default 1e-3)" },
  { name: "final-rate", value: "X", help: "learning rate at the end (default 1e-5)" },
  {
    name: "schedule",
    value: "NAME",
    help: "how the rate goes down: step by step, epoch by epoch, or not (default cosine; code " +
      "cosine-epoch)",
    choices: ["cosine", "cosine-epoch", "constant"],
  },
  {
    name: "weight-decay",
    value: "X",
    help: "weight decay, added to the gradient (default 1e-5)",
  },
];

/** Options of the projection's training. */
export const PROJECTION_OPTIONS: readonly OptionSpec[] = [
  ...BOTH_OPTIONS,
  ...PROJECTION_ONLY_OPTIONS,
];

/** Options of label tuning alone. */
export const TUNING_OPTIONS: readonly OptionSpec[] = [
  {
    name: "loss",
    value: "NAME",
    help: "paper: an image's label against the batch's images (equation 14); code: an image " +
      "against all labels that are tuned, with the rates of the authors' code (default --variant)",
    choices: ["paper", "code"],
  },
  { name: "tune-epochs", value: "N", help: "times that labels see every image (default 5)" },
  { name: "tune-rate", value: "X", help: "learning rate of labels (default 2e-3; code 2e-2)" },
  { name: "tune-final-rate", value: "X", help: "their rate at the end of a cosine (default 0)" },
  {
    name: "tune-schedule",
    value: "NAME",
    help: "how it goes down (default constant; code cosine-epoch)",
    choices: ["cosine", "cosine-epoch", "constant"],
  },
  { name: "tune-weight-decay", value: "X", help: "decay of labels (default 0; code 1e-5)" },
  { name: "momentum", value: "X", help: "momentum of labels (default 0; code 0.9)" },
  {
    name: "text-length",
    value: "X",
    help: "length that features have when they begin to learn: a step turns one of length l by " +
      "1/l² of what it turns one of length 1 (default 1)",
  },
];

const WHOLE = { minimum: 0, integer: true, maximum: 2 ** 32 - 1 };

/** The projection's settings that options ask for. */
export function readProjectionSettings(args: Arguments): ProjectionSettings {
  const base = args.need("variant") === "code" ? PROJECTION_CODE : PROJECTION_DEFAULTS;
  return asUsage(() =>
    requireProjectionSettings({
      ...base,
      ...wished({
        ...readBoth(args),
        images: args.text("images"),
        labelSet: args.text("label-set"),
        epochs: args.number("epochs", WHOLE),
        learningRate: args.number("rate"),
        finalRate: args.number("final-rate"),
        schedule: args.text("schedule"),
        weightDecay: args.number("weight-decay"),
      }),
    })
  );
}

/** The settings of label tuning that options ask for. */
export function readTuningSettings(args: Arguments): LabelTuningSettings {
  const loss = args.text("loss") ?? args.need("variant");
  const base = loss === "code" ? LABEL_TUNING_CODE : LABEL_TUNING_DEFAULTS;
  return asUsage(() =>
    requireLabelTuningSettings({
      ...base,
      ...wished({
        ...readBoth(args),
        epochs: args.number("tune-epochs", WHOLE),
        learningRate: args.number("tune-rate"),
        finalRate: args.number("tune-final-rate"),
        schedule: args.text("tune-schedule"),
        weightDecay: args.number("tune-weight-decay"),
        momentum: args.number("momentum"),
        length: args.number("text-length"),
      }),
    })
  );
}

/** The settings of both trainings, such that they can be joint as well. */
export function readJointSettings(
  args: Arguments,
): { readonly projection: ProjectionSettings; readonly tuning: LabelTuningSettings } {
  const settings = { projection: readProjectionSettings(args), tuning: readTuningSettings(args) };
  asUsage(() => requireJointSettings(settings));
  return settings;
}

function readBoth(args: Arguments): Record<string, number | undefined> {
  return {
    batch: args.number("batch", WHOLE),
    logitScale: args.number("logit-scale"),
    seed: args.number("seed", WHOLE),
  };
}

function wished(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Something that a training reads, with what tells it from others. */
export interface Hashed<T> {
  /** It. */
  readonly value: T;
  /** Its SHA-256. */
  readonly sha256: string;
}

/** Loads image features. */
export async function openImageFeatures(
  path: string,
  { terminal, signal }: Pick<CommandContext, "terminal" | "signal">,
): Promise<Hashed<ImageFeatures>> {
  await using set = await openFeatures(path);
  using progress = terminal.progress(`load ${path}`, set.count, { unit: "images" });
  const value = await loadImageFeatures(set, {
    signal,
    onProgress: (done) => progress.update(done),
  });
  progress.finish();
  return { value, sha256: await featureHash(set) };
}

/** Labels with the strings that are stored with them. */
export interface OpenLabels extends Hashed<LabelSet> {
  /** Of tuned ones, what the images went through that they were tuned on. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Loads labels. */
export async function openLabels(path: string): Promise<OpenLabels> {
  const value = await loadLabelSet(path);
  await using file = await SafetensorsFile.open(path);
  const hash = createHash("sha256");
  hash.update(JSON.stringify([formatTextLabels(value), value.logitScale, value.model]));
  hash.update(new Uint8Array(value.text.buffer, value.text.byteOffset, value.text.byteLength));
  return { value, sha256: hash.digest("hex"), metadata: file.header.metadata };
}

/**
 * Loads a projection that goes with labels.
 *
 * @throws {UserError} When it was trained with another text encoder, or for other labels.
 */
export async function openProjection(path: string, labels: LabelSet): Promise<SavedProjection> {
  const projection = await loadProjection(path);
  const { metadata, width } = projection;
  const refuse = (why: string) => new UserError(`Cannot use "${path}" with these labels: ${why}`);
  const model = metadata["text_model"];
  if (model !== undefined && model !== "" && labels.model !== "" && model !== labels.model) {
    throw refuse("it was trained with labels of another text encoder");
  }
  const names = metadata["label_hash"];
  if (names !== undefined && names !== hashOfNames(labels)) {
    throw refuse("it was trained with labels of other names");
  }
  if (width !== labels.width) {
    throw refuse(`it is ${width} wide and the labels' features ${labels.width}`);
  }
  return projection;
}

/** What tells the names of labels from others; tuned features have the same. */
export function hashOfNames(labels: LabelSet): string {
  return createHash("sha256").update(JSON.stringify(formatTextLabels(labels))).digest("hex");
}

/** One of the files that something was learned from. */
export interface LearnedFrom {
  readonly role: string;
  readonly path: string;
  readonly count: number;
  readonly sha256: string;
}

/** How a file of image features stands among those that something was learned from. */
export function learnedFrom(
  role: string,
  { value, sha256 }: Hashed<ImageFeatures>,
): LearnedFrom {
  return { role, path: value.path, count: value.count, sha256 };
}

/** Strings that go with what was learned: the encoders, the settings, and from what. */
export function trainedMetadata(
  images: ImageFeatures,
  labels: LabelSet,
  learned: { readonly settings: unknown; readonly from: readonly LearnedFrom[] },
): Record<string, string> {
  return {
    ...keptMetadata(images.metadata),
    "text_model": labels.model,
    "label_hash": hashOfNames(labels),
    synood: JSON.stringify(learned.settings),
    fit: JSON.stringify(learned.from),
  };
}

/** Shows a training while it goes on. */
export function shownRun(
  { terminal, signal }: Pick<CommandContext, "terminal" | "signal">,
  how: { readonly label: string; readonly images: number; readonly what: string },
): Pick<SynoodRun, "signal" | "onStart" | "onRows"> & { readonly finish: () => void } {
  let progress: Progress | undefined;
  let before = 0;
  return {
    signal,
    onStart({ parameters, steps, done, labels }: SynoodStart) {
      before = done;
      terminal.note(
        `Training ${parameters} numbers (${how.what}) over ${labels} labels: ${steps} steps of ` +
          `${how.images} images${done > 0 ? `, going on after ${done}` : ""}`,
      );
      const total = (steps - done) * how.images;
      progress = terminal.progress(how.label, total, { unit: "images" });
    },
    onRows: (rows: readonly StepRow[]) =>
      progress?.update((rows.at(-1)!.step + 1 - before) * how.images),
    finish: () => progress?.finish(),
  };
}

/** What a training gave, as far as all have it. */
export interface Reported {
  readonly rows: readonly StepRow[];
  readonly kernels?: readonly KernelTime[];
}

/** The mean of a number over the last steps, as text. */
export function lastMean({ rows }: Reported, name: string): string {
  const last = rows.slice(-10);
  const mean = last.reduce((sum, { values }) => sum + values[name]!, 0) / Math.max(1, last.length);
  return name.endsWith("accuracy") ? `${(100 * mean).toFixed(1)} %` : mean.toFixed(4);
}

/** Prints the outcome of a training, as text or as JSON. */
export function printTrained(
  { args, terminal }: { readonly args: Arguments; readonly terminal: Terminal },
  report: Reported & { readonly text: string; readonly json: Readonly<Record<string, unknown>> },
): void {
  describeKernels(report.kernels, terminal);
  if (!args.flag("json")) return terminal.print(report.text);
  terminal.printJson({
    ...report.json,
    steps: report.rows.map(({ step, values }) => ({ step, ...values })),
    ...(report.kernels === undefined ? {} : { kernels: report.kernels }),
  });
}
