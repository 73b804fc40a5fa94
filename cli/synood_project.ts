/**
 * `ood synood project`: the projection behind the image encoder.
 *
 * @module
 */

import { saveProjection, trainProjection } from "../methods/mod.ts";
import type { Command, CommandContext } from "./_command.ts";
import { KERNEL_VARIANT_OPTION } from "./_device.ts";
import { openTraining, TRAINING_DEVICE_OPTION } from "./_lbf.ts";
import { requireNoCheckpoint, requireWritable } from "./_outputs.ts";
import {
  lastMean,
  learnedFrom,
  openImageFeatures,
  openLabels,
  printTrained,
  PROJECTION_OPTIONS,
  readProjectionSettings,
  shownRun,
  trainedMetadata,
} from "./_synood_training.ts";

/** The command. */
export const synoodProjectCommand: Command = {
  name: "synood project",
  summary: "Train SynOOD's projection of image features on pairs of images",
  details:
    "Every synthetic image gets the negative label that it is nearest to; a residual layer behind the\n" +
    "frozen image encoder learns to tell both images of each pair apart by labels (equation 12). The\n" +
    "n-th image of --synthetic was made from the n-th of --id. The encoders stay as they are.\n" +
    "A training that was stopped goes on with --resume, to the same file.",
  options: [
    { name: "labels", value: "FILE", help: "from ood synood labels", required: true },
    {
      name: "id",
      value: "FILE",
      help: "in-distribution images with labels, from ood synood features",
      required: true,
    },
    {
      name: "synthetic",
      value: "FILE",
      help: "the synthetic image of each, from ood synood features",
      required: true,
    },
    { name: "out", value: "FILE", help: "the projection to write, .safetensors", required: true },
    ...PROJECTION_OPTIONS,
    { name: "resume", help: "go on with a training that was stopped" },
    { name: "profile", help: "show the time of every kernel in a step" },
    TRAINING_DEVICE_OPTION,
    KERNEL_VARIANT_OPTION,
    { name: "json", help: "print the settings and the losses as JSON" },
  ],
  examples: [
    "ood synood project --labels labels.safetensors --id sources.safetensors \\\n" +
    "    --synthetic synthetic.safetensors --out projection.safetensors",
  ],
  run: runProject,
};

async function runProject(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const out = args.need("out");
  const settings = readProjectionSettings(args);
  const path = `${out}.checkpoint`;
  await requireWritable(out);
  await requireNoCheckpoint(path, args.flag("resume"));
  const labels = await openLabels(args.need("labels"));
  const id = await openImageFeatures(args.need("id"), context);
  using _id = id.value;
  const synthetic = await openImageFeatures(args.need("synthetic"), context);
  using _synthetic = synthetic.value;
  using ctx = await openTraining(args, terminal, "kernel-variant");
  const { finish, ...shown } = shownRun(context, {
    label: "project",
    what: "a projection",
    images: settings.batch,
  });
  const trained = await trainProjection({
    ...shown,
    id: id.value,
    synthetic: synthetic.value,
    labels: labels.value,
    settings,
    identity: [labels, id, synthetic].map(({ sha256 }) => sha256).join(" "),
    ctx,
    checkpoint: { path, resume: args.flag("resume") },
    profile: args.flag("profile"),
  });
  finish();
  const from = [learnedFrom("id", id), learnedFrom("synthetic", synthetic)];
  const metadata = trainedMetadata(id.value, labels.value, { settings, from });
  await saveProjection(out, trained.projection, metadata);
  await Deno.remove(path).catch(() => {});
  const { used } = trained.assignment;
  const figures = trained.rows.length === 0
    ? ""
    : `: loss ${lastMean(trained, "loss")}, accuracy ${
      lastMean(trained, "accuracy")
    } in the last ` +
      "steps";
  printTrained(context, {
    ...trained,
    text: `Wrote ${out}; ${used.length} of ${labels.value.negatives.length} negative labels are ` +
      `those of synthetic images${figures}`,
    json: { out, settings, used: used.length, negatives: labels.value.negatives.length },
  });
}
