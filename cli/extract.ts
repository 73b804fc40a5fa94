/**
 * `ood extract`: images to a feature file.
 *
 * @module
 */

import { SYNTHETIC_KINDS } from "../data/mod.ts";
import {
  loadSidecar,
  ODIN_DEFAULTS,
  type OdinSettings,
  parseSidecar,
  type Sidecar,
} from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import {
  END_OPTIONS,
  type ExtractionPart,
  LABELS_FROM_OPTION,
  mergedShards,
  openImagesOf,
  RUN_OPTIONS,
  runExtraction,
} from "./_extract.ts";

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
    LABELS_FROM_OPTION,
    { name: "sidecar", value: "FILE", help: "what MODEL.json beside the model would say" },
    ...RUN_OPTIONS,
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
    ...END_OPTIONS,
  ],
  examples: [
    "ood extract --model models/cifar10-resnet20.onnx --images photos/ --out photos.safetensors",
    "ood extract --model models/cifar10-resnet20.onnx --images synthetic:stripes,rings:500:32x32 \\\n" +
    "    --out textures.safetensors",
    "ood extract --model models/cifar10-resnet20.onnx --images photos/ --out photos.safetensors --odin",
  ],
  run: runExtract,
};

async function runExtract(context: CommandContext): Promise<void> {
  if (await mergedShards(context)) return;
  const { args } = context;
  const sidecar = await readSidecar(args);
  const images = await openImagesOf(args);
  const part = { ...readOptions(args), ...(sidecar === undefined ? {} : { sidecar }) };
  await runExtraction(context, { images, part });
}

function readOptions(args: Arguments): ExtractionPart {
  const block = args.text("block");
  const odin = odinSettings(args);
  const keys = args.text("keys")?.split(",").map((key) => key.trim());
  if (keys?.includes("")) {
    throw new UsageError(
      `The option --keys must be names with commas between: it is "${args.text("keys")}"`,
    );
  }
  return {
    model: args.need("model"),
    featureMap: args.need("feature-map") as "none" | "f16" | "f32",
    ...(block === undefined ? {} : { block }),
    ...(keys === undefined ? {} : { keys }),
    ...(odin === undefined ? {} : { odin }),
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
