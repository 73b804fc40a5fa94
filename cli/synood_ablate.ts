/**
 * `ood synood ablate`: every ablation of the paper in one report.
 *
 * @module
 */

import { type FeatureSet, requireCompatible } from "../data/mod.ts";
import { type AblationSection, ablationText, renderAblation } from "../eval/mod.ts";
import {
  type Executor,
  type ImageFeatures,
  type LabelSet,
  loadImageFeatures,
  loadLabelSet,
  readSyntheticImages,
  requireFit,
} from "../methods/mod.ts";
import { requirePairs, requireSameText, requireSynthetic } from "../methods/synood/_pairs.ts";
import { type Context, isGpu, UserError } from "../runtime/mod.ts";
import { type Arguments, UsageError } from "./_arguments.ts";
import { plain } from "./_ablation_sections.ts";
import type { Command, CommandContext } from "./_command.ts";
import { adapterName, KERNEL_VARIANT_OPTION } from "./_device.ts";
import { ID_SET, testSetPaths } from "./_evaluation_options.ts";
import { openTraining, TRAINING_DEVICE_OPTION } from "./_lbf.ts";
import { requireResults, writeResults } from "./_results.ts";
import { OpenSets } from "./_sets.ts";
import {
  type AblationImages,
  SynoodAblation,
  type SynoodAblationPlan,
  type SynoodSeed,
} from "./_synood_ablation.ts";
import { synoodAblationOf } from "./_synood_ablation_report.ts";
import { fittedMcm } from "./_synood_baselines.ts";
import { PROJECTION_OPTIONS, readJointSettings, TUNING_OPTIONS } from "./_synood_training.ts";
import { VERSION } from "./_version.ts";

/** The command. */
export const synoodAblateCommand: Command = {
  name: "synood ablate",
  summary: "Train and test SynOOD with each of its parts varied, as its paper does",
  details:
    "Reads files of ood synood features. For every seed: the projection alone and with tuned labels,\n" +
    "on near-boundary images and, with --neg-images, on images of negative labels (Table 4); joint\n" +
    "and separate trainings (Table 5); fewer images (Figure 3); beside MCM and NegLabel.",
  options: [
    { name: "labels", value: "FILE", help: "from ood synood labels", required: true },
    { name: "train", value: "FILE", help: "in-distribution images with labels", required: true },
    { name: "synthetic", value: "FILE", help: "the near-boundary image of each", required: true },
    {
      name: "neg-images",
      value: "FILE",
      help: "images of negative labels, from ood synood generate --negatives",
    },
    { name: "id", value: "FILE", help: "in-distribution test images", required: true },
    { name: "ood", value: "NAME=FILE", help: "an OOD set", required: true, multiple: true },
    {
      name: "synthesis",
      value: "DIR",
      help: "the folder of ood synood generate: its energies and pairs are shown in the report",
    },
    {
      name: "amounts",
      value: "LIST",
      help: "numbers of near-boundary images (default an eighth, a quarter, half, all)",
    },
    { name: "seeds", value: "N", help: "trainings of each kind, from --seed on", default: "1" },
    { name: "groups", value: "N", help: "groups of negative labels in the score" },
    ...PROJECTION_OPTIONS,
    ...TUNING_OPTIONS,
    TRAINING_DEVICE_OPTION,
    KERNEL_VARIANT_OPTION,
    { name: "json", value: "FILE", help: "write the figures; - prints them instead of the tables" },
    { name: "html", value: "FILE", help: "write a report that needs no network" },
  ],
  examples: [
    "ood synood ablate --labels labels.safetensors --train sources.safetensors \\\n" +
    "    --synthetic synthetic.safetensors --id test.safetensors --ood near=near.safetensors \\\n" +
    "    --synthesis synthetic --html ablation.html",
  ],
  run: runAblate,
};

async function runAblate(context: CommandContext): Promise<void> {
  const { args, terminal } = context;
  const paths = testSetPaths(args);
  const wished = readPlan(args);
  await requireResults(args);
  const labels = await loadLabelSet(args.need("labels"));
  const sheet = await synthesisSections(args.text("synthesis"));
  await using opened = new OpenSets();
  const files = new Map<string, FeatureSet>();
  for (const name of IMAGE_OPTIONS) {
    const path = args.text(name);
    if (path !== undefined) files.set(name, await opened.open(path));
  }
  const tests = new Map<string, FeatureSet>();
  for (const [name, path] of paths) tests.set(name, await opened.open(path));
  using loaded = new LoadedImages();
  for (const [name, set] of files) await loaded.load(name, set);
  const images = loaded.images();
  requireImages(images, labels, wished.projection.batch);
  const amounts = readAmounts(args, {
    count: images.synthetic.count,
    batch: wished.projection.batch,
  });
  const plan: SynoodAblationPlan = { ...wished, amounts };
  using ctx = await openTraining(args, terminal, "kernel-variant");
  const mcm = await fittedMcm(labels, ctx);
  requireCompatible(files.get("train")!, [...files.values(), ...tests.values()]);
  for (const set of tests.values()) {
    requireSameText(set, labels);
    requireFit(mcm, set);
  }
  const ablation = new SynoodAblation(context, {
    ctx,
    executor: executorOn(ctx),
    labels,
    images,
    tests,
    plan,
  });
  const seeds = await ablation.run(mcm);
  await reportAblation(context, { ctx, labels, plan, seeds, sheet });
}

/** Options that name images which trainings see. */
const IMAGE_OPTIONS = ["train", "synthetic", "neg-images"] as const;

/** Image features that are disposed of together. */
class LoadedImages implements Disposable {
  readonly #loaded: Map<string, ImageFeatures> = new Map();

  async load(name: string, set: FeatureSet): Promise<void> {
    this.#loaded.set(name, await loadImageFeatures(set));
  }

  images(): AblationImages {
    const labelled = this.#loaded.get("neg-images");
    return {
      id: this.#loaded.get("train")!,
      synthetic: this.#loaded.get("synthetic")!,
      ...(labelled === undefined ? {} : { labelled }),
    };
  }

  [Symbol.dispose](): void {
    for (const features of this.#loaded.values()) features[Symbol.dispose]();
  }
}

/** Refuses images that one of the trainings would refuse, before the first of them. */
function requireImages(images: AblationImages, labels: LabelSet, batch: number): void {
  const { id, synthetic, labelled } = images;
  requirePairs({ id, synthetic }, labels, { purpose: "train the projection", batch });
  const purpose = { purpose: "tune labels", batch };
  requireSynthetic(synthetic, labels, purpose);
  if (labelled !== undefined) requireSynthetic(labelled, labels, purpose);
}

/** Scores run where trainings run. */
function executorOn(context: Context): Executor {
  const kind = isGpu(context) ? "webgpu" : "reference";
  return { kind, reason: `${kind}, as the trainings`, context, [Symbol.dispose]() {} };
}

async function reportAblation(
  context: CommandContext,
  of: {
    readonly ctx: Context;
    readonly labels: LabelSet;
    readonly plan: SynoodAblationPlan;
    readonly seeds: readonly SynoodSeed[];
    readonly sheet: readonly AblationSection[];
  },
): Promise<void> {
  const { args } = context;
  const { ctx, labels, plan, seeds, sheet } = of;
  const record = {
    tool: `oodgpu ${VERSION}`,
    adapter: isGpu(ctx) ? adapterName(ctx.gpu) : "none",
    plan,
    sources: Object.fromEntries(
      ["labels", "train", "synthetic", "neg-images", "id", "synthesis"].map((name) => [
        name,
        args.text(name) ?? null,
      ]),
    ),
    ood: args.all("ood"),
  };
  const made = synoodAblationOf(seeds, {
    sets: [...testSetPaths(args).keys()].filter((name) => name !== ID_SET),
    labels: { ids: labels.ids.length, negatives: labels.negatives.length },
    record,
  });
  const ablation = { ...made, sections: [...made.sections, ...sheet] };
  const figures = { record, seeds: seeds.map(({ scores: _, ...seed }) => plain(seed)) };
  await writeResults(context, {
    figures,
    text: () => ablationText(ablation),
    page: () => renderAblation(ablation),
  });
}

/** What is varied, but for the numbers of images, which depend on how many there are. */
function readPlan(args: Arguments): Omit<SynoodAblationPlan, "amounts"> {
  const settings = readJointSettings(args);
  const seeds = args.number("seeds", { minimum: 1, maximum: 100, integer: true })!;
  if (settings.projection.seed + seeds > 2 ** 32) {
    throw new UsageError(`The options --seed and --seeds name seeds above ${2 ** 32 - 1}`);
  }
  return { ...settings, seeds, groups: args.number("groups", { minimum: 1, integer: true }) };
}

/** Numbers of near-boundary images, ascending, up to all of them; label tuning takes a batch. */
function readAmounts(
  args: Arguments,
  { count, batch }: { readonly count: number; readonly batch: number },
): number[] {
  const list = args.text("amounts");
  const amounts = list === undefined
    ? [8, 4, 2].map((part) => Math.floor(count / part)).filter((amount) => amount >= batch)
    : list.split(",").map((text) => text.trim() === "" ? NaN : Number(text));
  const sound = (amount: number) => Number.isInteger(amount) && amount >= batch && amount <= count;
  if (!amounts.every(sound)) {
    throw new UsageError(
      `The option --amounts must list whole numbers from ${batch}, a batch, to the ${count} ` +
        `images that there are: it is "${list}"`,
    );
  }
  return [...new Set([...amounts, count])].sort((a, b) => a - b);
}

/** Energies and pairs of the images that are trained on. */
async function synthesisSections(folder: string | undefined): Promise<AblationSection[]> {
  if (folder === undefined) return [];
  const { images, manifest } = await readSyntheticImages(folder);
  const kept = images.filter(({ kept }) => kept);
  const png = await Deno.readFile(`${folder}/contact.png`).catch(() => {
    throw new UserError(`Cannot show "${folder}": it has no "contact.png"`);
  });
  const before = kept.flatMap(({ energy }) => energy.before ?? []);
  const sheet: AblationSection = {
    kind: "picture",
    title: "Pairs",
    about: "Source images, and below each what was made of it.",
    source: `data:image/png;base64,${png.toBase64()}`,
    description: "Source images above near-boundary images",
  };
  if (kept.length === 0 || before.length < kept.length) return [sheet];
  const crossed = kept.filter(({ crossed }) => crossed === true).length;
  const boundary = manifest.boundary === null
    ? ""
    : ` ${(100 * crossed / kept.length).toFixed(1)} % fell below the boundary of ${
      manifest.boundary.energy.toFixed(2)
    }.`;
  return [{
    kind: "scores",
    title: "Energy of the classifier",
    about: `Of the source images, and of what was made of them.${boundary}`,
    rows: [{
      name: "energy",
      sets: new Map([
        [ID_SET, Float32Array.from(before)],
        ["near-boundary", Float32Array.from(kept, ({ energy }) => energy.after.at(-1)!)],
      ]),
    }],
  }, sheet];
}
