/**
 * `ood extract`: images to a feature file.
 *
 * @module
 */

import { type ImageSet, mergeShards, SYNTHETIC_KINDS } from "../data/mod.ts";
import {
  extractFeatures,
  type ExtractionDevice,
  type ExtractionOptions,
  type ExtractionStart,
  type ExtractionSummary,
  loadSidecar,
  ODIN_DEFAULTS,
  type OdinSettings,
  parseSidecar,
  type Sidecar,
} from "../onnx/mod.ts";
import { Gpu, UserError } from "../runtime/mod.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { describeOdin, MODEL_DEVICE_OPTION, VARIANT_OPTION, variantsOf } from "./_device.ts";
import { openSource } from "./_image_source.ts";
import { noteSkipped } from "./_skipped.ts";
import { formatDuration, type Progress, type Terminal } from "./_terminal.ts";

/** The command. */
export const extractCommand: Command = {
  name: "extract",
  summary: "Run a model over images and store features, logits, feature norms and labels",
  details:
    "--images takes a folder (class sub-folders give labels), a list file (one path a line,\n" +
    "or JSON lines), CIFAR-10/100 binary files, or synthetic:KINDS:COUNT:SIZE, which draws\n" +
    `images (kinds: ${SYNTHETIC_KINDS.join(", ")}).\n` +
    "A run that was stopped goes on with --resume; images that cannot be read are reported,\n" +
    "counted and skipped unless --strict.",
  options: [
    { name: "model", value: "FILE", help: "an ONNX classifier", requiredUnless: "merge" },
    { name: "images", value: "SOURCE", help: "where the images are", requiredUnless: "merge" },
    { name: "out", value: "FILE", help: "the feature file to write", required: true },
    {
      name: "labels",
      value: "HOW",
      help: "folder, none, or a CSV, TSV or JSON file of labels",
      default: "folder",
    },
    { name: "sidecar", value: "FILE", help: "what MODEL.json beside the model would say" },
    MODEL_DEVICE_OPTION,
    VARIANT_OPTION,
    { name: "batch", value: "N", help: "images in one run of the model (default by image size)" },
    { name: "threads", value: "N", help: "threads in wasm (default all cores)" },
    { name: "workers", value: "N", help: "decode workers (default one less than the cores)" },
    { name: "shard", value: "I/N", help: "take only the I-th of N parts, counted from 1" },
    { name: "merge", value: "N", help: "join the N shards made before instead of extracting" },
    { name: "resume", help: "go on with a run that was stopped" },
    { name: "strict", help: "stop at the first image that cannot be read" },
    {
      name: "block",
      value: "VALUE",
      help:
        "take the map and its norms of this block, as `ood inspect` names it (default the last)",
    },
    {
      name: "feature-map",
      value: "HOW",
      help: "store whole feature maps too",
      choices: ["none", "f16", "f32"],
      default: "none",
    },
    {
      name: "keys",
      value: "KEYS",
      help: "store just these of what the model offers, as features,logits (default all)",
    },
    { name: "odin", help: "store logits of images moved against their gradient, for odin" },
    {
      name: "odin-temperature",
      value: "T",
      help:
        `divides the logits whose loss is differentiated (default ${ODIN_DEFAULTS.temperature})`,
    },
    {
      name: "odin-epsilon",
      value: "E",
      help: `length of the step, of colours from 0 to 1 (default ${ODIN_DEFAULTS.epsilon})`,
    },
    { name: "seed", value: "N", help: "seed of synthetic images", default: "0" },
    { name: "json", help: "print the summary as JSON" },
  ],
  examples: [
    "ood extract --model models/cifar10-resnet20.onnx --images photos/ --out photos.safetensors",
    "ood extract --model models/cifar10-resnet20.onnx --images synthetic:stripes,rings:500:32x32 \\\n" +
    "    --out textures.safetensors",
    "ood extract --model models/cifar10-resnet20.onnx --images photos/ --out photos.safetensors --odin",
  ],
  run: runExtract,
};

async function runExtract({ args, terminal, signal }: CommandContext): Promise<void> {
  const out = args.need("out");
  const parts = args.number("merge", { minimum: 1, integer: true });
  if (parts !== undefined) {
    await merge(out, parts, terminal);
    return;
  }
  const sidecar = await readSidecar(args);
  const images = await openSource(args.need("images"), {
    option: "images",
    labels: args.need("labels"),
    seed: args.number("seed", { minimum: 0, maximum: 2 ** 32 - 1, integer: true })!,
  });
  using gpu = await openGpuFor(args);
  let progress: Progress | undefined;
  const summary = await extractFeatures({
    ...readOptions(args, signal),
    images,
    out,
    ...(sidecar === undefined ? {} : { sidecar }),
    ...(gpu === undefined ? {} : { gpu }),
    onStart: (start) => {
      describeStart(start, terminal);
      describeOthers(images, terminal);
      progress = terminal.progress("extract", start.total, { unit: "images" });
    },
    onProgress: ({ done, total }) => progress?.update(done, total),
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

function readOptions(
  args: Arguments,
  signal: AbortSignal,
): Omit<ExtractionOptions, "images" | "out"> {
  const whole = { minimum: 1, maximum: 65_536, integer: true };
  const [batch, threads] = [args.number("batch", whole), args.number("threads", whole)];
  const workers = args.number("workers", { ...whole, minimum: 0 });
  const [shard, block] = [args.text("shard"), args.text("block")];
  const odin = odinSettings(args);
  const keys = args.text("keys")?.split(",").map((key) => key.trim());
  if (keys?.includes("")) {
    throw new UsageError(
      `The option --keys must be names with commas between: it is "${args.text("keys")}"`,
    );
  }
  return {
    model: args.need("model"),
    device: args.need("device") as ExtractionDevice,
    resume: args.flag("resume"),
    strict: args.flag("strict"),
    featureMap: args.need("feature-map") as "none" | "f16" | "f32",
    signal,
    ...(batch === undefined ? {} : { batch }),
    ...(threads === undefined ? {} : { threads }),
    ...(workers === undefined ? {} : { workers }),
    ...(block === undefined ? {} : { block }),
    ...(keys === undefined ? {} : { keys }),
    ...(odin === undefined ? {} : { odin }),
    ...(shard === undefined ? {} : { shard: parseShard(shard) }),
  };
}

function odinSettings(args: Arguments): OdinSettings | undefined {
  const bounds = { minimum: 0, maximum: 1e6 };
  const temperature = args.number("odin-temperature", bounds);
  const epsilon = args.number("odin-epsilon", bounds);
  if (!args.flag("odin")) {
    const other = temperature !== undefined ? "temperature" : "epsilon";
    if (temperature === undefined && epsilon === undefined) return undefined;
    throw new UsageError(`The option --odin-${other} says how --odin moves images: give that too`);
  }
  if (temperature === 0) {
    throw new UsageError("The option --odin-temperature must be above 0: it is 0");
  }
  return {
    ...(temperature === undefined ? {} : { temperature }),
    ...(epsilon === undefined ? {} : { epsilon }),
  };
}

function parseShard(text: string): { index: number; of: number } {
  const [, index, of] = /^(\d+)\/(\d+)$/.exec(text)?.map(Number) ?? [];
  if (index === undefined || of === undefined || index < 1 || index > of) {
    throw new UsageError(`The option --shard must be I/N with I from 1 to N: it is "${text}"`);
  }
  return { index, of };
}

async function readSidecar(args: Arguments): Promise<Sidecar | undefined> {
  const path = args.text("sidecar");
  if (path === undefined) return await loadSidecar(args.need("model"));
  return parseSidecar(await readJson(path), { name: path });
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    const why = error instanceof SyntaxError
      ? "it is no JSON text"
      : error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : (error as Error).message;
    throw new UserError(`Cannot read the sidecar "${path}": ${why}`, { cause: error });
  }
}

async function merge(out: string, parts: number, terminal: Terminal): Promise<void> {
  const path = await mergeShards(out, { of: parts });
  terminal.note(`Joined ${parts} shards in ${path}`);
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
