/**
 * `ood tagood features`: from a tagger's outputs to object tokens.
 *
 * @module
 */

import type { WrittenObjects } from "../methods/mod.ts";
import { UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { KERNEL_DEVICE_OPTION, LABELS_OPTION } from "./_lbf.ts";
import { requireWritable } from "./_outputs.ts";
import { makeObjects, RULE_OPTIONS } from "./_tagood.ts";

/** The command. */
export const tagoodFeaturesCommand: Command = {
  name: "tagood features",
  summary: "Keep the tokens at which a tagger looks for the known classes' tags",
  details:
    "Reads a feature file with tokens, tag_logits and attention (or feature_map, logits and head\n" +
    "of a classifier, whose class-activation maps stand in for attention), or runs the tagger over\n" +
    "images and thresholds its attention on the spot, so that attention is never stored. Images\n" +
    "for which no tag of the vocabulary is predicted get no tokens: they count as OOD, whatever set\n" +
    "they are of.",
  options: [
    {
      name: "features",
      value: "FILE",
      help: "a feature file of the tagger's outputs",
      requiredUnless: "images",
    },
    { name: "out", value: "FILE", help: "the file of object tokens to write", required: true },
    { name: "images", value: "SOURCE", help: "images, with --model" },
    { name: "model", value: "MODEL.onnx", help: "with --images: the tagger" },
    LABELS_OPTION,
    ...RULE_OPTIONS,
    KERNEL_DEVICE_OPTION,
    { name: "resume", help: "go on with a run that was stopped" },
    { name: "strict", help: "stop at the first image that cannot be read" },
    { name: "json", help: "print what was written as JSON" },
  ],
  examples: [
    "ood tagood features --features train.safetensors --vocabulary vocabulary.json \\\n" +
    "    --out train-objects.safetensors",
    "ood tagood features --images photos/ --labels none --model ram.onnx \\\n" +
    "    --vocabulary vocabulary.json --out photos-objects.safetensors",
  ],
  run: runFeatures,
};

async function runFeatures(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const [features, images] = [args.text("features"), args.text("images")];
  if (features !== undefined && images !== undefined) {
    throw new UsageError("The options --features and --images exclude each other: give one");
  }
  const stray = args.text("model") !== undefined ? "model" : args.flag("strict") ? "strict" : "";
  if (images === undefined && stray !== "") {
    throw new UsageError(`The option --${stray} needs --images`);
  }
  const out = args.need("out");
  await requireWritable(out);
  const made = await makeObjects(context, {
    features,
    images,
    model: args.text("model"),
    labels: args.need("labels"),
    out,
    resume: args.flag("resume"),
    label: "find objects",
  });
  if (args.flag("json")) terminal.printJson(made);
  else terminal.print(describeMade(made));
}

/** One line about a file of object tokens. */
function describeMade({ path, images, tokens, untagged }: WrittenObjects): string {
  const mean = images === 0 ? 0 : tokens / images;
  const share = images === 0 ? 0 : 100 * untagged / images;
  return `Wrote ${path}: ${images} images, ${tokens} tokens, ${mean.toFixed(1)} an image; ` +
    `${untagged} (${share.toFixed(1)} %) without a tag of a known class`;
}
