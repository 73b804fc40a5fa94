/**
 * `ood synood generate`: near-boundary images by gradient-guided inpainting.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { alignLabels, type ImageSet } from "../data/mod.ts";
import {
  DEFAULT_PROMPT,
  diffusionHashes,
  LABEL_PROMPT,
  labelWork,
  type LatentDiffusion,
  loadContexts,
  loadLabelSet,
  openDiffusion,
  requireSynthesisSettings,
  sourceWork,
  SYNTHESIS_DEFAULTS,
  SYNTHESIS_LOSSES,
  synthesise,
  type SynthesisReport,
  type SynthesisSettings,
  type SynthesisStage,
  type SyntheticImage,
  type WorkList,
  writePairLists,
} from "../methods/mod.ts";
import { completePreprocessing } from "../onnx/mod.ts";
import { isGpu, UserError } from "../runtime/mod.ts";
import { type Arguments, asUsage, type OptionSpec, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { adapterName, openKernels } from "./_device.ts";
import { openSource } from "./_image_source.ts";
import { LABELS_OPTION, type OpenModel, openModel } from "./_lbf.ts";
import { noteSkipped } from "./_skipped.ts";
import { formatDuration, type Progress, type Terminal } from "./_terminal.ts";
import { chooseImages } from "./synood_contexts.ts";

const { steps, strength, guidance, iterations, count, rate, gradientBy, loss, temperature } =
  SYNTHESIS_DEFAULTS;

/** Options of the synthesis itself. */
export const SETTINGS_OPTIONS: readonly OptionSpec[] = [
  { name: "steps", value: "N", help: "steps of a whole sampling", default: String(steps) },
  {
    name: "strength",
    value: "X",
    help: "how far images are taken back towards noise, up to 1",
    default: String(strength),
  },
  { name: "guidance", value: "X", help: "classifier-free guidance", default: String(guidance) },
  { name: "iterations", value: "N", help: "updates of the noise", default: String(iterations) },
  {
    name: "count",
    value: "NAME",
    help: "paper: decode once more behind the last update; code: save the last image before it",
    choices: ["paper", "code"],
    default: count,
  },
  { name: "rate", value: "X", help: "rρ, length of an update", default: String(rate) },
  {
    name: "gradient-by",
    value: "NAME",
    help:
      "latents: by the U-Net's latents; vae: by them divided by the scaling factor, as the code",
    choices: ["latents", "vae"],
    default: gradientBy,
  },
  {
    name: "loss",
    value: "NAME",
    help:
      "paper: energy down to the boundary; squared: its square; paper-literal: Eq. 7 as printed, " +
      "which raises the energy; code: (energy - mean logit - 5)²",
    choices: SYNTHESIS_LOSSES,
    default: loss,
  },
  { name: "temperature", value: "X", help: "τ of the energy", default: String(temperature) },
  {
    name: "boundary",
    value: "X",
    help: "m_out, the energy below which an image is out; from the source images if not given",
  },
  {
    name: "quantile",
    value: "X",
    help: "share of the source images below the boundary",
    default: String(SYNTHESIS_DEFAULTS.quantile),
  },
  {
    name: "filter",
    value: "NAME",
    help: "keep only images whose energy, or largest softmax, fell below the boundary",
    choices: ["none", "energy", "msp"],
    default: SYNTHESIS_DEFAULTS.filter,
  },
  { name: "seed", value: "N", help: "seed of the noise", default: "0" },
];

/** The command. */
export const synoodGenerateCommand: Command = {
  name: "synood generate",
  summary: "Make near-boundary images: inpainting led away from what a classifier knows (SynOOD)",
  details:
    "Each source image is taken back towards noise and painted anew with what it shows beside its\n" +
    "object as the prompt; the gradient of a classifier's energy moves the noise, and it begins\n" +
    "again. The folder holds the images by class, what is known of each (pairs.jsonl), the settings\n" +
    "(manifest.json), a contact sheet, and the lists sources.tsv and synthetic.tsv, which --images\n" +
    "of ood synood features takes. A run that was stopped goes on with --resume.\n" +
    "With --negatives instead of --images it makes images of the labels themselves, without a\n" +
    "source and without gradients, for comparison.",
  options: [
    {
      name: "diffusion",
      value: "FOLDER",
      help: "a latent inpainting diffusion model in ONNX, laid out as Stable Diffusion's exports",
      required: true,
    },
    {
      name: "classifier",
      value: "MODEL.onnx",
      help: "the recognition model whose energy leads",
      required: true,
    },
    {
      name: "images",
      value: "SOURCE",
      help: "the images to begin at",
      requiredUnless: "negatives",
    },
    {
      name: "contexts",
      value: "FILE",
      help: "their elements, from ood synood contexts",
      requiredUnless: "negatives",
    },
    { name: "out", value: "DIR", help: "the folder to write", required: true },
    LABELS_OPTION,
    {
      name: "per-class",
      value: "M",
      help: "only the M images of each class whose files have most bytes a pixel",
    },
    { name: "limit", value: "N", help: "only the first N images, or labels" },
    {
      name: "negatives",
      value: "FILE",
      help: "labels to make images of: from ood synood labels, or one a line",
    },
    { name: "per-label", value: "N", help: "with --negatives: images of each (default 1)" },
    {
      name: "prompt",
      value: "TEXT",
      help: `a template with {elements} (default the model's own, else "${DEFAULT_PROMPT}"; of ` +
        `labels "${LABEL_PROMPT}")`,
    },
    ...SETTINGS_OPTIONS,
    { name: "batch", value: "N", help: "images at a time", default: "8" },
    {
      name: "device",
      value: "NAME",
      help:
        "where the models run; auto is webgpu on a real GPU and wasm otherwise. Gradients are " +
        "computed on any adapter, slowly without one",
      choices: ["auto", "webgpu", "wasm", "reference"],
      default: "auto",
    },
    { name: "resume", help: "go on with a run that was stopped" },
    { name: "strict", help: "stop at the first image that cannot be read" },
    { name: "json", help: "print the report as JSON" },
  ],
  examples: [
    "ood synood generate --diffusion models/world-diffusion --classifier models/world-classifier.onnx \\\n" +
    "    --images world/train --contexts contexts.json --per-class 50 --out synthetic",
    "ood synood generate --diffusion models/world-diffusion --classifier models/world-classifier.onnx \\\n" +
    "    --negatives labels.safetensors --limit 500 --out negative-images",
  ],
  run: runGenerate,
};

async function runGenerate(context: CommandContext): Promise<void> {
  const { args, terminal, signal } = context;
  const settings = readSettings(args);
  const batch = args.number("batch", { minimum: 1, maximum: 4096, integer: true })!;
  requireOptions(args);
  const classifier = await openModel(args.need("classifier"));
  requireClassifier(classifier);
  const { context: ctx, gpu } = await openKernels(args);
  using _ctx = ctx;
  const onGpu = gpu !== undefined && (args.need("device") === "webgpu" ||
    args.need("device") === "auto" && !gpu.adapter.isSoftware);
  await using diffusion = await openDiffusion(args.need("diffusion"), {
    device: onGpu ? "webgpu" : "wasm",
    ...(onGpu ? { gpu } : {}),
  });
  const { work, images } = await readWork(context, diffusion, classifier);
  terminal.note(
    `Models run on ${onGpu ? `webgpu (${adapterName(gpu)})` : "wasm"}, gradients on ${
      isGpu(ctx) ? adapterName(ctx.gpu) : "the reference, which is very slow"
    }`,
  );
  const stages = new Stages(terminal);
  using _stages = stages;
  const report = await synthesise({
    out: args.need("out"),
    diffusion,
    hashes: await diffusionHashes(diffusion.info),
    classifier: {
      ...classifier,
      hash: createHash("sha256").update(await Deno.readFile(args.need("classifier"))).digest("hex"),
    },
    ctx,
    work,
    ...(images === undefined ? {} : { images }),
    settings,
    batch,
    resume: args.flag("resume"),
    strict: args.flag("strict"),
    signal,
    onProgress: (stage, done, total) => stages.update(stage, done, total),
    onWarning: (text) => terminal.note(`Warning: ${text}`),
  }).catch((error) => {
    if (signal.aborted) terminal.note("What is made is kept; --resume goes on from there");
    throw error;
  });
  stages.finish();
  await writePairLists(args.need("out"), {
    images: report.images,
    root: images === undefined ? undefined : await rootOf(images),
  });
  noteSkipped(report.skipped, terminal, "; manifest.json lists all");
  if (args.flag("json")) {
    const { images: made, ...rest } = report;
    terminal.printJson({ ...rest, settings, energy: energySummary(made), loss: lossSummary(made) });
  } else {
    terminal.print(describe(report));
  }
}

/** The folder that images lie in: that of the list where they are listed; none if they are no files. */
async function rootOf(images: ImageSet): Promise<string | undefined> {
  if ((await images.item(0)).path === undefined) return undefined;
  const { isFile } = await Deno.stat(images.path);
  return isFile ? dirname(images.path) : images.path;
}

/** The settings that options ask for, whose names may begin with something. */
export function readSettings(args: Arguments, prefix = ""): SynthesisSettings {
  const whole = (name: string, minimum: number) =>
    args.number(prefix + name, { minimum, integer: true, maximum: 2 ** 32 - 1 })!;
  const number = (name: string) => args.number(prefix + name)!;
  const choice = <K extends keyof SynthesisSettings>(name: string) =>
    args.need(prefix + name) as SynthesisSettings[K];
  const boundary = args.number(`${prefix}boundary`);
  return asUsage(() =>
    requireSynthesisSettings({
      steps: whole("steps", 1),
      strength: number("strength"),
      guidance: number("guidance"),
      iterations: whole("iterations", 0),
      count: choice<"count">("count"),
      rate: number("rate"),
      gradientBy: choice<"gradientBy">("gradient-by"),
      loss: choice<"loss">("loss"),
      temperature: number("temperature"),
      ...(boundary === undefined ? {} : { boundary }),
      quantile: number("quantile"),
      filter: choice<"filter">("filter"),
      seed: whole("seed", 0),
    })
  );
}

/** Refuses options that would be passed over. */
function requireOptions(args: Arguments): void {
  const ofLabels = args.text("negatives") !== undefined;
  const others = ofLabels ? ["images", "contexts", "per-class"] : ["per-label"];
  const stray = others.find((name) => args.text(name) !== undefined);
  if (stray === undefined) return;
  throw new UsageError(
    ofLabels
      ? `The options --${stray} and --negatives exclude each other: give one`
      : `The option --${stray} needs --negatives`,
  );
}

/** Finds out before the work that a model is no classifier of images. */
export function requireClassifier({ model, inspection }: OpenModel): void {
  completePreprocessing(inspection);
  if (inspection.logits !== undefined) return;
  throw new UserError(
    `Cannot use "${model.name}" as recognition model: ${
      inspection.reasons.logits ?? "it has no scores of classes"
    }`,
  );
}

/** The images to make. */
async function readWork(
  context: CommandContext,
  { info }: LatentDiffusion,
  { inspection }: OpenModel,
): Promise<{ work: WorkList; images?: ImageSet }> {
  const { args, terminal } = context;
  const limit = args.number("limit", { minimum: 1, integer: true }) ?? Infinity;
  const prompt = args.text("prompt");
  const negatives = args.text("negatives");
  if (negatives !== undefined) {
    const labels = (await readNegatives(negatives)).slice(0, limit);
    const perLabel = args.number("per-label", { minimum: 1, integer: true }) ?? 1;
    const work = labelWork(labels, { perLabel, ...(prompt === undefined ? {} : { prompt }) });
    terminal.note(`Making ${work.items.length} images of ${labels.length} labels`);
    return { work };
  }
  const contexts = await loadContexts(args.need("contexts"));
  const all = await openSource(args.need("images"), {
    option: "images",
    labels: args.need("labels"),
    seed: 0,
  });
  requireClasses(all, inspection);
  const images = await chooseImages(context, all);
  const template = prompt ?? info.prompt;
  const work = sourceWork(images, contexts, template === undefined ? {} : { prompt: template });
  const { items, withoutElements } = work;
  terminal.note(
    `Making ${items.length} images${
      withoutElements.length === 0 ? "" : `; ${withoutElements.length} more have no elements`
    }`,
  );
  return { work, images };
}

/** Refuses images of classes that the classifier does not know. */
function requireClasses(
  images: ImageSet,
  { name, labels, classes }: OpenModel["inspection"],
): void {
  if (labels !== undefined) {
    alignLabels(images, labels);
    return;
  }
  if (classes === undefined || images.classNames.length <= classes) return;
  throw new UserError(
    `Cannot use "${name}" for the images of "${images.path}": they are of ${images.classNames.length} ` +
      `classes and it knows ${classes}`,
  );
}

/** Labels of a label set, or of a text file with one a line. */
async function readNegatives(path: string): Promise<readonly string[]> {
  if (path.endsWith(".safetensors")) return (await loadLabelSet(path)).negatives;
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new UserError(`Cannot read labels of "${path}": ${(error as Error).message}`, {
      cause: error,
    });
  }
  const labels = text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "");
  if (labels.length > 0) return labels;
  throw new UserError(`Cannot read labels of "${path}": it is empty`);
}

const STAGE_NAMES: Readonly<Record<SynthesisStage, string>> = {
  load: "load",
  score: "score sources",
  generate: "generate",
};

/** A progress bar for each stage. */
class Stages implements Disposable {
  readonly #terminal: Terminal;
  #stage: SynthesisStage | undefined;
  #progress: Progress | undefined;
  /** Images that were there when a stage began: they tell nothing of its rate. */
  #before = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  update(stage: SynthesisStage, done: number, total: number): void {
    if (stage !== this.#stage) {
      this.finish();
      this.#stage = stage;
      this.#before = stage === "generate" ? done : 0;
      if (this.#before > 0) this.#terminal.note(`Going on after ${done} of ${total} images`);
      this.#progress = this.#terminal.progress(STAGE_NAMES[stage], total - this.#before, {
        unit: "images",
      });
    }
    this.#progress!.update(done - this.#before);
  }

  finish(): void {
    this.#progress?.finish();
    this.#progress = undefined;
  }

  [Symbol.dispose](): void {
    this.#progress?.[Symbol.dispose]();
  }
}

/** A distribution. */
interface Summary {
  readonly mean: number;
  readonly q05: number;
  readonly median: number;
  readonly q95: number;
}

function summaryOf(values: readonly number[]): Summary | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, q05: at(0.05), median: at(0.5), q95: at(0.95) };
}

/** Energies of the source images, and after each denoising. */
function energySummary(
  images: readonly SyntheticImage[],
): { before: Summary | undefined; after: (Summary | undefined)[] } {
  const before = images.map(({ energy }) => energy.before).filter((value) => value !== null);
  const rounds = images[0]?.energy.after.length ?? 0;
  return {
    before: summaryOf(before),
    after: Array.from(
      { length: rounds },
      (_, round) => summaryOf(images.map(({ energy }) => energy.after[round]!)),
    ),
  };
}

function lossSummary(images: readonly SyntheticImage[]): (number | undefined)[] {
  const rounds = images[0]?.loss.length ?? 0;
  return Array.from(
    { length: rounds },
    (_, round) => summaryOf(images.map(({ loss }) => loss[round]!))?.mean,
  );
}

function describe(report: SynthesisReport): string {
  const { out, counts, boundary, images, made, seconds } = report;
  const { before, after } = energySummary(images);
  const losses = lossSummary(images);
  const share = (part: number) => `${(100 * part / Math.max(1, counts.done)).toFixed(1)} %`;
  const row = (name: string, summary: Summary | undefined, loss?: number) =>
    summary === undefined ? [] : [[
      name,
      ...[summary.mean, summary.q05, summary.median, summary.q95].map((value) => value.toFixed(3)),
      loss === undefined ? "" : loss.toFixed(3),
    ]];
  const rows = [
    ["energy", "mean", "5 %", "median", "95 %", "loss"],
    ...row("source images", before),
    ...after.flatMap((summary, round) =>
      row(
        round === after.length - 1 ? "saved images" : `after ${round} updates`,
        summary,
        losses[round],
      )
    ),
  ];
  const spent = Object.entries(seconds).filter(([, value]) => value >= 0.05);
  const total = spent.reduce((sum, [, value]) => sum + value, 0);
  return [
    `Wrote ${out}: ${counts.done} images, ${counts.kept} kept; ${counts.withoutElements} sources ` +
    `without elements, ${counts.unreadable} unreadable`,
    "",
    ...aligned(rows),
    "",
    ...(boundary === null ? [] : [
      `${share(counts.crossed)} crossed the boundary: their energy is below ${
        boundary.energy.toFixed(3)
      }`,
    ]),
    `${made} made in ${formatDuration(total)}: ${
      spent.map(([stage, value]) => `${stage} ${formatDuration(value)}`).join(", ")
    }`,
  ].join("\n");
}

/** Columns of one width each, the first to the left and the others to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
    ).join("  ").trimEnd()
  );
}
