/**
 * `ood synood tune-labels`: text features of the negative labels that synthetic images have.
 *
 * @module
 */

import {
  type LabelsTuned,
  saveLabelSet,
  saveProjection,
  type SynoodRun,
  trainJointly,
  tuneLabels,
} from "../methods/mod.ts";
import type { Projection } from "../methods/mod.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { KERNEL_VARIANT_OPTION } from "./_device.ts";
import { openTraining, TRAINING_DEVICE_OPTION } from "./_lbf.ts";
import { requireNoCheckpoint, requireWritable } from "./_outputs.ts";
import {
  BOTH_OPTIONS,
  lastMean,
  learnedFrom,
  openImageFeatures,
  openLabels,
  openProjection,
  printTrained,
  PROJECTION_ONLY_OPTIONS,
  readJointSettings,
  readTuningSettings,
  shownRun,
  trainedMetadata,
  TUNING_OPTIONS,
} from "./_synood_training.ts";

/** The ways of Table 5. */
const STRATEGIES = ["separate", "separate-with-projection", "joint"] as const;
type Strategy = typeof STRATEGIES[number];

/** The command. */
export const synoodTuneLabelsCommand: Command = {
  name: "synood tune-labels",
  summary: "Tune the text features of the negative labels that synthetic images have",
  details:
    "The features of the negative labels that synthetic images are nearest to learn (section 3.5);\n" +
    "all others stay. By default images go without a projection, which the paper found best; Table 5\n" +
    "has two other strategies: separate-with-projection puts images through --projection first, and\n" +
    "joint trains a projection at the same time, on --id too, and writes it to --out-projection.\n" +
    "A training that was stopped goes on with --resume, to the same file.",
  options: [
    { name: "labels", value: "FILE", help: "from ood synood labels", required: true },
    {
      name: "synthetic",
      value: "FILE",
      help: "synthetic images, from ood synood features",
      required: true,
    },
    { name: "out", value: "FILE", help: "the labels to write, .safetensors", required: true },
    {
      name: "strategy",
      value: "NAME",
      help: "how images come in",
      choices: STRATEGIES,
      default: "separate",
    },
    {
      name: "projection",
      value: "FILE",
      help: "from ood synood project, for separate-with-projection",
    },
    { name: "id", value: "FILE", help: "in-distribution images with labels, for joint" },
    { name: "out-projection", value: "FILE", help: "the projection to write, for joint" },
    ...BOTH_OPTIONS,
    ...TUNING_OPTIONS,
    ...PROJECTION_ONLY_OPTIONS.map((option) => ({ ...option, help: `for joint: ${option.help}` })),
    { name: "resume", help: "go on with a training that was stopped" },
    { name: "profile", help: "show the time of every kernel in a step" },
    TRAINING_DEVICE_OPTION,
    KERNEL_VARIANT_OPTION,
    { name: "json", help: "print the settings and the losses as JSON" },
  ],
  examples: [
    "ood synood tune-labels --labels labels.safetensors --synthetic synthetic.safetensors \\\n" +
    "    --out labels-tuned.safetensors",
    "ood synood tune-labels --strategy joint --labels labels.safetensors \\\n" +
    "    --id sources.safetensors --synthetic synthetic.safetensors \\\n" +
    "    --out labels-joint.safetensors --out-projection projection-joint.safetensors",
  ],
  run: runTuneLabels,
};

/** Options that a strategy needs, and that the others do not know what to do with. */
const OWN_OPTIONS: Readonly<Record<Strategy, readonly string[]>> = {
  separate: [],
  "separate-with-projection": ["projection"],
  joint: ["id", "out-projection"],
};

function readStrategy(args: Arguments): Strategy {
  const strategy = args.need("strategy") as Strategy;
  for (const name of OWN_OPTIONS[strategy]) {
    if (args.text(name) !== undefined) continue;
    throw new UsageError(`The strategy ${strategy} needs --${name}`);
  }
  for (const other of STRATEGIES.filter((other) => other !== strategy)) {
    for (const name of OWN_OPTIONS[other]) {
      if (args.text(name) === undefined) continue;
      throw new UsageError(`The option --${name} is for the strategy ${other}`);
    }
  }
  const alone = PROJECTION_ONLY_OPTIONS.filter((option) => option.default === undefined)
    .find(({ name }) => args.text(name) !== undefined);
  if (strategy !== "joint" && alone !== undefined) {
    throw new UsageError(`The option --${alone.name} is for the strategy joint`);
  }
  if (strategy === "joint" && args.text("tune-epochs") !== undefined) {
    throw new UsageError(
      "The option --tune-epochs is not for the strategy joint, whose epochs are --epochs",
    );
  }
  return strategy;
}

async function runTuneLabels(context: CommandContext): Promise<void> {
  const { args } = context;
  const strategy = readStrategy(args);
  const out = args.need("out");
  await requireWritable(out, args.text("out-projection"));
  await requireNoCheckpoint(`${out}.checkpoint`, args.flag("resume"));
  if (strategy === "joint") await runJoint(context, out);
  else await runSeparate(context, out);
  await Deno.remove(`${out}.checkpoint`).catch(() => {});
}

/** What both ways give to a training. */
function runOptions(
  args: Arguments,
  out: string,
): Pick<SynoodRun, "checkpoint" | "profile"> {
  return {
    checkpoint: { path: `${out}.checkpoint`, resume: args.flag("resume") },
    profile: args.flag("profile"),
  };
}

async function runSeparate(context: CommandContext, out: string): Promise<void> {
  const { args, terminal } = context;
  const settings = readTuningSettings(args);
  const labels = await openLabels(args.need("labels"));
  const path = args.text("projection");
  const projection = path === undefined ? undefined : await openProjection(path, labels.value);
  const synthetic = await openImageFeatures(args.need("synthetic"), context);
  using _ = synthetic.value;
  using ctx = await openTraining(args, terminal, "kernel-variant");
  const { finish, ...shown } = shownRun(context, {
    label: "tune labels",
    what: "text features",
    images: settings.batch,
  });
  const tuned = await tuneLabels({
    ...shown,
    ...runOptions(args, out),
    synthetic: synthetic.value,
    labels: labels.value,
    settings,
    projection,
    identity: [labels.sha256, synthetic.sha256, projection?.metadata["fit"] ?? ""].join(" "),
    ctx,
  });
  finish();
  const metadata = trainedMetadata(synthetic.value, labels.value, {
    settings: { strategy: args.need("strategy"), ...settings },
    from: [learnedFrom("synthetic", synthetic)],
  });
  await saveLabelSet(out, tuned.labels, metadata);
  printTuned(context, tuned, { out, settings, loss: "loss" });
}

async function runJoint(context: CommandContext, out: string): Promise<void> {
  const { args, terminal } = context;
  const { projection, tuning } = readJointSettings(args);
  const labels = await openLabels(args.need("labels"));
  const id = await openImageFeatures(args.need("id"), context);
  using _id = id.value;
  const synthetic = await openImageFeatures(args.need("synthetic"), context);
  using _synthetic = synthetic.value;
  using ctx = await openTraining(args, terminal, "kernel-variant");
  const { finish, ...shown } = shownRun(context, {
    label: "train jointly",
    what: "a projection and text features",
    images: projection.batch,
  });
  const trained = await trainJointly({
    ...shown,
    ...runOptions(args, out),
    id: id.value,
    synthetic: synthetic.value,
    labels: labels.value,
    projection,
    tuning,
    identity: [labels, id, synthetic].map(({ sha256 }) => sha256).join(" "),
    ctx,
  });
  finish();
  const settings = { strategy: "joint", projection, tuning };
  const from = [learnedFrom("id", id), learnedFrom("synthetic", synthetic)];
  const metadata = trainedMetadata(id.value, labels.value, { settings, from });
  await saveProjection(args.need("out-projection"), trained.projection as Projection, metadata);
  await saveLabelSet(out, trained.labels, metadata);
  printTuned(context, trained, { out, settings, loss: "label_loss" });
}

function printTuned(
  context: CommandContext,
  tuned: LabelsTuned,
  { out, settings, loss }: {
    readonly out: string;
    readonly settings: unknown;
    readonly loss: string;
  },
): void {
  const { assignment: { used }, labels: { negatives }, kept } = tuned;
  const figures = tuned.rows.length === 0
    ? ""
    : `, loss ${lastMean(tuned, loss)} in the last steps`;
  printTrained(context, {
    ...tuned,
    text: `Wrote ${out}: tuned ${used.length} of ${negatives.length} negative labels; the mean ` +
      `cosine to what they were is ${kept.toFixed(6)}${figures}`,
    json: { out, settings, used: used.length, negatives: negatives.length, kept },
  });
}
