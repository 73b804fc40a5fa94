/**
 * What the commands that run a model over images share: how the run goes, and what is said of it.
 *
 * @module
 */

import { type ImageSet, mergeShards } from "../data/mod.ts";
import {
  extractFeatures,
  type ExtractionDevice,
  type ExtractionOptions,
  type ExtractionStart,
  type ExtractionSummary,
} from "../onnx/mod.ts";
import { Gpu } from "../runtime/mod.ts";
import { type Arguments, type OptionSpec, UsageError } from "./_arguments.ts";
import type { CommandContext } from "./_command.ts";
import { describeOdin, MODEL_DEVICE_OPTION, VARIANT_OPTION, variantsOf } from "./_device.ts";
import { openSource } from "./_image_source.ts";
import { noteSkipped } from "./_skipped.ts";
import { formatDuration, type Progress, type Terminal } from "./_terminal.ts";

/** The `--labels` option. */
export const LABELS_FROM_OPTION: OptionSpec = {
  name: "labels",
  value: "HOW",
  help: "folder, none, or a CSV, TSV or JSON file of labels",
  default: "folder",
};

/** How a run goes. */
export const RUN_OPTIONS: readonly OptionSpec[] = [
  MODEL_DEVICE_OPTION,
  VARIANT_OPTION,
  { name: "batch", value: "N", help: "images in one run of the model (default by image size)" },
  { name: "threads", value: "N", help: "threads in wasm (default all cores)" },
  { name: "workers", value: "N", help: "decode workers (default one less than the cores)" },
  { name: "shard", value: "I/N", help: "take only the I-th of N parts, counted from 1" },
  { name: "merge", value: "N", help: "join the N shards made before instead of extracting" },
  { name: "resume", help: "go on with a run that was stopped" },
  { name: "strict", help: "stop at the first image that cannot be read" },
];

/** The options that end the list. */
export const END_OPTIONS: readonly OptionSpec[] = [
  { name: "seed", value: "N", help: "seed of synthetic images", default: "0" },
  { name: "json", help: "print the summary as JSON" },
];

/** What a command's own options make of a run. */
export type ExtractionPart = Omit<
  ExtractionOptions,
  "images" | "out" | "gpu" | "signal" | "onStart" | "onProgress" | "onWarning"
>;

/**
 * The images of `--images`.
 *
 * @param args The command's arguments.
 * @returns The images.
 */
export async function openImagesOf(args: Arguments): Promise<ImageSet> {
  return await openSource(args.need("images"), {
    option: "images",
    labels: args.need("labels"),
    seed: args.number("seed", { minimum: 0, maximum: 2 ** 32 - 1, integer: true })!,
  });
}

/**
 * Joins shards when that is all that is asked for.
 *
 * @param context The command's.
 * @returns Whether it was.
 */
export async function mergedShards({ args, terminal }: CommandContext): Promise<boolean> {
  const parts = args.number("merge", { minimum: 1, integer: true });
  if (parts === undefined) return false;
  const path = await mergeShards(args.need("out"), { of: parts });
  terminal.note(`Joined ${parts} shards in ${path}`);
  return true;
}

/**
 * Runs a model over images, and says what comes of it.
 *
 * @param context The command's.
 * @param run The images and what is made of them.
 */
export async function runExtraction(
  { args, terminal, signal }: CommandContext,
  { images, part }: { readonly images: ImageSet; readonly part: ExtractionPart },
): Promise<void> {
  using gpu = await openGpuFor(args);
  let progress: Progress | undefined;
  const summary = await extractFeatures({
    ...readOptions(args),
    ...part,
    images,
    out: args.need("out"),
    signal,
    ...(gpu === undefined ? {} : { gpu }),
    onStart: (start) => {
      describeStart(start, terminal);
      describeOthers(images, terminal);
      progress = terminal.progress("extract", start.total, { unit: "images" });
    },
    onProgress: ({ done, total }) => progress?.update(done, total),
    onWarning: (message) => terminal.note(`Note: ${message}`),
  });
  progress?.finish();
  describeEnd(summary, args.flag("json"), terminal);
  signal.throwIfAborted();
}

/** A GPU of our own only where variants are forced; else extraction opens what it needs. */
function openGpuFor(args: Arguments): Promise<Gpu | undefined> {
  const variants = variantsOf(args);
  const onGpu = args.need("device") !== "wasm" || args.flag("odin");
  const wanted = Object.keys(variants).length > 0 && onGpu;
  return wanted ? Gpu.open({ variants }) : Promise.resolve(undefined);
}

function readOptions(args: Arguments): Omit<ExtractionOptions, "model" | "images" | "out"> {
  const whole = { minimum: 1, maximum: 65_536, integer: true };
  const [batch, threads] = [args.number("batch", whole), args.number("threads", whole)];
  const workers = args.number("workers", { ...whole, minimum: 0 });
  const shard = args.text("shard");
  return {
    device: args.need("device") as ExtractionDevice,
    resume: args.flag("resume"),
    strict: args.flag("strict"),
    ...(batch === undefined ? {} : { batch }),
    ...(threads === undefined ? {} : { threads }),
    ...(workers === undefined ? {} : { workers }),
    ...(shard === undefined ? {} : { shard: parseShard(shard) }),
  };
}

function parseShard(text: string): { index: number; of: number } {
  const [, index, of] = /^(\d+)\/(\d+)$/.exec(text)?.map(Number) ?? [];
  if (index === undefined || of === undefined || index < 1 || index > of) {
    throw new UsageError(`The option --shard must be I/N with I from 1 to N: it is "${text}"`);
  }
  return { index, of };
}

/** What of a folder is no image at all, hidden files included. */
function describeOthers({ skippedFiles, path }: ImageSet, terminal: Terminal): void {
  if (skippedFiles === 0) return;
  const files = skippedFiles === 1 ? "1 other file" : `${skippedFiles} other files`;
  terminal.note(`Note: passed over ${files} of "${path}"; JPEG, PNG and WebP files are taken`);
}

function describeStart(start: ExtractionStart, terminal: Terminal): void {
  terminal.note(`Running on ${start.deviceName}, ${start.batch} images at a time`);
  describeOdin(start, terminal);
  if (start.preprocessingGuessed) {
    terminal.note(
      "Note: the preprocessing is a guess from the input's size; `ood inspect` shows it, and the " +
        "sidecar MODEL.json can name the right one",
    );
  }
  if (start.unknownClasses.length > 0) {
    const shown = start.unknownClasses.slice(0, 5).join(", ");
    const more = start.unknownClasses.length > 5 ? ", …" : "";
    terminal.note(
      `Note: the model has no class for ${start.unknownClasses.length} of the folders (${shown}` +
        `${more}); their images get no label`,
    );
  }
  if (start.resumed > 0) terminal.note(`Going on after ${start.resumed} images`);
}

function describeEnd(summary: ExtractionSummary, json: boolean, terminal: Terminal): void {
  const { skipped, seconds } = summary;
  noteSkipped(skipped, terminal);
  const stages = (["decode", "preprocess", "backbone", "store"] as const)
    .map((stage) => `${stage} ${seconds[stage].toFixed(1)} s`).join(", ");
  const where = summary.path === undefined ? "Stopped" : `Wrote ${summary.path}`;
  terminal.note(
    `${where}: ${summary.images} images, ${skipped.length} skipped, in ` +
      `${formatDuration(seconds.total)} (${
        summary.imagesPerSecond.toFixed(0)
      } images/s; busy: ${stages})`,
  );
  if (json) terminal.printJson(summary);
}
