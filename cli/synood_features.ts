/**
 * `ood synood features`: images to embeddings that can be compared with those of texts.
 *
 * @module
 */

import { cleanWord, foldWord, type ImageSet } from "../data/mod.ts";
import { formatTextLabels, type LabelSet, loadLabelSet } from "../methods/mod.ts";
import { hashTextEncoder, openVisionLanguage } from "../onnx/mod.ts";
import { UserError } from "../runtime/mod.ts";
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
import type { Terminal } from "./_terminal.ts";

/** The command. */
export const synoodFeaturesCommand: Command = {
  name: "synood features",
  summary: "Run a vision-language model over images and store embeddings, with labels as texts",
  details:
    "--model takes a folder with vision_model.onnx (pixel_values to image_embeds), as exports of\n" +
    "CLIP lay it out; docs/models.md says which fit. With --text the file has the text features of\n" +
    "the labels too, which the scores mcm, neg_label and csp and the other commands of synood need,\n" +
    "and the images' classes are the classes of these labels: folders are found by their names, and\n" +
    "as many folders that are called by WordNet's numbers by their order.\n" +
    "A run that was stopped goes on with --resume; images that cannot be read are reported, counted\n" +
    "and skipped unless --strict. A batch that does not fit into memory is halved.",
  options: [
    {
      name: "model",
      value: "FOLDER",
      help: "a vision-language model as CLIP",
      requiredUnless: "merge",
    },
    { name: "images", value: "SOURCE", help: "where the images are", requiredUnless: "merge" },
    { name: "out", value: "FILE", help: "the feature file to write", required: true },
    { name: "text", value: "FILE", help: "labels with text features, from ood synood labels" },
    LABELS_FROM_OPTION,
    ...RUN_OPTIONS,
    ...END_OPTIONS,
  ],
  examples: [
    "ood synood features --model clip-vit-base-patch16/ --images photos/ \\\n" +
    "    --text labels.safetensors --out photos.safetensors",
  ],
  run: runFeatures,
};

/** WordNet's numbers, by which ImageNet calls the folders of its classes. */
const NUMBER_REGEXP = /^n\d{8}$/;

async function runFeatures(context: CommandContext): Promise<void> {
  if (await mergedShards(context)) return;
  const { args, terminal } = context;
  const folder = args.need("model");
  const path = args.text("text");
  const set = path === undefined ? undefined : await loadLabelSet(path);
  const images = await openImagesOf(args);
  await using model = await openVisionLanguage(folder, {
    parts: ["image"],
    onWarning: (message) => terminal.note(`Note: ${message}`),
  });
  const { path: file, sidecar } = model.imageModel;
  const part: ExtractionPart = { model: file, sidecar, keys: ["image_embed"] };
  if (set === undefined) {
    await runExtraction(context, { images, part });
    return;
  }
  requireWidth(set, { path: path!, folder, width: model.width });
  await noteOtherEncoder(set, { path: path!, folder, terminal });
  await runExtraction(context, {
    images: namedAsLabels(images, set),
    part: {
      ...part,
      sidecar: { ...sidecar, labels: set.ids },
      shared: {
        "text_embed": { data: set.text, shape: [set.text.length / set.width, set.width] },
        "logit_scale": { data: Float32Array.of(set.logitScale), shape: [1] },
      },
      metadata: { ...formatTextLabels(set), "text_model": set.model },
    },
  });
}

function requireWidth(
  set: LabelSet,
  { path, folder, width }: {
    readonly path: string;
    readonly folder: string;
    readonly width: number;
  },
): void {
  if (set.width === width) return;
  throw new UserError(
    `Cannot compare images of "${folder}" with the labels of "${path}": the image encoder gives ` +
      `${width} numbers and the text features have ${set.width}`,
  );
}

/** Says when labels are not of the folder's text encoder; one of another precision will do. */
async function noteOtherEncoder(
  set: LabelSet,
  { path, folder, terminal }: {
    readonly path: string;
    readonly folder: string;
    readonly terminal: Terminal;
  },
): Promise<void> {
  const hash = await hashTextEncoder(folder);
  if (hash === undefined || hash === set.model) return;
  terminal.note(
    `Note: the text features of "${path}" are not of the text encoder in "${folder}"; they can be ` +
      "compared with its images only if both are of one model",
  );
}

/** The images with their classes called as the labels are. */
function namedAsLabels(images: ImageSet, { ids }: LabelSet): ImageSet {
  const { classNames } = images;
  const fold = (name: string) => foldWord(cleanWord(name));
  const byName = new Map(ids.map((id) => [fold(id), id]));
  const named = classNames.map((name) =>
    ids.includes(name) ? name : byName.get(fold(name)) ?? name
  );
  const numbered = classNames.length === ids.length &&
    classNames.every((name) => NUMBER_REGEXP.test(name)) &&
    !named.some((name) => ids.includes(name));
  return { ...images, classNames: numbered ? ids : named };
}
