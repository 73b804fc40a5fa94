/**
 * `ood lbf tune`: a classifier in, an OOD-aware classifier out.
 *
 * @module
 */

import {
  findBackground,
  LBF_DEFAULTS,
  type LbfEpoch,
  lbfMetadata,
  type LbfSettings,
  type LbfTuned,
  NORM_QUANTILES,
  requireLbfModel,
  requireLbfSettings,
  type Selection,
  tuneLbf,
} from "../methods/mod.ts";
import type { BatchNormMode, StepRow } from "../nn/mod.ts";
import { type InsertNorms, type Trainable, withMetadata, writeModel } from "../onnx/mod.ts";
import { writeFileAtomic } from "../data/mod.ts";
import { type Context, isGpu } from "../runtime/mod.ts";
import { type Arguments, asUsage } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { VARIANT_OPTION } from "./_device.ts";
import {
  LABELS_OPTION,
  type OpenLbfImages,
  openLbfImages,
  type OpenModel,
  openModel,
  openTraining,
  TRAINING_DEVICE_OPTION,
} from "./_lbf.ts";
import { describeKernels } from "./_kernel_times.ts";
import { requireNoCheckpoint, requireWritable } from "./_outputs.ts";
import { formatDuration, type Progress, type Terminal } from "./_terminal.ts";

/** The command. */
export const lbfTuneCommand: Command = {
  name: "lbf tune",
  summary: "Fine-tune a classifier so that backgrounds no longer look familiar (LBF)",
  details:
    "The tuned file has the inputs and outputs of the model and runs wherever that runs. The paper\n" +
    "tunes a CIFAR network for 30 epochs at rate 0.1; small networks want the gentler defaults\n" +
    "here. Training is saved once an epoch beside the output and goes on with --resume.",
  options: [
    { name: "model", value: "MODEL.onnx", help: "the classifier", required: true },
    { name: "images", value: "SOURCE", help: "its labelled training images", required: true },
    { name: "out", value: "FILE.onnx", help: "the tuned classifier to write", required: true },
    LABELS_OPTION,
    {
      name: "trainable",
      value: "PART",
      help: "all, last-block, or the name of the node from which on everything learns; what is " +
        "before it runs once in onnxruntime, and images are then not moved",
      default: "all",
    },
    {
      name: "delta",
      value: "X",
      help: "δ: below it a location is background; 1 / classes if not given",
    },
    {
      name: "margin",
      value: "X",
      help: "μ: norms below it are left alone; from the norms of the background if not given",
    },
    { name: "weight", value: "X", help: "λ: weight of the background's loss", default: "1" },
    { name: "epochs", value: "N", help: "times that every image is seen", default: "4" },
    {
      name: "rate",
      value: "X",
      help: "learning rate; a tenth of it after half of the epochs",
      default: "0.01",
    },
    { name: "batch", value: "N", help: "images in a step", default: "128" },
    {
      name: "selection",
      value: "NAME",
      help: "who says where the background is: the model that is trained, or the one before",
      choices: ["online", "frozen"],
      default: "online",
    },
    {
      name: "batch-norm",
      value: "NAME",
      help: "train: statistics of the batch, running ones move; frozen: the running ones stay",
      choices: ["train", "frozen"],
      default: "train",
    },
    {
      name: "insert-norms",
      value: "NAME",
      help:
        "put batch normalisation behind convolutions for the training and fold it away in the " +
        "file; auto: when nothing that learns has any and --batch-norm is train",
      choices: ["auto", "always", "never"],
      default: "auto",
    },
    { name: "max-norm", value: "X", help: "largest norm of the gradient" },
    {
      name: "shift",
      value: "N",
      help: "pixels by which images are moved; an eighth of their height if not given",
    },
    { name: "no-flip", help: "do not mirror images" },
    { name: "seed", value: "N", help: "seed of the order and of the moves", default: "0" },
    { name: "resume", help: "go on with a training that was stopped" },
    { name: "strict", help: "stop at the first image that cannot be read" },
    { name: "profile", help: "show the time of every kernel in a step" },
    TRAINING_DEVICE_OPTION,
    VARIANT_OPTION,
    { name: "json", help: "print the settings and the losses as JSON" },
  ],
  examples: [
    "ood lbf tune --model models/cifar10-resnet20.onnx --images train/ --out tuned.onnx",
    "ood lbf tune --model models/cifar10-resnet20.onnx --images train/ --out tuned.onnx \\\n" +
    "    --trainable last-block --weight 0.1 --rate 0.001",
  ],
  run: runTune,
};

async function runTune({ args, terminal, signal }: CommandContext): Promise<void> {
  const out = args.need("out");
  const given = readSettings(args);
  const path = `${out}.checkpoint`;
  await requireWritable(out);
  await requireNoCheckpoint(path, args.flag("resume"));
  const open = await openModel(args.need("model"));
  const { classes, size } = requireLbfModel(open.model, open.inspection);
  using ctx = await openTraining(args, terminal);
  using images = await openLbfImages(args.need("images"), {
    ...open,
    labels: args.need("labels"),
    strict: args.flag("strict"),
    terminal,
    signal,
  });
  const delta = given.delta ?? 1 / classes;
  const moves = given.trainable === "all";
  const settings = requireLbfSettings({
    ...given,
    delta,
    margin: given.margin ?? await marginFor({ open, images, ctx, delta, terminal, signal }),
    shift: moves ? given.shift ?? Math.round(size.height / 8) : 0,
    flip: moves && given.flip,
  });
  describeSettings(settings, images, terminal);
  const tuned = await runWithProgress({
    args,
    terminal,
    signal,
    open,
    images,
    ctx,
    settings,
    path,
  });
  await writeFileAtomic(
    out,
    writeModel(withMetadata(tuned.model, lbfMetadata(settings, images.identity))),
  );
  await Deno.remove(path).catch(() => {});
  await copySidecar(args.need("model"), out, terminal);
  describeEnd(tuned, { out, terminal });
  if (args.flag("json")) {
    terminal.printJson({
      out,
      settings,
      images: images.pixels.count,
      skipped: images.pixels.skipped,
      epochs: tuned.epochs,
      steps: tuned.rows.map(({ step, values }) => ({ step, ...values })),
      warnings: tuned.warnings,
      ...(tuned.kernels === undefined ? {} : { kernels: tuned.kernels }),
    });
  }
}

/** Preprocessing and labels stand beside the tuned file as they stood beside the model. */
async function copySidecar(model: string, out: string, terminal: Terminal): Promise<void> {
  const [from = "", to = ""] = [model, out].map((path) => path.replace(/\.onnx$/i, "") + ".json");
  const textOf = (path: string) => Deno.readTextFile(path).catch(() => undefined);
  const text = await textOf(from);
  const there = await textOf(to);
  if (text === undefined || there === text) return;
  if (there === undefined) await writeFileAtomic(to, text);
  else terminal.note(`Note: "${to}" stays as it is; it differs from the model's sidecar "${from}"`);
}

type GivenSettings = Omit<LbfSettings, "delta" | "margin" | "shift"> & {
  readonly delta?: number | undefined;
  readonly margin?: number | undefined;
  readonly shift?: number | undefined;
};

function readSettings(args: Arguments): GivenSettings {
  const whole = (minimum: number) => ({ minimum, integer: true, maximum: 2 ** 32 - 1 });
  const given: GivenSettings = {
    ...LBF_DEFAULTS,
    trainable: trainableOf(args.need("trainable")),
    delta: args.number("delta"),
    margin: args.number("margin"),
    weight: args.number("weight")!,
    epochs: args.number("epochs", whole(1))!,
    learningRate: args.number("rate")!,
    batch: args.number("batch", whole(1))!,
    selection: args.need("selection") as Selection,
    batchNorm: args.need("batch-norm") as BatchNormMode,
    insertNorms: args.need("insert-norms") as InsertNorms,
    maxNorm: args.number("max-norm"),
    shift: args.number("shift", whole(0)),
    flip: !args.flag("no-flip"),
    seed: args.number("seed", whole(0))!,
  };
  // What is not given yet is replaced by what would pass, so that a bad number is refused at once.
  const { delta = 0.5, margin = 1, shift = 0 } = given;
  asUsage(() => requireLbfSettings({ ...given, delta, margin, shift }));
  return given;
}

function trainableOf(text: string): Trainable {
  return text === "all" || text === "last-block" || text === "head" ? text : { from: text };
}

async function marginFor(
  { open, images, ctx, delta, terminal, signal }: {
    readonly open: OpenModel;
    readonly images: OpenLbfImages;
    readonly ctx: Context;
    readonly delta: number;
    readonly terminal: Terminal;
    readonly signal: AbortSignal;
  },
): Promise<number> {
  using progress = terminal.progress("look at backgrounds", 0, { unit: "images" });
  const found = await findBackground({
    ...open,
    images,
    ctx,
    delta,
    signal,
    onProgress: (done, total) => progress.update(done, total),
  });
  progress.finish();
  const quantiles = NORM_QUANTILES.map((q, i) => {
    return `${100 * q} % ${found.background.values[i]?.toPrecision(3)}`;
  });
  terminal.note(
    `Background is ${(100 * found.selected).toFixed(1)} % of ${
      found.background.count + found.foreground.count
    } locations; its norms: ${quantiles.join(", ")}; taking μ = ${found.margin}`,
  );
  return found.margin;
}

function describeSettings(
  settings: LbfSettings,
  images: OpenLbfImages,
  terminal: Terminal,
): void {
  const { delta, margin, weight, epochs, learningRate, batch, trainable, shift, flip } = settings;
  const part = typeof trainable === "string" ? trainable : `from ${trainable.from}`;
  const moves = shift > 0 || flip
    ? `moved by up to ${shift} pixels${flip ? " and mirrored" : ""}`
    : "not moved";
  terminal.note(
    `Tuning ${part} on ${images.pixels.count} images, ${moves}: ${epochs} epochs of batches of ` +
      `${batch} at rate ${learningRate}, δ ${delta}, μ ${margin}, λ ${weight}, ` +
      `${settings.selection} selection, batch norm ${settings.batchNorm}`,
  );
}

async function runWithProgress(
  { args, terminal, signal, open, images, ctx, settings, path }: CommandContext & {
    readonly open: OpenModel;
    readonly images: OpenLbfImages;
    readonly ctx: Context;
    readonly settings: LbfSettings;
    readonly path: string;
  },
): Promise<LbfTuned> {
  let trunk: Progress | undefined;
  let progress: Progress | undefined;
  let total = 0;
  let before = 0;
  let last = 0;
  let steady: { counters: Counters; step: number } | undefined;
  const began = performance.now();
  const tuned = await tuneLbf({
    ...open,
    images,
    settings,
    ctx,
    checkpoint: { path, resume: args.flag("resume") },
    profile: args.flag("profile"),
    signal,
    onTrunk: (done, count) => {
      trunk ??= terminal.progress("frozen trunk", count, { unit: "images" });
      trunk.update(done);
      if (done === count) trunk.finish();
    },
    onStart: (start) => {
      total = start.steps;
      before = start.done;
      const where = start.cut.length === 0 ? "" : `, from ${start.cut.join(", ")} on`;
      terminal.note(
        `${start.parameters} parameters learn${where}; ${start.steps} steps` +
          (start.done > 0 ? `, going on after ${start.done}` : ""),
      );
      noteNorms(start.insertedNorms, terminal);
      progress = terminal.progress("tune", (total - before) * settings.batch, { unit: "images" });
    },
    onRows: (rows: readonly StepRow[]) => {
      steady ??= { counters: countersOf(ctx), step: rows.at(-1)!.step };
      last = rows.at(-1)!.step;
      const done = rows.at(-1)!.step + 1 - before;
      progress?.update(done * settings.batch);
    },
  });
  progress?.finish();
  tuned.epochs.forEach((epoch) => terminal.note(describeEpoch(epoch)));
  describeKernels(tuned.kernels, terminal);
  const seconds = (performance.now() - began) / 1000;
  terminal.note(`Trained for ${formatDuration(seconds)}`);
  if (args.flag("profile") && steady !== undefined) {
    terminal.note(
      `The last ${last - steady.step} steps made ${made(steady.counters, countersOf(ctx))}`,
    );
  }
  return tuned;
}

function noteNorms(count: number, terminal: Terminal): void {
  if (count === 0) return;
  terminal.note(
    `Batch normalisation was put after ${count} convolution${count === 1 ? "" : "s"} for the ` +
      `training and is folded away in the file`,
  );
}

function describeEpoch({ epoch, crossEntropy, hinge, selected, accuracy }: LbfEpoch): string {
  return `epoch ${epoch}: cross-entropy ${crossEntropy.toFixed(4)}, background ${
    (100 * selected).toFixed(1)
  } % with hinge ${hinge.toFixed(3)}, accuracy while training ${(100 * accuracy).toFixed(2)} %`;
}

interface Counters {
  readonly buffers: number;
  readonly pipelines: number;
  readonly bindGroups: number;
  readonly submits: number;
}

function countersOf(ctx: Context): Counters {
  if (!isGpu(ctx)) return { buffers: 0, pipelines: 0, bindGroups: 0, submits: 0 };
  const { pool, pipelines, bindGroups, submits } = ctx.gpu.counters();
  return { buffers: pool.created, pipelines, bindGroups, submits };
}

function made(before: Counters, after: Counters): string {
  const of = (name: keyof Counters, noun: string) => `${after[name] - before[name]} ${noun}`;
  return `${of("buffers", "buffers")}, ${of("pipelines", "pipelines")}, ${
    of("bindGroups", "bind groups")
  }, ${of("submits", "submits (reads of losses and saves included)")}`;
}

function describeEnd(
  { warnings }: LbfTuned,
  { out, terminal }: { readonly out: string; readonly terminal: Terminal },
): void {
  warnings.forEach((warning) => terminal.note(`Warning: ${warning}`));
  terminal.note(`Wrote ${out}; \`ood lbf eval\` shows what it gained`);
}
