/**
 * `ood synood fit`: a detector of labels and a projection.
 *
 * @module
 */

import { openFeatures } from "../data/mod.ts";
import { Detector, fittedSynood, formatTextLabels, saveDetector } from "../methods/mod.ts";
import { requireSameText } from "../methods/synood/_pairs.ts";
import { keptMetadata } from "../methods/tagood/features.ts";
import type { Command, CommandContext } from "./_command.ts";
import { asUsage } from "./_arguments.ts";
import { requireWritable } from "./_outputs.ts";
import { openLabels, openProjection } from "./_synood_training.ts";

/** The command. */
export const synoodFitCommand: Command = {
  name: "synood fit",
  summary: "Make a detector of labels and a projection",
  details:
    "The score is NegLabel's share of the known labels (equation 2), of what the projection makes of\n" +
    "image features. Without --projection and with labels that were not tuned it is NegLabel itself.\n" +
    "ood calibrate, score and export take the detector like every other.",
  options: [
    {
      name: "labels",
      value: "FILE",
      help: "from ood synood tune-labels, or from ood synood labels",
      required: true,
    },
    { name: "projection", value: "FILE", help: "from ood synood project; none by default" },
    { name: "out", value: "FILE", help: "the detector to write, .safetensors", required: true },
    {
      name: "features",
      value: "FILE",
      help:
        "from ood synood features: whose encoder and preprocessing the detector names (default " +
        "those of the projection, or of the images that labels were tuned on)",
    },
    {
      name: "groups",
      value: "N",
      help: "groups of negative labels whose shares are averaged; no more than labels",
      default: "100",
    },
    { name: "tau", value: "X", help: "temperature of the softmax (default that of the labels)" },
    { name: "seed", value: "N", help: "seed of the shuffle into groups", default: "0" },
    { name: "json", help: "print what was made as JSON" },
  ],
  examples: [
    "ood synood fit --labels labels-tuned.safetensors --projection projection.safetensors \\\n" +
    "    --out synood.safetensors",
  ],
  run: runFit,
};

async function runFit({ args, terminal }: CommandContext): Promise<void> {
  const out = args.need("out");
  await requireWritable(out);
  const labels = await openLabels(args.need("labels"));
  const path = args.text("projection");
  const projection = path === undefined ? undefined : await openProjection(path, labels.value);
  const options = {
    groups: args.number("groups", { minimum: 0, integer: true }),
    tau: args.number("tau"),
    seed: args.number("seed", { minimum: 0, integer: true, maximum: 2 ** 32 - 1 }),
  };
  const fitted = options.tau === undefined
    ? fittedSynood(labels.value, projection, options)
    : asUsage(() => fittedSynood(labels.value, projection, options));
  const features = args.text("features");
  const image = features === undefined
    ? projection?.metadata ?? labels.metadata
    : await metadataOf(features, labels.value);
  const metadata = {
    ...keptMetadata(image),
    ...formatTextLabels(labels.value),
    "text_model": labels.value.model,
    fit: JSON.stringify([
      { role: "labels", path: args.need("labels"), sha256: labels.sha256 },
      ...(path === undefined ? [] : [{ role: "projection", path, learned: learnedOf(projection) }]),
    ]),
    seed: String(options.seed ?? 0),
  };
  await saveDetector(new Detector(fitted, { metadata }), out);
  fitted.warnings.forEach((warning) => terminal.note(`Note: ${warning}`));
  const { ids, negatives } = labels.value;
  const { parameters, warnings } = fitted;
  if (args.flag("json")) {
    terminal.printJson({
      out,
      classes: ids.length,
      negatives: negatives.length,
      projection: path ?? null,
      parameters,
      warnings,
    });
    return;
  }
  terminal.print(
    `Wrote ${out}: ${ids.length} classes, ${negatives.length} negative labels in ` +
      `${parameters["groups"]} groups, ${path === undefined ? "no projection" : "a projection"}`,
  );
}

/** What the images of a file went through. */
async function metadataOf(
  path: string,
  labels: Parameters<typeof requireSameText>[1],
): Promise<Readonly<Record<string, string>>> {
  await using set = await openFeatures(path);
  requireSameText(set, labels);
  return set.metadata;
}

/** What a projection says that it was learned from. */
function learnedOf(
  projection: { readonly metadata: Readonly<Record<string, string>> } | undefined,
): unknown {
  try {
    return JSON.parse(projection?.metadata["fit"] ?? "null");
  } catch {
    return null;
  }
}
